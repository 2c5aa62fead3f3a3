"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def _reserve(context: typer.Context, value: bool) -> bool:
    from speech_eval.cli.console import reserve_stdout

    if value:
        reserve_stdout(context)
    return value


def _bounds(given: str | None) -> str | None:
    numbers(given)
    return given


def numbers(given: str | None) -> list[float]:
    """The numbers of a list with commas; none for None."""
    try:
        return [float(part) for part in given.split(",")] if given else []
    except ValueError as error:
        raise typer.BadParameter(f"'{given}' is not a list of numbers, such as 5,10,20") from error


Json = Annotated[bool, typer.Option("--json", callback=_reserve, help="Print one JSON object on standard output.")]
Plugins = Annotated[
    list[Path] | None, typer.Option("--plugin", help="Python file that registers tasks, metrics or models; repeatable.")
]
Run = Annotated[Path, typer.Argument(help="Run directory.", metavar="RUN")]
Runs = Annotated[list[Path], typer.Argument(help="Run directories.", metavar="RUN")]
Workers = Annotated[int | None, typer.Option(min=1, help="Scoring processes (default: cores, at most 4).")]
Data = Annotated[str | None, typer.Option(help="Dataset name or path instead of the one that the run names.")]
Executor = Annotated[str, typer.Option(help="Where scoring runs: local or ray.")]
RayAddress = Annotated[str | None, typer.Option(help="Address of a Ray cluster (default: Ray on this machine).")]
Recognizer = Annotated[str | None, typer.Option(help="Model spec of the recognizer that transcribes speech outputs.")]
Judge = Annotated[
    str | None,
    typer.Option(help="Judge that metrics ask: openai:URL#MODEL, stored:MODEL, or a language model such as smollm2."),
]
Language = Annotated[
    str | None, typer.Option(help="Language of samples that state none: a code or name such as de, zh-Hant, german.")
]
Metrics = Annotated[str | None, typer.Option(help="Comma-separated metric ids instead of the task's own.")]
By = Annotated[
    str | None,
    typer.Option(help="Slice by a column of the samples: speaker, language, length, or any key of their metadata."),
]
Bins = Annotated[
    str | None,
    typer.Option(callback=_bounds, help="With --by: bounds that cut a column of numbers (default: its quartiles)."),
]
Least = Annotated[int, typer.Option(min=1, help="With --by: samples of a slice that is tested.")]
Correct = Annotated[
    Literal["holm", "bh"],
    typer.Option(help="holm bounds the probability of any false finding, bh (Benjamini-Hochberg) their share."),
]

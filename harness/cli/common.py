"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def _reserve(context: typer.Context, value: bool) -> bool:
    from speech_eval.cli.console import reserve_stdout

    if value:
        reserve_stdout(context)
    return value


Json = Annotated[bool, typer.Option("--json", callback=_reserve, help="Print one JSON object on standard output.")]
Plugins = Annotated[
    list[Path] | None, typer.Option("--plugin", help="Python file that registers tasks, metrics or models; repeatable.")
]
Run = Annotated[Path, typer.Argument(help="Run directory.", metavar="RUN")]
Runs = Annotated[list[Path], typer.Argument(help="Run directories.", metavar="RUN...")]
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

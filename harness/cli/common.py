"""What the commands share: option types, plug-in loading, tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Plugins = Annotated[list[Path] | None, typer.Option("--plugin", help="Python file that registers tasks or metrics.")]
Runs = Annotated[list[Path], typer.Argument(help="Run directories.", metavar="RUN...")]
Workers = Annotated[int | None, typer.Option(min=1, help="Scoring processes (default: cores, at most 4).")]
Executor = Annotated[str, typer.Option(help="Where scoring runs: local or ray.")]
RayAddress = Annotated[str | None, typer.Option(help="Address of a Ray cluster (default: Ray on this machine).")]
Recognizer = Annotated[str | None, typer.Option(help="Model spec of the recognizer that transcribes speech outputs.")]
Metrics = Annotated[str | None, typer.Option(help="Comma-separated metric ids instead of the task's own.")]


def settings_of(**given: Any) -> Any:
    from speech_eval.engine.settings import Settings

    return Settings(**{k: v for k, v in given.items() if v is not None})


def split(text: str | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in (text or "").split(",") if part.strip()))


def load_plugins(files: list[Path] | None) -> tuple[str, ...]:
    from speech_eval import registry

    for file in files or []:
        registry.load_file(file)
    return tuple(str(file.resolve()) for file in files or [])


def failures_of(path: str | Path, results: Any) -> dict[str, list[dict[str, Any]]]:
    """Why samples of a run failed, by task; tasks without a failure are left out."""
    from speech_eval.engine.failures import failure_reasons
    from speech_eval.engine.run_directory import RunDirectory

    found = {task.task: failure_reasons(RunDirectory(path), task.task) for task in results.tasks}
    return {task: [reason.record() for reason in reasons] for task, reasons in found.items() if reasons}


def show_failures(path: str | Path, results: Any) -> None:
    """How many samples of each task failed, and why."""
    from speech_eval.analysis.report import failure_words
    from speech_eval.cli.console import out
    from speech_eval.engine.failures import failure_reasons
    from speech_eval.engine.run_directory import RunDirectory

    for task in results.tasks:
        if reasons := failure_reasons(RunDirectory(path), task.task):
            out.print(f"{task.task}: {failure_words(task.counts)} without an answer", markup=False, soft_wrap=True)
            for reason in reasons:
                out.print(f"  {reason.line()}", markup=False, highlight=False, soft_wrap=True)


def table(rows: list[dict[str, Any]]) -> None:
    from rich.markup import escape
    from rich.table import Table

    from speech_eval.cli.console import out

    table = Table(box=None, pad_edge=False)
    for column, name in enumerate(rows[0] if rows else []):
        table.add_column(name, overflow="fold", no_wrap=column == 0)
    for row in rows:
        table.add_row(*(escape(_cell(value)) for value in row.values()))
    out.print(table)


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)

"""What the command line shows: progress bars with time left, messages, and JSON alone on standard output."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

out = Console()
err = Console(stderr=True, highlight=False)


def emit(data: Any) -> None:
    """Print one JSON object on standard output, and nothing else there."""
    sys.stdout.write(json.dumps(data, ensure_ascii=False, sort_keys=True, allow_nan=False) + "\n")
    sys.stdout.flush()


def say(message: str) -> None:
    """A line for people, on standard error, with nothing in it read as markup."""
    err.print(escape(message), soft_wrap=True)


class Bars:
    """Progress bars on standard error, one a stage; `__call__` is a `speech_eval.progress.Progress`."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._ids: dict[str, Any] = {}
        self.prefix = ""

    def __call__(self, description: str, done: int, total: int | None) -> None:
        label = f"{self.prefix}{description}"
        if label not in self._ids:
            self._ids[label] = self._progress.add_task(escape(label), total=total)
        self._progress.update(self._ids[label], completed=done, total=total)


@contextlib.contextmanager
def bars() -> Iterator[Bars]:
    """Bars while the block runs; where standard error is no terminal, one line a finished stage."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, refresh_per_second=4) as progress:
        yield Bars(progress)

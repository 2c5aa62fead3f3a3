"""What the command line prints: lines and tables on standard output, messages on standard error, JSON alone."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, TextIO

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from speech_eval import progress
from speech_eval.progress import Progress, escaped, plain
from speech_eval.safety.redaction import redact

_SHORT = 16  # characters
out = Console(emoji=False, markup=False)
err = Console(emoji=False, markup=False, stderr=True, highlight=False)
_reserved: list[TextIO] = []  # standard output, while it is kept for one JSON object


def reserve_stdout(context: typer.Context) -> None:
    """Keep standard output for `emit` until the command ends: whatever else is written there, by models, libraries
    and processes that they start, goes to standard error."""
    if _reserved:
        return
    found = sys.stdout
    try:
        owned = found.fileno() == 1
    except (OSError, ValueError):  # it is captured, as in a test
        owned = False
    if owned:
        found.flush()
        _reserved.append(os.fdopen(os.dup(1), "w", encoding="utf-8"))
        os.dup2(2, 1)  # for good: threads and exit handlers may write after the command
    else:
        _reserved.append(found)
    sys.stdout = sys.stderr

    def release() -> None:
        sys.stdout = found
        _reserved.clear()

    context.call_on_close(release)


def emit(data: Any) -> None:
    """Print one JSON object on standard output, and nothing else there."""
    text = json.dumps(data, ensure_ascii=False, sort_keys=True, allow_nan=False)
    stream = _reserved[0] if _reserved else sys.stdout
    stream.write(escaped(text) + "\n")
    stream.flush()


def line(text: str, *, highlight: bool = True) -> None:
    """Print one line on standard output, whatever its length, without credentials; nothing in `text` is markup."""
    out.print(plain(redact(text)), soft_wrap=True, highlight=highlight)


def say(message: str) -> None:
    """Print a message on standard error, one line, without credentials; nothing in `message` is markup."""
    err.print(plain(redact(message)), soft_wrap=True)


def document(text: str) -> None:
    """Print a text of several lines as it is; on a terminal without control characters."""
    shown = "\n".join(map(plain, text.split("\n"))) if sys.stdout.isatty() else text
    sys.stdout.write(shown)
    sys.stdout.flush()


def table(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows under the names of the first row's columns. Short texts, such as numbers with their unit, are not
    broken, and neither are the names of the first column where all of that fits."""
    made = Table(box=None, pad_edge=False)
    cells = [[plain(redact(_cell(value))) for value in row.values()] for row in rows]
    names = list(rows[0]) if rows else []
    widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
    whole = sum(width + 1 for column, width in enumerate(widths) if column == 0 or width <= _SHORT) <= out.width
    for column, (name, width) in enumerate(zip(names, widths, strict=True)):
        made.add_column(name, overflow="fold", no_wrap=whole if column == 0 else width <= _SHORT)
    for row_cells in cells:
        made.add_row(*map(Text, row_cells))
    out.print(made)


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Iterable) and not isinstance(value, str):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)


def bars() -> AbstractContextManager[Progress]:
    """Progress bars on standard error while the block runs; where that is not a terminal, one line per stage."""
    return progress.bars(err)

"""Reports of long work: progress bars, and text made safe for a terminal. A library call is silent by default."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

# progress(description, done, total): called as often as work advances; total is None while it is unknown.
Progress = Callable[[str, int, int | None], None]


def silent(description: str, done: int, total: int | None) -> None:
    """Draw nothing."""


def labeled(progress: Progress, name: str) -> Progress:
    """`progress` with `name` before each description."""
    return lambda description, done, total: progress(f"{name} · {description}", done, total)


# say(message): a line worth reading.
Say = Callable[[str], None]


def unsaid(message: str) -> None:
    """Print nothing."""


# Control characters, line separators, marks that change the direction of text, invisible tags, halves of pairs.
_OTHERS = r"\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2060-\u206f\ufff9-\ufffb\U000e0000-\U000e007f\ud800-\udfff"
_CONTROL = re.compile(rf"[\x00-\x1f{_OTHERS}]")
_INVISIBLE = re.compile(rf"[\x00-\x08\x0b-\x1f{_OTHERS}]")


def plain(text: str) -> str:
    """Text from models and files made safe for a terminal: no control, line-ending or direction-changing characters."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def visible(text: str) -> str:
    """`plain` for pages and files, in which text may have lines and tabs."""
    return _INVISIBLE.sub("\N{REPLACEMENT CHARACTER}", text)


def escaped(json: str) -> str:
    """A JSON document of one line with the characters that `plain` replaces written as escapes; it means the same."""
    return _CONTROL.sub(lambda match: _escape(match[0]), json)


def _escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


@contextmanager
def bars(console: Console | None = None) -> Iterator[Progress]:
    """Progress bars while the block runs, on standard error unless `console` is another.

    Where that is not a terminal, one line per stage is printed at the end.
    """
    import rich.progress
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.fields[label]}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    ids: dict[str, TaskID] = {}

    def update(description: str, done: int, total: int | None) -> None:
        if description not in ids:
            ids[description] = drawing.add_task("", total=total, label=plain(description))
        drawing.update(ids[description], completed=done, total=total)

    with rich.progress.Progress(*columns, console=console or Console(stderr=True), refresh_per_second=4) as drawing:
        yield update


@contextmanager
def drawn(progress: bool | Progress) -> Iterator[Progress]:
    """The callback that a public function's `progress` asks for: bars for True, silence for False, else itself."""
    if progress is True:
        with bars() as shown:
            yield shown
    else:
        yield progress or silent

"""Progress of long work, as seen by the library: a callback. The command line draws bars; a library call is silent."""

from __future__ import annotations

from collections.abc import Callable

# progress(description, done, total): called as often as work advances; total None means not known yet.
Progress = Callable[[str, int, int | None], None]


def silent(description: str, done: int, total: int | None) -> None:
    """Draw nothing."""

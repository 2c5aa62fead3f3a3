"""What long work tells: how far it is, and lines. The command line draws them; a library call is silent."""

from __future__ import annotations

from collections.abc import Callable

# progress(description, done, total): called as often as work advances; total None means not known yet.
Progress = Callable[[str, int, int | None], None]


def silent(description: str, done: int, total: int | None) -> None:
    """Draw nothing."""


# say(message): a line worth reading.
Say = Callable[[str], None]


def unsaid(message: str) -> None:
    """Print nothing."""

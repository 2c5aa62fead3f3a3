"""`-v`: log messages of `speech_eval.*` on standard error."""

from __future__ import annotations

import logging
from typing import Annotated

import typer

LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)


def set_level(count: int) -> int:
    """Show messages from `LEVELS[count]` up, beside the progress bars."""
    from rich.logging import RichHandler

    from speech_eval.cli.console import err
    from speech_eval.progress import plain
    from speech_eval.safety.redaction import redact

    class Handler(RichHandler):
        def format(self, record: logging.LogRecord) -> str:
            return "\n".join(plain(line) for line in redact(super().format(record)).splitlines())

    logger = logging.getLogger("speech_eval")
    if count:
        logger.setLevel(LEVELS[min(count, len(LEVELS) - 1)])
    if count and not logger.handlers:
        logger.addHandler(Handler(console=err, show_path=False, omit_repeated_times=False))
    return count


Verbose = Annotated[
    int,
    typer.Option(
        "--verbose",
        "-v",
        count=True,
        callback=set_level,
        show_default=False,
        help="Log each step on standard error; -vv logs details.",
    ),
]

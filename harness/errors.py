"""Errors that name the thing and the remedy. The command line turns each into one line and an exit code."""

from __future__ import annotations

from collections.abc import Iterable

_FEW = 20  # names that a message shows where none is near
_LONGEST = 100  # characters of a name that are compared and shown


class SpeechEvalError(Exception):
    """Base of every error this project raises on purpose; the command line exits with `exit_code`."""

    exit_code = 2

    def __init__(self, problem: str, remedy: str = "") -> None:
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{problem} {remedy}".strip())


class BadInput(SpeechEvalError):
    """A file, an option or a record that cannot be used as it stands."""


class BadAudio(BadInput):
    """Audio that is missing, empty, not finite, or not decodable."""


class UnknownName(BadInput):
    """A task, model, metric or dataset name that nothing is registered under."""


def clipped(name: object) -> str:
    """A name as a message shows it, however long it is."""
    text = str(name)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def nearest(name: str, known: Iterable[str], listed: str = "") -> str:
    """The remedy for an unknown `name`: those of its family, else the nearest, or all where they are few; then the
    command that lists them, if there is one. It is short, however many are known."""
    from difflib import get_close_matches

    names = sorted(map(clipped, known))
    see = f" See: {listed}" if listed else ""
    family = [each for each in names if name in (each.partition("[")[0], each.rpartition("/")[2])]  # `wer` of `wer[…]`
    if near := family[:_FEW] or get_close_matches(name[:_LONGEST], names, n=3):
        return f"Did you mean {' or '.join(near)}?{see}"
    if listed and len(names) > _FEW:
        return see.strip()
    more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
    return f"Known: {', '.join(names[:_FEW])}{more}.{see}" if names else see.strip()


class NotComparable(BadInput):
    """Two runs whose numbers may not be set side by side."""


class RunLocked(BadInput):
    """Another process is writing the run directory."""


class NotFetched(BadInput):
    """Weights or recordings that are not on this machine yet."""


class ModelUnavailable(SpeechEvalError):
    """A model that no request reaches: nothing listens, the key is refused, the server does not know the model.

    The next request would fail in the same way, so a run stops after a few of these.
    """


class ModelDied(SpeechEvalError):
    """The process that a model lives in has ended: it must be loaded anew before the next request."""


class MissingExtra(SpeechEvalError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"The Python package '{package}' is not installed.",
            f"Install it with: pip install 'speech-eval-harness[{extra}]'",
        )
        self.package = package
        self.extra = extra

    def __reduce__(self) -> tuple[type[MissingExtra], tuple[str, str]]:
        """How it comes out of a scoring process."""
        return MissingExtra, (self.package, self.extra)


def require(module: str, extra: str, package: str | None = None):  # type: ignore[no-untyped-def]
    """Import an optional `module`, or raise `MissingExtra` that names the `extra` to install."""
    import importlib

    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and module.split(".")[0] != error.name.split(".")[0]:
            raise
        raise MissingExtra(package or module.split(".")[0], extra) from error

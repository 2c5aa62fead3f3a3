"""Code of models at work: kept from ending the process, from working for ever, and from failing without a reason."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from speech_eval.errors import SpeechEvalError
from speech_eval.safety.redaction import redact

GRACE_SECONDS = 30.0  # that code which ignores the end of its time has before the process ends
LONGEST_REASON = 2000  # characters
LONGEST_TRACEBACK = 6000
_LONGEST_MESSAGE = 20_000  # of a message before credentials are removed from it
_AGAIN_SECONDS = 1.0  # between interruptions of code that ignores them

# Whether a process whose model code cannot be interrupted may be ended: the command line's, never a notebook's.
may_end_process = False
_end = os._exit


class ModelExit(SpeechEvalError):
    """Code of a model called `sys.exit` or raised something else that ends programs."""


class TimedOut(SpeechEvalError):
    """Code of a model did not come back within its time."""


class _Overdue(BaseException):
    """Raised inside code whose time is over. No `Exception`, so that the code's own handlers do not take it."""


def own_process() -> None:
    """Make this process the command's own: `os._exit` in other code, which would end it without a word and with any
    code, raises `SystemExit`, or ends it with code 2 and a message where a thread calls it; and code that closes
    standard output or standard error leaves them open."""
    global may_end_process
    may_end_process = True
    owner, main = os.getpid(), threading.main_thread()

    def exit_(status: int) -> NoReturn:
        if os.getpid() == owner:
            if threading.current_thread() is main:
                raise SystemExit(status)
            sys.stderr.write(f"error: a thread of a model, plug-in or library tried to end the program ({status}).\n")
            sys.stderr.flush()
            status = 2
        _end(status)

    os._exit = exit_
    for stream in (sys.stdout, sys.stderr):
        for part in (stream, getattr(stream, "buffer", None)):
            if part is not None:
                part.close = part.flush  # type: ignore[method-assign]


@contextmanager
def contained(what: str) -> Iterator[None]:
    """Turn what ends programs, such as `sys.exit` in the block, into `ModelExit`; Ctrl-C still ends the program."""
    try:
        yield
    except (Exception, KeyboardInterrupt, _Overdue):
        raise
    except BaseException as error:
        raise ModelExit(
            f"{what} tried to end the program ({type(error).__name__}: {error}).",
            "Raise an exception that says what failed.",
        ) from error


@contextmanager
def limited(seconds: float, what: str, stuck: Callable[[str], None]) -> Iterator[None]:
    """Interrupt the block after `seconds` of wall time and raise `TimedOut`, naming `what`.

    Python code, sleeping and waiting are interrupted; a call of a library, once it returns. Where nothing has helped
    `GRACE_SECONDS` later and `may_end_process` is set, `stuck(message)` is called from another thread, to store and say
    what there is to say, and the process ends with exit code 2.
    """
    message = f"{what} did not answer within {seconds:g} s"
    waiting = _Waiting(seconds, lambda: stuck(message))
    try:
        with waiting:
            yield
    except _Overdue as error:
        raise TimedOut(f"{message}.", "Allow more time with --timeout SECONDS, or speed the model up.") from error


class _Waiting:
    """Interrupts the thread that entered it once `seconds` are over, and again until it is left."""

    def __init__(self, seconds: float, stuck: Callable[[], None]) -> None:
        self._seconds, self._stuck = seconds, stuck
        self._over = threading.Event()
        self._signals = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()

    def __enter__(self) -> None:
        self._thread = threading.get_ident()
        self._watcher = threading.Thread(target=self._watch, name="time limit", daemon=True)
        self._watcher.start()
        if self._signals:
            self._began = time.monotonic()
            self._handler = signal.signal(signal.SIGALRM, self._interrupt)
            self._timer = signal.setitimer(signal.ITIMER_REAL, self._seconds, _AGAIN_SECONDS)

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        if self._signals:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, self._handler)
            if (left := self._timer[0]) > 0:  # somebody else's timer goes on
                passed = time.monotonic() - self._began
                signal.setitimer(signal.ITIMER_REAL, max(left - passed, 0.001), self._timer[1])
        else:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread), None)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if not self._over.is_set():
            raise _Overdue

    def _watch(self) -> None:
        if self._over.wait(self._seconds):
            return
        end = time.monotonic() + GRACE_SECONDS
        while time.monotonic() < end:
            if not self._signals:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread), ctypes.py_object(_Overdue))
            if self._over.wait(_AGAIN_SECONDS):
                return
        if may_end_process:
            try:
                self._stuck()
            finally:
                sys.stderr.flush()
                _end(2)


# ------------------------------------------------------------------------------------------------ reasons


def reason(error: BaseException, *secrets: str) -> str:
    """`Type: message` of an error, without credentials, at most `LONGEST_REASON` characters.

    Whatever the error's own text does, this returns one that can be stored.
    """
    try:
        message = str(error)
    except Exception as second:
        message = f"(its message fails with {type(second).__name__})"
    return _storable(f"{type(error).__name__}: {message}", *secrets)[:LONGEST_REASON]


def trace(error: BaseException, *secrets: str) -> str:
    """The traceback of an error, its end where it is long, without credentials."""
    try:
        lines = "".join(traceback.format_exception(error))
    except Exception:
        lines = "".join(traceback.format_tb(error.__traceback__))
    return _storable(lines[-_LONGEST_MESSAGE:], *secrets)[-LONGEST_TRACEBACK:]


def place(error: BaseException) -> tuple[str, str, int]:
    """What tells one fault from another: the type of the error, and the file and line that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    return type(error).__name__, frames[-1].filename if frames else "", (frames[-1].lineno or 0) if frames else 0


def _storable(text: str, *secrets: str) -> str:
    return redact(text[:_LONGEST_MESSAGE].encode("utf-8", "replace").decode(), *secrets)

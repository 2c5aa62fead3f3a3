"""Code of a model ends neither the process nor lasts for ever, and what it raises can be stored."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
import time
from collections.abc import Callable

import pytest

from speech_eval.safety.guest import LONGEST_REASON, ModelExit, TimedOut, contained, limited, place, reason, trace


def loop() -> None:
    while True:
        pass


def loop_that_swallows() -> None:
    while True:
        try:
            time.sleep(10)
        except Exception:
            continue


ENDLESS: list[Callable[[], object]] = [
    loop,
    loop_that_swallows,
    lambda: time.sleep(30),
    lambda: threading.Event().wait(30),
    lambda: asyncio.run(asyncio.sleep(30)),
]


def unexpected(message: str) -> None:
    raise AssertionError(message)


@pytest.mark.parametrize("code", ENDLESS)
def test_code_that_does_not_come_back_is_interrupted(code: Callable[[], object]) -> None:
    start = time.monotonic()
    with pytest.raises(TimedOut, match=r"m did not answer within 0.2 s"), limited(0.2, "m", unexpected):
        code()
    assert time.monotonic() - start < 5


def test_a_loop_in_another_thread_is_interrupted() -> None:
    found: list[Exception] = []

    def work() -> None:
        try:
            with limited(0.2, "m", unexpected):
                loop()
        except TimedOut as error:
            found.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(10)
    assert not thread.is_alive() and len(found) == 1


def test_code_in_time_is_left_alone_and_the_alarm_of_others_goes_on() -> None:
    before = signal.getsignal(signal.SIGALRM)
    left, again = signal.setitimer(signal.ITIMER_REAL, 50.0)
    try:
        with limited(5.0, "m", unexpected):
            pass
        assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= 50 and signal.getsignal(signal.SIGALRM) is before
    finally:
        signal.setitimer(signal.ITIMER_REAL, left, again)


@pytest.mark.parametrize(
    "ending", [SystemExit(0), SystemExit("bye"), asyncio.CancelledError(), BaseException("x"), GeneratorExit()]
)
def test_what_would_end_the_program_is_an_error_by_name(ending: BaseException) -> None:
    with pytest.raises(ModelExit, match=f"x tried to end the program .{type(ending).__name__}"), contained("x"):
        raise ending


def test_an_interrupt_and_errors_pass() -> None:
    for error in (KeyboardInterrupt(), ValueError("x")):
        with pytest.raises(type(error)), contained("x"):
            raise error


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("plain"), "ValueError: plain"),
        (ValueError("\ud800 half"), "ValueError: ? half"),
        (Unprintable(), "Unprintable: (its message fails with RuntimeError)"),
        (ValueError("at http://u:pw@h/x"), "ValueError: at http://h/x"),
        (ValueError("hidden my secret"), "ValueError: hidden ***"),
    ],
)
def test_a_reason_can_always_be_stored(error: Exception, text: str) -> None:
    assert reason(error, "my secret") == text
    assert trace(error, "my secret").encode() and "my secret" not in trace(error, "my secret")


def test_a_long_reason_is_cut() -> None:
    assert len(reason(ValueError("x" * 10**6))) == LONGEST_REASON


def test_a_place_is_where_the_error_was_raised() -> None:
    def fail() -> None:
        raise ValueError(time.monotonic())

    def place_of() -> tuple[str, str, int]:
        try:
            fail()
        except ValueError as error:
            return place(error)
        return "", "", 0

    assert place_of() == place_of() and place_of()[1] == __file__ and sys.exc_info() == (None, None, None)

"""A simulated clock: latencies of fake models are exact and equal in every run."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections import deque
from contextlib import AbstractContextManager

from speech_eval.adapters.clock import Clock


class SimulatedClock(Clock):
    """Time that passes only through `advance`.

    In `together`, a thread that advances the clock sleeps until that moment, and the thread that wakes first runs next;
    of two that wake at the same moment, the one that went to sleep first. Runs are equal to the last digit.
    """

    simulated = True

    def __init__(self) -> None:
        self._now = 0.0
        self._baton = threading.Condition()
        self._asleep: list[tuple[float, int, int]] = []  # (wakes at, ticket, thread)
        self._tickets = itertools.count()
        self._running: int | None = None
        self._unborn = 0
        self._own = threading.local()

    def now(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass for the calling thread."""
        thread: int | None = getattr(self._own, "thread", None)
        if thread is None:
            self._now += seconds
            return
        with self._baton:
            self._sleep(thread, self._now + seconds)
            self._hand_over(thread)

    def queue(self) -> AbstractContextManager[None]:
        return _SimulatedQueue(self)

    # ------------------------------------------------------------------------------------------- threads

    def _sleep(self, thread: int, until: float) -> None:
        heapq.heappush(self._asleep, (until, next(self._tickets), thread))

    def _hand_over(self, thread: int) -> None:
        """Let the thread that wakes first run, and return when it is `thread`'s turn."""
        self._wake()
        self._baton.wait_for(lambda: self._running == thread)

    def _wake(self) -> None:
        self._running = None
        if self._asleep and not self._unborn:
            self._now, _, self._running = heapq.heappop(self._asleep)
        self._baton.notify_all()

    def _expect(self, threads: int) -> None:
        self._unborn = threads
        for number in range(threads):
            self._sleep(number, self._now)

    def _begin(self, number: int) -> None:
        self._own.thread = number
        with self._baton:
            self._unborn -= 1
            if not self._unborn:
                self._wake()
            self._baton.wait_for(lambda: self._running == number)

    def _end(self) -> None:
        with self._baton:
            self._wake()


class _SimulatedQueue(AbstractContextManager[None]):
    """The queue of a simulated clock: a thread that waits in it does not hold up the clock."""

    def __init__(self, clock: SimulatedClock) -> None:
        self._clock = clock
        self._waiting: deque[int] = deque()
        self._taken = False

    def __enter__(self) -> None:
        if not self._taken:
            self._taken = True
            return
        clock = self._clock
        thread: int = clock._own.thread
        with clock._baton:
            self._waiting.append(thread)
            clock._hand_over(thread)

    def __exit__(self, *exc: object) -> None:
        if self._waiting:
            self._clock._sleep(self._waiting.popleft(), self._clock.now())
        else:
            self._taken = False

"""Clocks. Latency is measured with the adapter's clock, so that a fake model has exact, testable times.

A clock also runs concurrent requests, because a simulated clock must know which request waits for what. On the wall
clock they are threads; the simulated clock (`speech_eval.testing.simulated_clock`) lets one thread run at a time, in
the order of simulated time.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

Step = Callable[[], bool]


class Clock(ABC):
    """Seconds since some fixed moment."""

    simulated: bool

    @abstractmethod
    def now(self) -> float: ...

    @abstractmethod
    def queue(self) -> AbstractContextManager[None]:
        """A lock that waiting threads get in the order in which they asked for it."""

    def together(self, step: Step, threads: int) -> None:
        """Call `step` again and again, from `threads` threads at once, until it returns False.

        What the first failing call raises is raised here, once all threads have ended; an interrupt likewise.
        """
        if threads == 1:
            while step():
                pass
            return
        failures: list[BaseException] = []
        stop = threading.Event()

        def work(number: int) -> None:
            try:
                self._begin(number)
                while not stop.is_set() and step():
                    pass
            except BaseException as error:
                failures.append(error)
                stop.set()
            finally:
                self._end()

        workers = [threading.Thread(target=work, args=(number,), name=f"request-{number}") for number in range(threads)]
        self._expect(threads)
        for worker in workers:
            worker.start()
        try:
            for worker in workers:
                worker.join()
        except BaseException:
            stop.set()
            for worker in workers:
                worker.join()
            raise
        if failures:
            raise failures[0]

    def _expect(self, threads: int) -> None:  # noqa: B027 - only the simulated clock has to know
        """Called before the threads start."""

    def _begin(self, number: int) -> None:  # noqa: B027 - only the simulated clock has to know
        """Called by each thread before its first step."""

    def _end(self) -> None:  # noqa: B027 - only the simulated clock has to know
        """Called by each thread after its last step."""


class WallClock(Clock):
    """The machine's monotonic clock."""

    simulated = False

    def now(self) -> float:
        return time.perf_counter()

    def queue(self) -> AbstractContextManager[None]:
        return _Queue()


class _Queue(AbstractContextManager[None]):
    """A fair lock. With Python's own, the thread that releases it may take it again before the others."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()
        self._taken = False

    def __enter__(self) -> None:
        with self._guard:
            if not self._taken:
                self._taken = True
                return
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        turn.acquire()

    def __exit__(self, *exc: object) -> None:
        with self._guard:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._taken = False


class Occupancy:
    """Shares the wall time of a pass among its requests: every moment in equal parts among those in progress.

    The shares of all requests add up to the time in which at least one was in progress, so seconds of audio divided by
    the shares give the throughput, and every request has its own share to resample.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._guard = threading.Lock()
        self._in_progress = 0
        self._each = 0.0  # seconds that a request in progress from the beginning would have got
        self._last = 0.0

    @contextmanager
    def request(self) -> Iterator[Callable[[], float]]:
        """Enclose one request; the function it yields returns the request's share in seconds once it has ended."""
        began = self._change(+1)
        share: list[float] = []
        try:
            yield lambda: share[0]
        finally:
            share.append(self._change(-1) - began)

    def _change(self, by: int) -> float:
        with self._guard:
            now = self._clock.now()
            if self._in_progress:
                self._each += (now - self._last) / self._in_progress
            self._last = now
            self._in_progress += by
            return self._each

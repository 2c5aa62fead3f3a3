"""Clocks. Latency is measured with an injected one, so a scripted model has exact, testable times.

A clock also runs requests at the same time, for a simulated one must know who is waiting for what: on the wall clock
they are threads; on the simulated one they are threads of which a single one runs, in the order of simulated time.
"""

from __future__ import annotations

import heapq
import itertools
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
        """A door that one thread at a time is behind; the others wait before it and enter in the order they came."""

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
    """A lock that is fair: with Python's own, the thread that gives it back may take it again before all others."""

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


class SimulatedClock(Clock):
    """Time that passes only when told to.

    In `together`, a thread that advances the clock sleeps until that moment, and the one that wakes first runs next;
    of two that wake at the same moment, the one that went to sleep first. So runs are equal to the last digit.
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
        thread: int | None = getattr(self._own, "thread", None)
        if thread is None:
            self._now += seconds
            return
        with self._baton:
            self._sleep(thread, self._now + seconds)
            self._hand_over(thread)

    def queue(self) -> AbstractContextManager[None]:
        return self._queue()

    def _queue(self) -> AbstractContextManager[None]:
        return _SimulatedQueue(self)

    # ------------------------------------------------------------------------------------------- threads

    def _sleep(self, thread: int, until: float) -> None:
        heapq.heappush(self._asleep, (until, next(self._tickets), thread))

    def _hand_over(self, thread: int) -> None:
        """Let the thread that wakes first run, and return when `thread` itself is that."""
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
    """The queue of a simulated clock: who waits in it does not hold up the clock."""

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


class Occupancy:
    """How the wall time of a pass is shared among its requests: every moment in equal parts by those under way.

    The shares of all requests add up to the time in which at least one was under way, so the seconds of audio over
    the shares are the throughput, and each request has a share of its own to be resampled with.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._guard = threading.Lock()
        self._under_way = 0
        self._each = 0.0  # seconds that a request under way from the beginning on would have got
        self._last = 0.0

    @contextmanager
    def request(self) -> Iterator[Callable[[], float]]:
        """Around one request; the function it gives tells the request's share in seconds after its end."""
        began = self._change(+1)
        share: list[float] = []
        try:
            yield lambda: share[0]
        finally:
            share.append(self._change(-1) - began)

    def _change(self, by: int) -> float:
        with self._guard:
            now = self._clock.now()
            if self._under_way:
                self._each += (now - self._last) / self._under_way
            self._last = now
            self._under_way += by
            return self._each

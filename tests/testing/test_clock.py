"""Clocks: simulated threads run in the order of simulated time, real ones at once, and queues are fair on both."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from speech_eval.adapters.clock import Clock, Occupancy, WallClock
from speech_eval.testing.simulated_clock import SimulatedClock


def steps(jobs: list[Callable[[], None]]) -> Callable[[], bool]:
    """A step that takes the jobs one by one."""
    waiting, guard = iter(jobs), threading.Lock()

    def step() -> bool:
        with guard:
            job = next(waiting, None)
        if job is None:
            return False
        job()
        return True

    return step


def test_simulated_threads_sleep_side_by_side() -> None:
    clock, ended = SimulatedClock(), []

    def job(seconds: float) -> None:
        clock.advance(seconds)
        ended.append((seconds, clock.now()))

    clock.together(steps([lambda s=s: job(s) for s in (3.0, 1.0, 1.5, 0.25)]), 2)  # type: ignore[misc]
    assert ended == [(1.0, 1.0), (1.5, 2.5), (0.25, 2.75), (3.0, 3.0)]


def test_of_threads_that_wake_at_once_the_one_that_slept_first_runs_first() -> None:
    for _ in range(20):
        clock, order = SimulatedClock(), []

        def job(number: int, clock: SimulatedClock = clock, order: list[int] = order) -> None:
            clock.advance(1.0)
            order.append(number)

        clock.together(steps([lambda n=n: job(n) for n in range(12)]), 4)  # type: ignore[misc]
        assert order == list(range(12)) and clock.now() == 3.0


def test_a_simulated_queue_lets_them_in_one_by_one_in_the_order_they_came() -> None:
    clock, times = SimulatedClock(), []
    door = clock.queue()

    def job() -> None:
        came = clock.now()
        with door:
            entered = clock.now()
            clock.advance(1.0)
        times.append((came, entered, clock.now()))

    clock.together(steps([job] * 5), 3)
    assert times == [(0, 0, 1), (0, 1, 2), (0, 2, 3), (1, 3, 4), (2, 4, 5)]


def test_a_real_queue_is_fair() -> None:
    clock, order = WallClock(), []
    door, all_there, own = clock.queue(), threading.Barrier(3, timeout=10), threading.local()

    def step() -> bool:
        if not hasattr(own, "name"):
            own.name = threading.current_thread().name
            all_there.wait()
        with door:
            order.append(own.name)
            time.sleep(0.03)  # the others are back before the door by then
        return len(order) < 9

    clock.together(step, 3)
    assert all(len(set(order[at : at + 3])) == 3 for at in range(0, 9, 3)), order


def test_real_threads_are_at_work_at_once() -> None:
    barrier = threading.Barrier(4, timeout=10)  # breaks unless four threads meet
    WallClock().together(steps([lambda: barrier.wait() and None] * 8), 4)


@pytest.mark.parametrize("clock", [SimulatedClock(), WallClock()], ids=["simulated", "wall"])
def test_what_one_thread_raises_stops_the_others_and_is_raised(clock: Clock) -> None:
    calls = []

    def step() -> bool:
        calls.append(1)
        if len(calls) == 5:
            raise KeyError("five")
        if isinstance(clock, SimulatedClock):
            clock.advance(1.0)
        return True

    with pytest.raises(KeyError):
        clock.together(step, 3)
    assert len(calls) <= 5 + 3
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("request-")]


def test_every_moment_is_shared_by_the_requests_under_way() -> None:
    clock = SimulatedClock()
    occupancy, shares = Occupancy(clock), {}

    def job(seconds: float) -> None:
        with occupancy.request() as share:
            clock.advance(seconds)
        shares[seconds] = share()

    clock.together(steps([lambda s=s: job(s) for s in (1.0, 4.0, 2.0)]), 2)  # type: ignore[misc]
    # 0-1: 1 and 4; 1-3: 4 and 2; 3-4: 4 alone.
    assert shares == {1.0: 0.5, 2.0: 1.0, 4.0: 2.5}
    assert sum(shares.values()) == clock.now() == 4.0

"""Clocks. Latency is measured with an injected one, so a scripted model has exact, testable times."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Seconds since some fixed moment."""

    simulated: bool

    def now(self) -> float: ...


class WallClock:
    """The machine's monotonic clock."""

    simulated = False

    def now(self) -> float:
        return time.perf_counter()


class SimulatedClock:
    """Time that passes only when told to."""

    simulated = True

    def __init__(self) -> None:
        self._now = 0.0

    def now(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += seconds

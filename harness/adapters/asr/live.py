"""What recognizers that write while they listen share."""

from __future__ import annotations

import time

from speech_eval.adapters.clock import Clock


class Pace:
    """Time since a speaker began. A simulated clock is not waited for."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._began = clock, clock.now()

    def wait(self, seconds: float) -> None:
        """Return once `seconds` of speech have been spoken."""
        early = self._began + seconds - self._clock.now()
        if early > 0 and not self._clock.simulated:
            time.sleep(early)

"""Speech that arrives in bursts, heard in time; and a stream of samples at another rate."""

from __future__ import annotations

from typing import Any

import numpy as np

from speech_eval.audio import Samples, check_header, check_length

_WHAT = "the server's speech"
_EMPTY: Samples = np.zeros(0, dtype=np.float32)


class Resampler:
    """A stream of samples at another rate (soxr); the same samples where the rate is right."""

    def __init__(self, source: int, target: int) -> None:
        self._stream: Any = None
        if source != target:
            import soxr

            self._stream = soxr.ResampleStream(source, target, 1, dtype="float32")

    def feed(self, samples: Samples) -> Samples:
        """The samples that come out for those that go in, possibly none yet."""
        return samples if self._stream is None else self._stream.resample_chunk(samples)


class Playback:
    """What a listener has still to hear, at `rate` Hz."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.played = 0  # samples heard of the present answer
        self._waiting = _EMPTY
        self._odd = b""  # half a sample
        self._resampler: tuple[int, Resampler] = (rate, Resampler(rate, rate))

    def add(self, pcm: bytes, rate: int | None) -> None:
        """16-bit samples that came, at `rate` Hz where the server states one.

        Raises `BadAudio` for an invalid rate, and for more than one listens to in `longest_seconds`.
        """
        check_header(rate or self.rate, 1, len(pcm) // 2, _WHAT)
        pcm = self._odd + pcm
        even = len(pcm) // 2 * 2
        self._odd = pcm[even:]
        samples = np.frombuffer(pcm[:even], dtype="<i2").astype(np.float32) / np.float32(32768.0)
        if (rate or self.rate) != self._resampler[0]:
            self._resampler = (rate or self.rate, Resampler(rate or self.rate, self.rate))
        self._waiting = np.concatenate([self._waiting, self._resampler[1].feed(samples)])
        check_length(len(self._waiting) / self.rate, _WHAT)

    def take(self, count: int) -> Samples:
        """The next `count` samples, silence where there are no more."""
        heard, self._waiting = self._waiting[:count], self._waiting[count:]
        self.played += len(heard)
        return np.pad(heard, (0, count - len(heard)))

    def drop(self) -> bool:
        """Forget what was not heard; False where there was nothing."""
        dropped = len(self._waiting) > 0
        self._waiting, self._odd = _EMPTY, b""
        return dropped

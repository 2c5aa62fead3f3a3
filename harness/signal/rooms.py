"""The sound of a room: reflections off the walls of a box, and the diffuse tail they dissolve into.

The first 50 ms are image sources (Allen & Berkley, "Image method for efficiently simulating small-room acoustics",
JASA 65, 1979), the walls absorbing what Eyring's formula asks for the reverberation time. What comes later is Gaussian
noise that falls by 60 dB in the reverberation time (Polack's model), of the energy that the images would have there:
c / (4πV) per second at the start.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from speech_eval.audio import Audio
from speech_eval.signal.level import SILENCE_DB, active_level

SOUND_SPEED = 343.0  # m/s
EARLY_SECONDS = 0.05
_SMALLEST, _LARGEST = np.array([4.0, 3.0, 2.4]), np.array([8.0, 6.0, 3.2])  # m: length, width, height
_FROM_WALLS = 0.5  # m
_DISTANCE = (1.0, 2.5)  # m from the talker to the microphone
_LOWEST = 50.0  # Hz; images of one sign add up to an offset, which a high-pass removes, as in the paper

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Room:
    """A box of `size` meters with a `talker` and a `microphone`, positions in meters from one corner."""

    size: Vector
    talker: Vector
    microphone: Vector

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Room:
        """A room of 4–8 × 3–6 × 2.4–3.2 m, the microphone 1 to 2.5 m from the talker."""
        size = rng.uniform(_SMALLEST, _LARGEST)
        while True:
            talker, microphone = (rng.uniform(_FROM_WALLS, size - _FROM_WALLS) for _ in range(2))
            if _DISTANCE[0] <= np.linalg.norm(talker - microphone) <= _DISTANCE[1]:
                return cls(size, talker, microphone)

    @property
    def volume(self) -> float:
        return float(np.prod(self.size))

    def impulse_response(self, seconds: float, rate: int, rng: np.random.Generator) -> Vector:
        """The response from the arrival of the direct sound on, for a reverberation time of `seconds`."""
        from scipy.signal import butter, sosfilt

        direct = float(np.linalg.norm(self.talker - self.microphone)) / SOUND_SPEED
        delays, gains = self._images(seconds, direct + EARLY_SECONDS)
        response = np.zeros(max(round(seconds * rate), round(EARLY_SECONDS * rate) + 1))
        np.add.at(response, np.round((delays - direct) * rate).astype(int), gains)
        response = np.asarray(sosfilt(butter(2, _LOWEST, "highpass", fs=rate, output="sos"), response))
        start = round(EARLY_SECONDS * rate)
        times = direct + np.arange(start, len(response)) / rate
        density = SOUND_SPEED / (4.0 * np.pi * self.volume * rate) * 10.0 ** (-6.0 * times / seconds)
        response[start:] += rng.standard_normal(len(times)) * np.sqrt(density)
        return response

    def _images(self, seconds: float, latest: float) -> tuple[Vector, Vector]:
        """Delays in seconds and gains of the images of the talker that are heard up to `latest`."""
        length, width, height = self.size
        surface = 2.0 * (length * width + length * height + width * height)
        # Eyring: T = 24 ln 10 V / (c S ln(1/R²)), where R is the part of the amplitude that a wall reflects.
        wall = np.exp(-12.0 * np.log(10.0) * self.volume / (SOUND_SPEED * surface * seconds))
        reach = np.ceil(latest * SOUND_SPEED / (2.0 * self.size)).astype(int) + 1
        n = np.stack(np.meshgrid(*(np.arange(-r, r + 1) for r in reach), indexing="ij"), -1).reshape(-1, 1, 3)
        mirrored = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1], indexing="ij"), -1).reshape(1, 8, 3)
        offsets = (1 - 2 * mirrored) * self.talker + 2 * n * self.size - self.microphone
        distances = np.linalg.norm(offsets, axis=-1)
        bounces = (np.abs(n - mirrored) + np.abs(n)).sum(axis=-1)
        heard = distances <= latest * SOUND_SPEED
        return distances[heard] / SOUND_SPEED, wall ** bounces[heard] / (4.0 * np.pi * distances[heard])


def reverberant(speech: Audio, seconds: float, rng: np.random.Generator) -> Audio:
    """`speech` in a room drawn from `rng` with a reverberation time of `seconds` (60 dB).

    It keeps its length, its active level (unless its peak would leave full scale) and its alignment to the direct
    sound; the tail beyond the end is cut.
    """
    from scipy.signal import fftconvolve

    response = Room.drawn(rng).impulse_response(seconds, speech.rate, rng)
    heard = Audio(fftconvolve(speech.samples, response)[: len(speech.samples)].astype(np.float32), speech.rate)
    before, after = active_level(speech), active_level(heard)
    if before < SILENCE_DB or not np.isfinite(after):
        return speech
    louder = heard.samples * 10.0 ** ((before - after) / 20.0)
    return Audio((louder / max(1.0, np.abs(louder).max())).astype(np.float32), speech.rate)

"""More voices from one: hibari spoken faster or slower, played back at another rate, its spectrum tilted.

Pitch and formants move by the same factor, as they do between speakers of different size. The voices differ in size,
pace and brightness and in nothing else: they stand for other speakers in training, and say nothing about other
microphones or accents.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from speech_eval.audio import Audio, Samples

_TILTED = (200.0, 6000.0)  # Hz between which a tilt acts


@dataclass(frozen=True)
class Voice:
    """`size` divides pitch and formants, `pace` is the speed of speech as a factor, `tilt` is in dB per octave."""

    size: float
    pace: float = 1.0
    tilt: float = 0.0


ASSISTANT = "hibari-heart"
_SIZES = (0.80, 0.82, 0.84, 0.86, 0.88, 0.95, 0.97, 0.99, 1.01, 1.03, 1.05, 1.07, 1.13, 1.15, 1.17, 1.19, 1.21, 1.24)
_PACES, _TILTS = (1.0, 0.9, 1.12, 0.95, 1.06), (0.0, -3.0, 2.0, -1.5)
CROWD = {
    f"hibari-user-{n:02d}": Voice(size, _PACES[n % len(_PACES)], _TILTS[n % len(_TILTS)])
    for n, size in enumerate(_SIZES, 1)
}
"""Users of simulated dialogues. None has the size of `hibari-mid` (1.1) or `hibari-clear` (0.91), which test."""
VOICES = {
    **{"hibari-heart": Voice(1.0), "hibari-low": Voice(1.2), "hibari-high": Voice(0.88), "hibari-mid": Voice(1.1)},
    **{"hibari-small": Voice(0.8), "hibari-deep": Voice(1.15), "hibari-even": Voice(1.05), "hibari-clear": Voice(0.91)},
    **{"hibari-bright": Voice(0.94), "hibari-light": Voice(0.84)},
    **CROWD,
}


def say(voice: str, text: str, seed: int) -> Audio:
    """English text in a voice of `VOICES`, at 24 kHz. A text without a pronounceable word gives no samples."""
    from speech_eval.adapters.tts.hibari import SAMPLE_RATE, join

    made = VOICES[voice]
    spoken = join(
        (Audio(part, SAMPLE_RATE) for part in _engine().stream(text, speed=made.size * made.pace, seed=seed)),
        SAMPLE_RATE,
    )
    heard = Audio(spoken.samples, round(SAMPLE_RATE / made.size)).resampled(SAMPLE_RATE)
    return Audio(tilted(heard.samples, heard.rate, made.tilt), heard.rate) if made.tilt else heard


def tilted(samples: Samples, rate: int, tilt: float) -> Samples:
    """Samples with their spectrum tilted by so many dB per octave around 1 kHz, at the same RMS."""
    spectrum = np.fft.rfft(samples)
    octaves = np.log2(np.clip(np.fft.rfftfreq(len(samples), 1 / rate), *_TILTED) / 1000.0)
    found = np.fft.irfft(spectrum * 10 ** (tilt * octaves / 20), n=len(samples))
    level = np.sqrt(np.mean(samples**2) / max(float(np.mean(found**2)), 1e-12))
    return np.asarray(found * level, dtype=np.float32)


@cache
def _engine() -> Any:
    from speech_eval.adapters.tts.hibari import engine

    return engine()

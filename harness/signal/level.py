"""How loud speech is and where it begins, relative to its own level, so that a gain changes nothing.

Levels are dB relative to full scale (dBFS), over windows of 10 ms, each less its mean: an offset is not sound.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from speech_eval.audio import Audio

WINDOW_SECONDS = 0.01
SILENCE_DB = -90.0  # digital silence: below one step of 16-bit audio, with its dither
AUDIBLE_DB = -15.9  # relative to the active level, the margin of ITU-T P.56
_GATE = 0.1  # 10 dB below the mean power; pauses are not speech


def active_level(audio: Audio) -> float:
    """The level of the speech without its pauses in dBFS: the mean power of the windows at most 10 dB below the mean
    power of all, as the relative gate of ITU-R BS.1770. Minus infinity for digital zero."""
    return _active(_powers(audio))


def audible(audio: Audio) -> bool:
    """Whether the active level is above digital silence (-90 dBFS)."""
    return active_level(audio) >= SILENCE_DB


def leading_silence(audio: Audio) -> float | None:
    """Seconds before the first window less than 15.9 dB below the active level; None for inaudible audio."""
    powers = _powers(audio)
    level = _active(powers)
    if level < SILENCE_DB:
        return None
    first = np.flatnonzero(powers >= 10.0 ** ((level + AUDIBLE_DB) / 10.0))[0]
    return float(first * _window(audio) / audio.rate)


def speech_spans(audio: Audio) -> list[tuple[float, float]]:
    """Where it is audible, in seconds: windows less than 15.9 dB below the active level, in one span where at most
    0.2 seconds lie between them. Spans under 0.1 seconds are left out."""
    gap, shortest = 0.2, 0.1
    powers = _powers(audio)
    level = _active(powers)
    if level < SILENCE_DB:
        return []
    at = np.flatnonzero(powers >= 10.0 ** ((level + AUDIBLE_DB) / 10.0))
    seconds = _window(audio) / audio.rate
    parts = np.split(at, np.flatnonzero(np.diff(at) * seconds > gap + seconds) + 1)
    spans = [(float(part[0] * seconds), float((part[-1] + 1) * seconds)) for part in parts]
    return [(start, end) for start, end in spans if end - start >= shortest]


def _window(audio: Audio) -> int:
    return max(1, round(audio.rate * WINDOW_SECONDS))


def _powers(audio: Audio) -> NDArray[np.float64]:
    """Variance of each window; the last one is filled up with its last sample."""
    padded = np.pad(audio.samples, (0, -len(audio.samples) % _window(audio)), mode="edge")
    return padded.reshape(-1, _window(audio)).var(axis=1, dtype=np.float64)


def _active(powers: NDArray[np.float64]) -> float:
    active = powers[powers >= _GATE * powers.mean()].mean()
    return float(10.0 * np.log10(active)) if active > 0.0 else -np.inf

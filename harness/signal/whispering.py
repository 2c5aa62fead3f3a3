"""Whispered speech from voiced speech: the spectral envelope stays, its source becomes noise."""

from __future__ import annotations

import numpy as np

from speech_eval.audio import Samples

WINDOW = 0.025  # seconds
QUEFRENCY = 0.002  # seconds; the harmonics of voices lie above it
TILT = 500.0  # Hz; below it a whisper has little energy


def whispered(samples: Samples, rate: int) -> Samples:
    """`samples` [n] at `rate` Hz as a whisper of the same length: no pitch, and little energy below 500 Hz.

    Each frame of 25 ms becomes noise in the shape of its cepstrally smoothed spectrum. Depends on the arguments alone.
    """
    size = 2 * round(rate * WINDOW / 2)
    hop = size // 4
    window = np.hanning(size + 1)[:-1]
    count = 1 + max(0, -(-(len(samples) + 2 * size) // hop))
    padded = np.zeros(count * hop + size)
    padded[size : size + len(samples)] = samples
    noise = np.random.default_rng(0).standard_normal(len(padded))
    frames = np.arange(count)[:, None] * hop + np.arange(size)
    spectrum = np.abs(np.fft.rfft(padded[frames] * window))
    cepstrum = np.fft.irfft(np.log(spectrum + 1e-6))
    kept = round(rate * QUEFRENCY)
    cepstrum[:, kept : size - kept + 1] = 0.0
    envelope = np.exp(np.fft.rfft(cepstrum).real)
    frequency = np.fft.rfftfreq(size, 1 / rate)
    envelope *= frequency**2 / (frequency**2 + TILT**2)
    sound = np.fft.irfft(np.fft.rfft(noise[frames] * window) * envelope) * window
    out = np.zeros(len(padded))
    np.add.at(out, frames, sound)
    return np.asarray(out[size : size + len(samples)] / size**0.5, dtype=np.float32)

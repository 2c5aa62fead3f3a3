"""Noise at a stated signal-to-noise ratio: the talk of other people, or stationary noise in the spectrum of speech.

The ratio is the active level of the speech (`speech_eval.signal.level`) over the mean power of the noise, in dB: pauses
of the speech do not make the noise quieter. The speech keeps its level, unless the sum would leave full scale: then
both are turned down together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from speech_eval.audio import Audio
from speech_eval.errors import BadAudio
from speech_eval.signal.level import SILENCE_DB, active_level

TALKERS = 6  # of a babble; a set with fewer other recordings gives as many as it has
_SPECTRUM_SECONDS = 0.032  # of the frames whose mean spectrum stationary noise takes

Waveform = NDArray[np.float64]
LoadOther = Callable[[], Audio]


def babble(others: Sequence[LoadOther], frames: int, rate: int, rng: np.random.Generator) -> Waveform:
    """[frames] of up to six of the recordings `others` at once, each at the same active level.

    Each begins at a random place and is repeated to fill the time. Which six and where depends on `rng` alone.
    Raises `BadAudio` where none of them is audible.
    """
    chosen = rng.permutation(len(others))[:TALKERS]
    places = rng.random(len(chosen))
    mixed = np.zeros(frames)
    for number, place in zip(chosen, places, strict=True):
        talk = others[number]().resampled(rate)
        level = active_level(talk)
        if level > SILENCE_DB:
            start = int(place * len(talk.samples))
            mixed += 10.0 ** (-level / 20.0) * np.resize(np.roll(talk.samples, -start), frames)
    if not mixed.any():
        raise BadAudio("There is no audible recording to make babble of.", "Give data with other people's speech.")
    return mixed


def speech_shaped(speech: Audio, rng: np.random.Generator) -> Waveform:
    """Gaussian noise as long as `speech`, with its mean spectrum."""
    from scipy.signal import welch

    frames = len(speech.samples)
    size = min(frames, round(speech.rate * _SPECTRUM_SECONDS))
    frequencies, powers = welch(speech.samples.astype(np.float64), speech.rate, nperseg=size)
    white = np.fft.rfft(rng.standard_normal(frames))
    shape = np.interp(np.fft.rfftfreq(frames, 1.0 / speech.rate), frequencies, np.sqrt(powers))
    return np.asarray(np.fft.irfft(white * shape, frames))


def mixed(speech: Audio, noise: Waveform, snr: float) -> Audio:
    """`speech` with `noise` [frames] at `snr` dB below it; a recording without sound stays as it is."""
    level, power = active_level(speech), float(np.mean(np.square(noise)))
    if level < SILENCE_DB or power == 0.0:
        return speech
    gain = 10.0 ** ((level - snr) / 20.0) / power**0.5
    total = speech.samples + gain * noise
    return Audio((total / max(1.0, np.abs(total).max())).astype(np.float32), speech.rate)

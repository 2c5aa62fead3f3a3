"""What carries speech changes it: a telephone line, Opus at a low bitrate, the speed and level of a recorder."""

from __future__ import annotations

import numpy as np

from speech_eval.audio import Audio
from speech_eval.signal import opus
from speech_eval.signal.level import SILENCE_DB, active_level

TELEPHONE_RATE = 8000
TELEPHONE_BAND = (300.0, 3400.0)  # Hz
_MU = 255.0


def telephone(speech: Audio) -> Audio:
    """`speech` over a narrow-band line: 300–3400 Hz (Butterworth, fourth order at each end), 8 kHz, 8 bits of µ-law."""
    from scipy.signal import butter, sosfilt

    narrow = speech.resampled(TELEPHONE_RATE)
    band = butter(4, TELEPHONE_BAND, "bandpass", fs=TELEPHONE_RATE, output="sos")
    line = np.clip(sosfilt(band, narrow.samples), -1.0, 1.0)
    code = np.round(127.0 * np.sign(line) * np.log1p(_MU * np.abs(line)) / np.log1p(_MU)) / 127.0
    heard = np.sign(code) * np.expm1(np.abs(code) * np.log1p(_MU)) / _MU
    return _as_long(Audio(heard.astype(np.float32), TELEPHONE_RATE).resampled(speech.rate), speech)


def compressed(speech: Audio, kilobits: float) -> Audio:
    """`speech` through Opus at `kilobits` per second, as the model `opus` codes it."""
    wide = speech.resampled(opus.RATE)
    return _as_long(Audio(opus.encode(wide.samples, round(1000 * kilobits)).decode(), opus.RATE), speech)


def sped(speech: Audio, factor: float) -> Audio:
    """`speech` played `factor` times as fast: shorter, and as much higher in pitch."""
    import soxr

    samples = soxr.resample(speech.samples, speech.rate * factor, speech.rate, quality="VHQ")
    return Audio(samples.astype(np.float32), speech.rate)


def at_level(speech: Audio, level: float) -> Audio:
    """`speech` at an active level of `level` dBFS, clipped at full scale, as a recorder does; a recording without sound
    stays as it is."""
    before = active_level(speech)
    if before < SILENCE_DB:
        return speech
    gain = 10.0 ** ((level - before) / 20.0)
    return Audio(np.clip(gain * speech.samples, -1.0, 1.0).astype(np.float32), speech.rate)


def _as_long(heard: Audio, speech: Audio) -> Audio:
    """`heard` at the rate and of the length of `speech`; the ends of resampling differ by a few samples."""
    samples = heard.resampled(speech.rate).samples[: len(speech.samples)]
    return Audio(np.pad(samples, (0, len(speech.samples) - len(samples))), speech.rate)

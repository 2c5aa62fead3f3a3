"""Mel-cepstral distortion."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct

from speech_eval.metrics.base import ScoringItem, Summary, Unscorable, Value
from speech_eval.metrics.codec.pairs import Pair, PairMetric
from speech_eval.records import Sample
from speech_eval.signal.features import mel_power

_RATE = 16_000
_BANDS = 40
ORDER = 13
_FLOOR_DB = 60.0  # weaker bands are raised to this level below the signal's strongest
_SPEECH_DB = 40.0  # frames weaker than this below the recording's loudest are pauses

Floats = NDArray[np.float64]


class MelCepstralDistortion(PairMetric):
    """Distance of smoothed spectra in dB, over the frames in which the recording is within 40 dB of its loudest frame.

    With ln|X_m| = c_0 + sum over d of c_d cos(pi d (m + 1/2) / 40) for mel band m, a frame's distortion is
    10 sqrt(2) / ln 10 * sqrt(sum over d = 1..13 of (c_d - c'_d)^2): the root mean square difference of the spectra
    smoothed by 13 coefficients. Without c_0 the level has no effect. Bands more than 60 dB below the signal's strongest
    are raised to -60 dB, or digital silence in a cut-off band would dominate. Frames are compared in place, without
    time warping, and cepstra are those of mel spectra, not of a vocoder's envelope: scales of other programs differ.
    """

    id = "mcd[mel-13@1]"
    description = "Mel-cepstral distortion, 13 coefficients without energy, 40 mel bands, 25 ms windows every 10 ms"
    source = "Kubichek 1993; the formula above"
    rate = _RATE
    summaries = (Summary("mcd", "mean", ("mcd",), unit="dB", direction="lower"),)

    def compare(self, item: ScoringItem, both: Pair) -> Value:
        """Part: `mcd`, the mean over speech frames. Raises `Unscorable` below one window."""
        if len(both.reference) < 400:
            raise Unscorable(f"Sample {item.sample.id}: shorter than 25 ms.", "Leave the sample out of the dataset.")
        energy = mel_power(both.reference, _BANDS).astype(np.float64).sum(axis=1)
        speech = energy > energy.max() * 10 ** (-_SPEECH_DB / 10)
        difference = cepstra(both.output)[speech] - cepstra(both.reference)[speech]
        frames = 10 * np.sqrt(2) / np.log(10) * np.sqrt((difference**2).sum(axis=1))
        return Value(parts={"mcd": float(frames.mean())}, detail={"frames": int(speech.sum())})

    def failure(self, sample: Sample) -> dict[str, float]:
        """20 dB, which is more than white noise scores."""
        return {"mcd": 20.0}


def cepstra(samples: NDArray[np.float32]) -> Floats:
    """Coefficients 1 to 13 [frames, 13] of 16 kHz samples."""
    power = mel_power(samples, _BANDS).astype(np.float64)
    log_magnitude = 0.5 * np.log(np.maximum(power, power.max() * 10 ** (-_FLOOR_DB / 10)))
    return dct(log_magnitude, type=2, axis=1)[:, 1 : ORDER + 1] / _BANDS

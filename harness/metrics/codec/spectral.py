"""Distances between magnitude spectrograms at two resolutions, as the Descript Audio Codec is evaluated."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from speech_eval.metrics.base import ScoringItem, Summary, Unscorable, Value
from speech_eval.metrics.codec.pairs import Pair, PairMetric
from speech_eval.records import Sample
from speech_eval.signal.features import slaney_filters

WINDOWS = (2048, 512)  # samples; the hop is a quarter
MEL_BANDS = (150, 80)
_FLOOR = 1e-5

Floats = NDArray[np.float64]


class _SpectralDistance(PairMetric):
    """The sum over resolutions of the mean difference of magnitudes and of log10 powers floored at 1e-10.

    Spectra are taken at the recording's own rate, so a band that the codec lost counts. The windows are in samples, as
    in the original: compare codecs on the same recordings only.
    """

    worst: ClassVar[float]

    def compare(self, item: ScoringItem, both: Pair) -> Value:
        """Part: `distance`. Raises `Unscorable` below half of the longest window."""
        if len(both.reference) <= WINDOWS[0] // 2:
            raise Unscorable(
                f"Sample {item.sample.id}: {len(both.reference)} samples are too few.", "Leave the sample out."
            )
        pairs = zip(self.spectra(both.reference, both.rate), self.spectra(both.output, both.rate), strict=True)
        return Value(parts={"distance": float(sum(_distance(a, b) for a, b in pairs))})

    def failure(self, sample: Sample) -> dict[str, float]:
        """About the score of digital silence against clean speech."""
        return {"distance": self.worst}

    @abstractmethod
    def spectra(self, samples: NDArray[np.float32], rate: int) -> list[Floats]:
        """One magnitude spectrogram [frames, bins] per resolution."""


class STFTDistance(_SpectralDistance):
    """Distance over linear frequency."""

    id = "stft-distance[multi-resolution]"
    description = "Difference of STFT magnitudes and log powers, Hann windows of 2048 and 512 samples, hop a quarter"
    source = "Kumar et al. 2023 (DAC), MultiScaleSTFTLoss of descript-audio-codec c7cfc5d with its defaults"
    summaries = (Summary("stft-distance", "mean", ("distance",), unit="", direction="lower", headline=False),)
    worst = 18.0

    def spectra(self, samples: NDArray[np.float32], rate: int) -> list[Floats]:
        return [magnitudes(samples, window) for window in WINDOWS]


class MelDistance(_SpectralDistance):
    """Distance over mel bands, 150 of the long window and 80 of the short one."""

    id = "mel-distance[multi-resolution]"
    description = "Difference of mel magnitudes and log powers: 150 bands of 2048 samples, 80 of 512, hop a quarter"
    source = "Kumar et al. 2023 (DAC), MelSpectrogramLoss of descript-audio-codec c7cfc5d with its defaults"
    summaries = (Summary("mel-distance", "mean", ("distance",), unit="", direction="lower"),)
    worst = 14.0

    def spectra(self, samples: NDArray[np.float32], rate: int) -> list[Floats]:
        return [
            magnitudes(samples, window) @ slaney_filters(bands, window, rate).T
            for window, bands in zip(WINDOWS, MEL_BANDS, strict=True)
        ]


def magnitudes(samples: NDArray[np.floating], window: int) -> Floats:
    """|STFT| [frames, window / 2 + 1] of more than window / 2 samples: periodic Hann, hop window / 4, centered on
    samples reflected at both ends."""
    padded = np.pad(samples.astype(np.float64), window // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[:: window // 4]
    return np.abs(np.fft.rfft(frames * np.hanning(window + 1)[:-1]))


def _distance(a: Floats, b: Floats) -> float:
    log_a, log_b = (2 * np.log10(np.maximum(x, _FLOOR)) for x in (a, b))
    return float(np.abs(log_a - log_b).mean() + np.abs(a - b).mean())

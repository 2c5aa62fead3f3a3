"""Accuracy of pitch: fundamental frequency by YIN, compared frame by frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from speech_eval.metrics.base import ScoringItem, Summary, Unscorable, Value
from speech_eval.metrics.codec.pairs import Pair, PairMetric
from speech_eval.records import Sample

_RATE = 16_000
LOWEST, HIGHEST = 60.0, 500.0  # Hz
_WINDOW = 512  # samples, 32 ms: two periods of the lowest voice or nearly
_HOP = 160
_DIP = 0.15  # YIN's threshold: a frame is voiced where the normalized difference falls below it
_SPEECH_DB = 40.0  # and where it is within this of the loudest frame
MIN_FRAMES = 10

Floats = NDArray[np.float64]


class PitchAccuracy(PairMetric):
    """Correlation and root mean square error of F0 over the frames that are voiced in both, and the share of frames
    whose voicing differs."""

    id = "f0[yin@1]"
    description = "F0 by YIN (60 to 500 Hz, every 10 ms): correlation, RMSE and voicing errors against the recording"
    source = "de Cheveigné and Kawahara 2002 (YIN, steps 1 to 5, threshold 0.15), own implementation"
    rate = _RATE
    summaries = (
        Summary("f0-correlation", "mean", ("correlation",), unit="", direction="higher"),
        Summary("f0-rmse", "mean", ("rmse",), unit="Hz", direction="lower", headline=False),
        Summary("voicing-error", "mean", ("voicing_error",), unit="%", direction="lower", scale=100, headline=False),
    )

    def compare(self, item: ScoringItem, both: Pair) -> Value:
        """Parts: `correlation`, `rmse` in Hz, `voicing_error`. Raises `Unscorable` where fewer than 10
        frames are voiced in both or one of the two contours is constant."""
        reference, output = f0(both.reference), f0(both.output)
        voiced = ~np.isnan(reference) & ~np.isnan(output)
        a, b = reference[voiced], output[voiced]
        if len(a) < MIN_FRAMES or np.ptp(a) == 0 or np.ptp(b) == 0:
            raise Unscorable(
                f"Sample {item.sample.id}: {len(a)} frames are voiced in both; too few, or a constant pitch.",
                "Check the model's output, or leave the sample out of the dataset.",
            )
        parts = {
            "correlation": float(np.clip(np.corrcoef(a, b)[0, 1], -1, 1)),
            "rmse": float(np.sqrt(np.mean((a - b) ** 2))),
            "voicing_error": float(np.mean(np.isnan(reference) != np.isnan(output))),
        }
        return Value(parts=parts, detail={"frames": len(reference), "voiced": len(a)})

    def failure(self, sample: Sample) -> dict[str, float]:
        """No correlation (0, as for unrelated melodies), an error of the whole search range, all voicing wrong."""
        return {"correlation": 0.0, "rmse": HIGHEST - LOWEST, "voicing_error": 1.0}


def f0(samples: NDArray[np.float32]) -> Floats:
    """F0 in Hz [frames] of 16 kHz samples, one frame every 10 ms, NaN where unvoiced."""
    longest = int(np.ceil(_RATE / LOWEST)) + 1
    shortest = int(_RATE / HIGHEST)
    span = _WINDOW + longest
    padded = np.pad(samples.astype(np.float64), (span // 2, span))
    frames = np.lib.stride_tricks.sliding_window_view(padded, span)[: len(samples) : _HOP]
    curves = _normalized_difference(frames, longest)
    level = 10 * np.log10(np.maximum((frames[:, :_WINDOW] ** 2).mean(axis=1), 1e-12))
    loud = level > level.max() - _SPEECH_DB
    return np.array([_period(curve, shortest) if ok else np.nan for curve, ok in zip(curves, loud, strict=True)])


def _normalized_difference(frames: Floats, longest: int) -> Floats:
    """YIN's cumulative mean normalized difference, lags 0 to `longest` [frames, longest + 1]."""
    size = 1 << (frames.shape[1] + _WINDOW - 1).bit_length()
    head = np.fft.rfft(frames[:, :_WINDOW], size)
    products = np.fft.irfft(np.fft.rfft(frames, size) * head.conj(), size)[:, : longest + 1]
    energy = np.cumsum(np.pad(frames**2, ((0, 0), (1, 0))), axis=1)
    moving = energy[:, _WINDOW : _WINDOW + longest + 1] - energy[:, : longest + 1]
    difference = np.maximum(0.0, moving[:, :1] + moving - 2 * products)
    mean = np.cumsum(difference[:, 1:], axis=1) / np.arange(1, longest + 1)
    return np.pad(difference[:, 1:] / np.maximum(mean, 1e-12), ((0, 0), (1, 0)), constant_values=1.0)


def _period(curve: Floats, shortest: int) -> float:
    """F0 at the bottom of the first dip below the threshold, with a parabola through its three points."""
    below = np.flatnonzero(curve[shortest:-1] < _DIP)
    if len(below) == 0:
        return np.nan
    lag = int(below[0]) + shortest
    while lag + 2 < len(curve) and curve[lag + 1] < curve[lag]:
        lag += 1
    left, middle, right = curve[lag - 1], curve[lag], curve[lag + 1]
    bend = left - 2 * middle + right
    shift = 0.5 * (left - right) / bend if bend > 0 else 0.0
    return _RATE / (lag + float(np.clip(shift, -1, 1)))

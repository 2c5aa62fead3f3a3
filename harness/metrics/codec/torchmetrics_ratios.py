"""Ratios of signal to distortion by torchmetrics itself, for comparison with papers that use it."""

from __future__ import annotations

import math
from typing import ClassVar

from speech_eval.errors import require
from speech_eval.metrics.base import ScoringItem, Summary, Unscorable, Value
from speech_eval.metrics.codec.pairs import Pair, PairMetric
from speech_eval.metrics.codec.sisdr import HIGHEST, LOWEST
from speech_eval.records import Sample


class _Ratio(PairMetric):
    """dB, in double precision and clipped to -30 to 100 dB, as `si-sdr[torchmetrics-definition]` is and for its
    reasons."""

    extra = "torchmetrics"
    name: ClassVar[str]
    function: ClassVar[str]  # of torchmetrics.functional.audio

    @classmethod
    def ready(cls) -> None:
        require("torchmetrics", cls.extra)

    def compare(self, item: ScoringItem, both: Pair) -> Value:
        """One part, named as the summary. Raises `Unscorable` for a recording that leaves the ratio undefined."""
        torch, audio = require("torch", self.extra), require("torchmetrics.functional.audio", self.extra)
        output, reference = (torch.from_numpy(samples).double() for samples in (both.output, both.reference))
        try:
            value = float(getattr(audio, self.function)(output, reference))
        except torch.linalg.LinAlgError as error:
            raise Unscorable(
                f"Sample {item.sample.id}: its recording is too simple for the filter of {self.id}.",
                "Leave the sample out of the dataset.",
            ) from error
        if math.isnan(value) and self.name != "sdr":
            raise ArithmeticError(f"{self.function} is not a number.")
        # A coherence that rounding puts above 1 has no logarithm: the signals are the same but for a filter.
        value = HIGHEST if math.isnan(value) else value
        return Value(parts={self.name: min(HIGHEST, max(LOWEST, value))})

    def failure(self, sample: Sample) -> dict[str, float]:
        """-30 dB, the lower clipping limit."""
        return {self.name: LOWEST}


class TorchMetricsSISNR(_Ratio):
    """The scale-invariant ratio of signals less their means."""

    id = "si-snr[torchmetrics@1.9.0]"
    description = "Scale-invariant signal-to-noise ratio of the decoded waveform, means removed"
    source = "Luo and Mesgarani 2018, Python package torchmetrics 1.9.0: scale_invariant_signal_noise_ratio"
    name, function = "si-snr", "scale_invariant_signal_noise_ratio"
    summaries = (Summary("si-snr", "mean", ("si-snr",), unit="dB", direction="higher"),)


class TorchMetricsSISDR(_Ratio):
    """The scale-invariant ratio by the package; `si-sdr[torchmetrics-definition]` computes the same without torch."""

    id = "si-sdr[torchmetrics@1.9.0]"
    description = "Scale-invariant signal-to-distortion ratio of the decoded waveform, by torchmetrics"
    source = "Le Roux et al. 2019, Python package torchmetrics 1.9.0: scale_invariant_signal_distortion_ratio"
    name, function = "si-sdr", "scale_invariant_signal_distortion_ratio"
    summaries = (Summary("si-sdr", "mean", ("si-sdr",), unit="dB", direction="higher"),)


class TorchMetricsSDR(_Ratio):
    """The ratio of BSS Eval: what a filter of 512 taps can make of the recording does not count as distortion, so a
    delay, a gain and a change of the spectrum cost nothing."""

    id = "sdr[torchmetrics@1.9.0]"
    description = "Signal-to-distortion ratio of BSS Eval, up to a filter of 512 taps"
    source = "Vincent et al. 2006, Scheibler 2021, Python package torchmetrics 1.9.0: signal_distortion_ratio"
    name, function = "sdr", "signal_distortion_ratio"
    summaries = (Summary("sdr", "mean", ("sdr",), unit="dB", direction="higher"),)

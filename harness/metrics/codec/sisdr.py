"""Scale-invariant signal-to-distortion ratio of waveforms."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from speech_eval.metrics.base import ScoringItem, Summary, Value
from speech_eval.metrics.codec.pairs import Pair, PairMetric
from speech_eval.records import Sample

LOWEST, HIGHEST = -30.0, 100.0  # dB; see `SISDR`


class SISDR(PairMetric):
    """Energy of the recording's projection over the energy of the rest, in dB, means not removed.

    Values are clipped to -30 to 100 dB. Higher values would measure floating-point precision (identical signals score
    50 dB or 170 dB by precision alone), lower ones signals unrelated to the recording. Codecs that do not keep the
    phase are near 0 dB however good they sound.
    """

    id = "si-sdr[torchmetrics-definition]"
    description = "Scale-invariant signal-to-distortion ratio of the decoded waveform, at the recording's rate"
    source = "Le Roux et al. 2019, as torchmetrics' scale_invariant_signal_distortion_ratio with zero_mean=False"
    summaries = (Summary("si-sdr", "mean", ("si-sdr",), unit="dB", direction="higher"),)

    def compare(self, item: ScoringItem, both: Pair) -> Value:
        """Part: `si-sdr`."""
        return Value(parts={"si-sdr": min(HIGHEST, max(LOWEST, si_sdr(both.reference, both.output)))})

    def failure(self, sample: Sample) -> dict[str, float]:
        """-30 dB, the lower clipping limit."""
        return {"si-sdr": LOWEST}


def si_sdr(reference: NDArray[np.floating], output: NDArray[np.floating]) -> float:
    """SI-SDR in dB of two waveforms [frames], in double precision, with torchmetrics' epsilons."""
    target, estimate = reference.astype(np.float64), output.astype(np.float64)
    tiny = np.finfo(np.float64).eps
    scale = (estimate @ target + tiny) / (target @ target + tiny)
    distortion = scale * target - estimate
    return float(10 * np.log10((scale**2 * (target @ target) + tiny) / (distortion @ distortion + tiny)))

"""Perceptual evaluation of speech quality, by the reference code of the ITU-T."""

from __future__ import annotations

from typing import ClassVar

from speech_eval.errors import require
from speech_eval.metrics.base import ScoringItem, Summary, Unscorable, Value
from speech_eval.metrics.codec.pairs import Pair, PairMetric
from speech_eval.records import Sample


class _PESQ(PairMetric):
    """MOS-LQO of the output against the recording. PESQ aligns the two itself and normalizes the level."""

    heavy = True
    extra = "codec-metrics"
    rate: ClassVar[int]
    mode: ClassVar[str]

    def compare(self, item: ScoringItem, both: Pair) -> Value:
        """Part: `pesq`. Raises `Unscorable` below a quarter of a second, and where PESQ finds no utterance."""
        pesq = require("pesq", self.extra)
        try:
            value = pesq.pesq(self.rate, both.reference, both.output, self.mode)
        except (pesq.NoUtterancesError, pesq.BufferTooShortError) as error:
            reason = error.args[0].decode() if isinstance(error.args[0], bytes) else str(error)
            raise Unscorable(f"Sample {item.sample.id}: {reason}.", "Leave the sample out of the dataset.") from error
        return Value(parts={"pesq": float(value)})

    def failure(self, sample: Sample) -> dict[str, float]:
        """1, the bottom of the opinion scale. Noise alone scores about 1.02."""
        return {"pesq": 1.0}


class WidebandPESQ(_PESQ):
    """PESQ-WB: 50 Hz to 7 kHz, 1.04 to 4.64."""

    id = "pesq-wb[p862.2]"
    description = "Wideband PESQ (MOS-LQO) of the decoded speech against the recording, at 16 kHz"
    source = "ITU-T P.862.2 (11/2007), Python package pesq 0.0.4"
    summaries = (Summary("pesq-wb", "mean", ("pesq",), unit="MOS", direction="higher"),)
    rate = 16_000
    mode = "wb"


class NarrowbandPESQ(_PESQ):
    """PESQ-NB: the telephone band, 1.02 to 4.55, mapped by P.862.1."""

    id = "pesq-nb[p862@8k]"
    description = "Narrowband PESQ (P.862.1 MOS-LQO) of the decoded speech against the recording, both at 8 kHz"
    source = "ITU-T P.862 (02/2001) with P.862.1's mapping, Python package pesq 0.0.4"
    summaries = (Summary("pesq-nb", "mean", ("pesq",), unit="MOS", direction="higher", headline=False),)
    rate = 8_000
    mode = "nb"


class NarrowbandPESQ16k(NarrowbandPESQ):
    """The same on 16 kHz audio, whose upper band PESQ's telephone filter attenuates: what papers on codecs call
    "PESQ-NB". It differs from the score at 8 kHz by up to 0.13."""

    id = "pesq-nb[p862@16k]"
    description = "Narrowband PESQ (P.862.1 MOS-LQO) of the decoded speech against the recording, both at 16 kHz"
    rate = 16_000

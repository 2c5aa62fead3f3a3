"""ViSQOL in speech mode, with the lattice network that the C++ original uses."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from speech_eval.errors import require
from speech_eval.metrics.base import ScoringItem, Summary, Unscorable, Value
from speech_eval.metrics.codec.pairs import Pair, PairMetric
from speech_eval.records import Sample

_RATE = 16_000
_MIN_SECONDS = 0.5  # one patch of speech is 0.4 s


class ViSQOL(PairMetric):
    """MOS-LQO from the similarity of gammatone spectrograms, patch by patch; 4.4 to 4.6 for identical speech.

    The polynomial mapper, to which visqol-python falls back, is not used: it rates noisy speech 1 to 2 MOS higher.
    """

    id = "visqol[speech@3.3]"
    description = "ViSQOL speech-mode MOS-LQO of the decoded speech against the recording, at 16 kHz"
    source = "Chinen et al. 2020 (ViSQOL v3), Python package visqol-python 3.8.0 with the lattice mapper of ViSQOL 3.3"
    rate = _RATE
    summaries = (Summary("visqol", "mean", ("visqol",), unit="MOS", direction="higher"),)
    heavy = True
    extra = "visqol"

    def compare(self, item: ScoringItem, both: Pair) -> Value:
        """Part: `visqol`. Raises `Unscorable` below half a second of speech."""
        reference, output = both.reference.astype(np.float64), both.output.astype(np.float64)
        too_short = Unscorable(
            f"Sample {item.sample.id}: under {_MIN_SECONDS} s of speech.", "Leave the sample out of the dataset."
        )
        if len(reference) < _MIN_SECONDS * _RATE:
            raise too_short
        try:
            result = self._visqol.measure_from_arrays(reference, output, _RATE)
        except IndexError as error:  # its voice activity detector kept no patch to compare
            raise too_short from error
        return Value(parts={"visqol": float(result.moslqo)}, detail={"nsim": round(float(result.vnsim), 6)})

    def failure(self, sample: Sample) -> dict[str, float]:
        """1, the bottom of the opinion scale."""
        return {"visqol": 1.0}

    @cached_property
    def _visqol(self) -> Any:
        require("ai_edge_litert", self.extra, package="ai-edge-litert")
        visqol = require("visqol.api", self.extra, package="visqol-python").VisqolApi()
        visqol.create(mode="speech", use_lattice_model=True)
        return visqol

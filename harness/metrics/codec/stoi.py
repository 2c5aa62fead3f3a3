"""Short-time objective intelligibility, plain and extended."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

import numpy as np

from speech_eval.errors import require
from speech_eval.metrics.base import ScoringItem, Summary, Unscorable, Value
from speech_eval.metrics.codec.pairs import Pair, PairMetric
from speech_eval.records import Sample

_RATE = 16_000
_MIN_SECONDS = 0.4  # 30 frames of 12.8 ms, the shortest segment that is compared
_TOO_SHORT = "Not enough STFT frames"


class STOI(PairMetric):
    """Correlation of one-third-octave envelopes over 384 ms, 0 to 1. It saturates: all good codecs are above 0.9."""

    id = "stoi[pystoi]"
    description = "Short-time objective intelligibility of the decoded speech against the recording"
    source = "Taal et al. 2011, Python package pystoi 0.4, which resamples from 16 to 10 kHz itself"
    rate = _RATE
    summaries: ClassVar[tuple[Summary, ...]] = (Summary("stoi", "mean", ("stoi",), unit="", direction="higher"),)
    extra = "codec-metrics"
    extended: ClassVar[bool] = False

    def compare(self, item: ScoringItem, both: Pair) -> Value:
        """Part: `stoi`. Raises `Unscorable` below 0.4 s of speech, where pystoi returns 1e-5."""
        pystoi = require("pystoi", self.extra)
        too_short = Unscorable(
            f"Sample {item.sample.id}: under {_MIN_SECONDS} s of speech.", "Leave the sample out of the dataset."
        )
        if len(both.reference) < _MIN_SECONDS * _RATE:
            raise too_short
        reference, output = both.reference.astype(np.float64), both.output.astype(np.float64)
        with warnings.catch_warnings(), _seeded(item.sample.id):
            warnings.filterwarnings("error", message=_TOO_SHORT, category=RuntimeWarning)
            try:
                value = float(pystoi.stoi(reference, output, _RATE, extended=self.extended))
            except RuntimeWarning as warning:
                raise too_short from warning
        return Value(parts={"stoi": value})

    def failure(self, sample: Sample) -> dict[str, float]:
        """0, no correlation of the envelopes."""
        return {"stoi": 0.0}


class ESTOI(STOI):
    """The extended measure, which also correlates across bands and penalizes modulated noise more."""

    id = "estoi[pystoi]"
    description = "Extended short-time objective intelligibility of the decoded speech against the recording"
    source = "Jensen and Taal 2016, Python package pystoi 0.4, which resamples from 16 to 10 kHz itself"
    summaries = (Summary("estoi", "mean", ("stoi",), unit="", direction="higher"),)
    extended = True


@contextmanager
def _seeded(sample_id: str) -> Iterator[None]:
    """pystoi adds noise from NumPy's global generator to silent bands: seed it by the sample, then restore it."""
    state = np.random.get_state()
    np.random.seed(int.from_bytes(hashlib.sha256(sample_id.encode()).digest()[:4], "big"))
    try:
        yield
    finally:
        np.random.set_state(state)

"""How often slices of data without a difference are called significantly different, and how often a planted one is
found. Errors are skewed as those of recognizers are: by speaker and by sample.

    python benchmarks/slices.py
"""

from __future__ import annotations

import json

import numpy as np

from speech_eval.statistics.contrast import contrasts
from speech_eval.statistics.multiple import holm
from speech_eval.statistics.summaries import Rows, Summary

WER = Summary("wer", "ratio", ("errors", "words"), "%", "lower", 100.0)
SLICES, SAMPLES, SETS = 6, 240, 400


def corrected(kind: str, rng: np.random.Generator, times: float) -> np.ndarray:
    """Adjusted p-values of the slices of one simulated set, in the first of which errors are `times` as frequent."""
    numbers = np.arange(SAMPLES)
    groups = {"speaker": numbers // 4, "straddle": numbers // 8}.get(kind, numbers)
    labels = {
        "speaker": groups % SLICES,
        "uneven": np.minimum(rng.geometric(0.45, SAMPLES) - 1, SLICES - 1),
    }.get(kind, rng.integers(0, SLICES, SAMPLES))
    words = rng.integers(3, 20, SAMPLES).astype(float)
    rate = 0.05 * rng.gamma(1.0, 1.0, groups.max() + 1)[groups] * np.where(labels == 0, times, 1.0)
    errors = rng.poisson(words * rate * rng.gamma(0.5, 2.0, SAMPLES)).astype(float)
    seed = str(rng.integers(1 << 30))
    found = contrasts(WER, Rows({"errors": errors, "words": words}, SAMPLES), groups, labels, seed=seed, resamples=2000)
    return holm([1.0 if one.p_value is None else one.p_value for one in found])


for name in ("independent", "speaker", "straddle", "uneven"):
    generator = np.random.default_rng(0)
    false = np.mean([corrected(name, generator, 1.0).min() <= 0.05 for _ in range(SETS)])
    power = np.mean([corrected(name, generator, 3.0)[0] <= 0.05 for _ in range(SETS // 5)])
    print(json.dumps({"samples": name, "found_without_a_difference": float(false), "found_threefold": float(power)}))

"""Correction of p-values for the number of tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Correction = Literal["holm", "bh"]
Adjust = Callable[[Sequence[float] | NDArray[np.float64]], NDArray[np.float64]]


def holm(p_values: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Adjusted p-values [tests] of Holm's step-down procedure (1979), which bounds the probability of any false
    finding: each p-value times the number of p-values that are not smaller, at most 1, and never below the adjusted
    value of a smaller one."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(np.minimum(1.0, p[order] * np.arange(len(p), 0, -1)))
    return adjusted


def benjamini_hochberg(p_values: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Adjusted p-values [tests] of Benjamini and Hochberg's step-up procedure (1995), which bounds the expected share
    of false findings among the findings: each p-value times the number of tests over the number of p-values that are
    not larger, at most 1, and never above the adjusted value of a larger one."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    scaled = p[order] * len(p) / np.arange(1, len(p) + 1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum.accumulate(np.minimum(1.0, scaled)[::-1])[::-1]
    return adjusted


ADJUST: dict[Correction, Adjust] = {"holm": holm, "bh": benjamini_hochberg}
# How tables name a correction.
NAMES: dict[Correction, str] = {"holm": "Holm", "bh": "BH"}

"""Answers in which nothing can be heard: failures, which the originals score like any other."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from speech_eval.audio import Audio
from speech_eval.metrics.base import ScoringItem, Unscorable, Value
from speech_eval.signal.level import audible


def of_audible(item: ScoringItem, answer: Audio, compute: Callable[[], Value]) -> Value:
    """What `compute` returns. Raises `Unscorable` for an inaudible `answer`, with the computed parts as `compat`."""
    if audible(answer):
        return compute()
    raise Unscorable(
        f"Sample {item.sample.id}: the answer is inaudible.", "Check the model's output.", compat=parts_or_none(compute)
    )


def parts_or_none(compute: Callable[[], Value]) -> dict[str, float] | None:
    """The parts that `compute` returns; None where they are not all defined, as the original breaks on zeros."""
    try:
        with np.errstate(all="ignore"):
            parts = compute().parts
    except (Unscorable, ArithmeticError, ValueError):
        return None
    return parts if all(math.isfinite(part) for part in parts.values()) else None

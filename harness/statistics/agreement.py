"""Krippendorff's alpha: how far raters agree beyond what chance gives, 1 for full agreement and 0 for none.

Source: K. Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011). Alpha is 1 - D/E, where D is the mean
disagreement of pairs of ratings of the same unit and E that of all pairs of ratings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from speech_eval.statistics.summaries import Floats

Scale = Literal["nominal", "ordinal", "interval", "ratio"]


def krippendorff_alpha(units: Sequence[Sequence[float]], scale: Scale) -> float | None:
    """Alpha of the ratings of each unit, one list per unit in any order of raters.

    Units with one rating do not count. None where alpha is not defined: no unit has two ratings, or all ratings are
    equal.
    """
    paired = [np.asarray(unit, dtype=np.float64) for unit in units if len(unit) > 1]
    if not paired:
        return None
    values, coded = np.unique(np.concatenate(paired), return_inverse=True)
    distance = _DISTANCES[scale](values, np.bincount(coded).astype(np.float64))
    counts = np.zeros((len(paired), len(values)))
    rows = np.repeat(np.arange(len(paired)), [len(unit) for unit in paired])
    np.add.at(counts, (rows, coded), 1.0)
    total, sizes = counts.sum(axis=0), counts.sum(axis=1)
    observed = float((np.einsum("ui,ij,uj->u", counts, distance, counts) / (sizes - 1)).sum()) / len(coded)
    expected = float(total @ distance @ total) / (len(coded) * (len(coded) - 1))
    return None if expected == 0 else 1 - observed / expected


def _nominal(values: Floats, _: Floats) -> Floats:
    return (values[:, None] != values[None, :]).astype(np.float64)


def _ordinal(_: Floats, counts: Floats) -> Floats:
    """The squared number of ratings between two values, with half of those at either end."""
    middle = np.cumsum(counts) - counts / 2
    return (middle[:, None] - middle[None, :]) ** 2


def _interval(values: Floats, _: Floats) -> Floats:
    return (values[:, None] - values[None, :]) ** 2


def _ratio(values: Floats, _: Floats) -> Floats:
    total = values[:, None] + values[None, :]
    return ((values[:, None] - values[None, :]) / np.where(total == 0, 1.0, total)) ** 2


_DISTANCES: dict[Scale, Callable[[Floats, Floats], Floats]] = {
    "nominal": _nominal,
    "ordinal": _ordinal,
    "interval": _interval,
    "ratio": _ratio,
}

"""How per-sample numbers add up: a `Summary` names the estimator, a `Unit` is what counts once.

All estimators are functions of per-sample weights, so one resampling scheme serves them all: a resample gives each
sample (or all samples of a cluster) the number of times it was drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from speech_eval.records import Sample

Floats = NDArray[np.float64]
Groups = NDArray[np.intp]

_FEW = 512  # up to so many samples all resamples of a quantile are scanned at once


@dataclass(frozen=True)
class Summary:
    """One number that a metric reports over a task's samples.

    estimator `mean`: mean of part `parts[0]`; `ratio`: sum of `parts[0]` over sum of `parts[1]`;
    `quantile`: the `q` quantile of `parts[0]`, failures counted as infinitely bad, over the samples whose `parts[1]`
    (where there is one) is not 0; `function`: `function(columns, weights)` with `columns[part]` [n] and weights
    [resamples, n], how often each sample counts, gives [resamples].
    The result is multiplied by `scale` and shown in `unit`.

    `crossed` is set where each sample has votes of several raters: what the names of the parts begin with that hold the
    vote of each rater. Intervals are then clustered by rater and by sample (`speech_eval.statistics.crossed`), and end
    at the `bounds` of the scale, in its unit.
    """

    name: str
    estimator: Literal["mean", "ratio", "quantile", "function"]
    parts: tuple[str, ...]
    unit: str
    direction: Literal["lower", "higher"]
    scale: float = 1.0
    q: float = 0.5
    headline: bool = True  # shown on boards and in the terminal; the others are in results and on run pages
    function: Callable[[dict[str, Floats], Floats], Floats] | None = None
    crossed: str = ""
    bounds: tuple[float, float] = (-np.inf, np.inf)


@dataclass(frozen=True)
class Unit:
    """What counts once in the aggregates: a sample, or several samples that the protocol scores as one.

    `strict` and `compat` hold the unit's parts; `compat` is None where the original leaves the unit out. Resampling
    draws whole `clusters` of units.
    """

    sample: Sample
    strict: dict[str, float]
    compat: dict[str, float] | None
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Rows:
    """Per-sample inputs of one summary: `columns[part]` is [n]."""

    columns: dict[str, Floats]
    n: int


def rows(summary: Summary, parts: Sequence[dict[str, float]]) -> Rows:
    """Gather the parts that a summary needs. A quantile counts samples without the part as infinitely bad."""
    if summary.estimator == "quantile":
        worst = np.inf if summary.direction == "lower" else -np.inf
        missing = dict.fromkeys(summary.parts[1:], 1.0) | {summary.parts[0]: worst}
        columns = {name: np.array([p.get(name, missing[name]) for p in parts], dtype=np.float64) for name in missing}
        return Rows(columns, len(parts))
    columns = {name: np.array([p[name] for p in parts], dtype=np.float64) for name in summary.parts}
    return Rows(columns, len(parts))


def clusters(samples: Sequence[Sample]) -> list[str]:
    """One label per sample; samples with the same label are not independent. The label is the sample's `cluster` (a
    conversation), else its speaker, else its own id.

    Where all samples share one speaker, that speaker is a condition of the number and the samples are what varies.
    """
    several = len({sample.speaker for sample in samples}) > 1
    return [
        sample.cluster or (f"speaker {sample.speaker}" if sample.speaker and several else f"sample {sample.id}")
        for sample in samples
    ]


def group(labels: Sequence[Hashable]) -> Groups:
    """Cluster labels as numbers from zero, in order of first appearance."""
    seen: dict[Hashable, int] = {}
    return np.array([seen.setdefault(label, len(seen)) for label in labels], dtype=np.intp)


def linear(summary: Summary) -> bool:
    """Whether the summary is a quotient of two sums over samples."""
    return summary.estimator in ("mean", "ratio")


def cluster_sums(summary: Summary, data: Rows, groups: Groups) -> Floats:
    """Numerator and denominator of a mean or ratio, summed over each cluster: [clusters, 2]."""
    numerator = data.columns[summary.parts[0]]
    denominator = data.columns[summary.parts[1]] if summary.estimator == "ratio" else np.ones(data.n)
    count = int(groups.max()) + 1
    return np.stack([np.bincount(groups, column, minlength=count) for column in (numerator, denominator)], axis=1)


def statistic(summary: Summary, data: Rows, weights: Floats) -> Floats:
    """The statistic, before `scale`, under each row of `weights` [resamples, n]."""
    with np.errstate(divide="ignore", invalid="ignore"):
        if summary.estimator == "function":
            assert summary.function is not None
            return summary.function(data.columns, weights)
        first = data.columns[summary.parts[0]]
        if summary.estimator == "quantile":
            counted = [data.columns[name] != 0 for name in summary.parts[1:]]
            return _quantile(first, weights * counted[0] if counted else weights, summary.q)
        if summary.estimator == "mean":
            return (weights @ first) / weights.sum(axis=1)
        return (weights @ first) / (weights @ data.columns[summary.parts[1]])


def value(summary: Summary, data: Rows) -> float:
    """The summary's number over `data`, in its unit; not finite where it is not defined."""
    return float(statistic(summary, data, np.ones((1, data.n)))[0]) * summary.scale


def _quantile(values: Floats, weights: Floats, q: float) -> Floats:
    """Inverted distribution function: the least value with at least a share `q` of the weight at or below it."""
    order = np.argsort(values, kind="stable")
    if len(values) <= _FEW:
        cumulative = np.cumsum(weights[:, order], axis=1)
        return values[order][np.argmax(cumulative >= q * cumulative[:, -1:] - 1e-9, axis=1)]
    at = np.empty(len(weights), dtype=np.intp)
    for row, drawn in enumerate(weights):  # a row at a time stays in the cache, and each is bisected, not scanned
        cumulative = np.cumsum(drawn[order])
        at[row] = np.searchsorted(cumulative, q * cumulative[-1] - 1e-9)
    return values[order][np.minimum(at, len(values) - 1)]


def finite(number: float) -> float | None:
    """The number with six decimals, as it is stored; None where it is not finite."""
    return float(round(number, 6)) if np.isfinite(number) else None

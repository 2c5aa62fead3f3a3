"""Point estimates with 95 % bootstrap intervals, over samples or over clusters of samples.

All estimators are functions of per-sample weights, so one resampling scheme serves them all: a resample gives
each sample (or all samples of a cluster) the number of times it was drawn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.metrics.base import Summary
from harness.types import Estimate

RESAMPLES = 2000
CONFIDENCE = 0.95
_BLOCK = 4_000_000  # weights held at once, in elements

Floats = NDArray[np.float64]
Groups = NDArray[np.intp]


@dataclass(frozen=True)
class Rows:
    """Per-sample inputs of one summary: `columns[part]` is [n]."""

    columns: dict[str, Floats]
    n: int


def rows(summary: Summary, parts: Sequence[dict[str, float]]) -> Rows:
    """Gather the parts a summary needs. A quantile takes samples without the part as infinitely bad."""
    if summary.estimator == "quantile":
        worst = np.inf if summary.direction == "lower" else -np.inf
        values = [p.get(summary.parts[0], worst) for p in parts]
        return Rows({summary.parts[0]: np.array(values, dtype=np.float64)}, len(parts))
    columns = {name: np.array([p[name] for p in parts], dtype=np.float64) for name in summary.parts}
    return Rows(columns, len(parts))


def estimate(
    summary: Summary,
    parts: Sequence[dict[str, float]],
    *,
    seed: str,
    clusters: Sequence[Hashable] | None = None,
    resamples: int = RESAMPLES,
) -> Estimate:
    """The summary's value over `parts` with a percentile bootstrap interval.

    `seed` is any text; the same text gives the same interval. The interval is left out (null) where fewer than two
    independent units exist, and the value where it is not finite (no reference words; a quantile among failures).
    """
    data = rows(summary, parts)
    if data.n == 0:
        return Estimate(value=None, n=0)
    value = finite(float(statistic(summary, data, np.ones((1, data.n)))[0]) * summary.scale)
    groups = np.arange(data.n) if clusters is None else group(clusters)
    if value is None or groups.max() == 0:
        return Estimate(value=value, n=data.n)
    replicates = bootstrap(summary, data, groups, seed=seed, resamples=resamples) * summary.scale
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(replicates, [tail, 1 - tail], method="inverted_cdf")
    return Estimate(value=value, low=finite(float(low)), high=finite(float(high)), n=data.n)


def bootstrap(summary: Summary, data: Rows, groups: Groups, *, seed: str, resamples: int) -> Floats:
    """`resamples` replicates of the statistic, drawing whole groups with replacement."""
    blocks = [statistic(summary, data, weights) for weights in drawn_weights(groups, generator(seed), resamples)]
    return np.concatenate(blocks)


def paired_bootstrap(
    summary: Summary, a: Rows, b: Rows, groups: Groups, *, seed: str, resamples: int
) -> tuple[float, Floats]:
    """The difference statistic(a) - statistic(b) and its replicates, both runs drawn with the same weights."""
    ones = np.ones((1, a.n))
    observed = float((statistic(summary, a, ones) - statistic(summary, b, ones))[0])
    blocks = [
        statistic(summary, a, weights) - statistic(summary, b, weights)
        for weights in drawn_weights(groups, generator(seed), resamples)
    ]
    return observed, np.concatenate(blocks)


def drawn_weights(groups: Groups, rng: np.random.Generator, resamples: int) -> Iterator[Floats]:
    """Blocks of weights [block, n]: how often each sample is drawn when its group is drawn with replacement."""
    count = int(groups.max()) + 1
    block = max(1, _BLOCK // max(len(groups), count))
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        flat = rng.integers(0, count, size=(size, count)) + np.arange(size)[:, None] * count
        weights = np.bincount(flat.ravel(), minlength=size * count).reshape(size, count)
        yield weights[:, groups].astype(np.float64)


def group(clusters: Sequence[Hashable]) -> Groups:
    """Cluster labels as numbers from zero, in order of first appearance."""
    seen: dict[Hashable, int] = {}
    return np.array([seen.setdefault(cluster, len(seen)) for cluster in clusters], dtype=np.intp)


def statistic(summary: Summary, data: Rows, weights: Floats) -> Floats:
    """The statistic under each row of `weights` [resamples, n]."""
    with np.errstate(divide="ignore", invalid="ignore"):
        if summary.estimator == "function":
            assert summary.function is not None
            return summary.function(data.columns, weights)
        first = data.columns[summary.parts[0]]
        if summary.estimator == "quantile":
            return _quantile(first, weights, summary.q)
        if summary.estimator == "mean":
            return (weights @ first) / weights.sum(axis=1)
        return (weights @ first) / (weights @ data.columns[summary.parts[1]])


def _quantile(values: Floats, weights: Floats, q: float) -> Floats:
    """Inverted distribution function: the least value with at least a share `q` of the weight at or below it."""
    order = np.argsort(values, kind="stable")
    cumulative = np.cumsum(weights[:, order], axis=1)
    return values[order][np.argmax(cumulative >= q * cumulative[:, -1:] - 1e-9, axis=1)]


def generator(seed: str) -> np.random.Generator:
    """A NumPy generator from any text."""
    return np.random.default_rng(int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "big"))


def finite(value: float) -> float | None:
    return float(round(value, 6)) if np.isfinite(value) else None

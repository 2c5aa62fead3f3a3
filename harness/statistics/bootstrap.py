"""Point estimates with 95 % bootstrap intervals, and paired tests, over samples or over clusters of samples.

All estimators are functions of per-sample weights, so one resampling scheme serves them all: a resample gives each
sample (or all samples of a cluster) the number of times it was drawn. A mean or a ratio of sums needs no more than the
sums of each cluster, so its resamples are one matrix product.

The weights are exact draws with replacement (multinomial) for up to 256 clusters. For more they are independent, with
the mean, the variance and, within 1 %, the third moment of Poisson(1), the limit of the multinomial: every estimator
divides by the sum of the weights, and the two intervals differ by terms of the order 1/n (Praestgaard & Wellner 1993,
exchangeably weighted bootstraps).

Percentile intervals are too narrow for few clusters, so their levels are expanded (Hesterberg 2015, "What Teachers
Should Know About the Bootstrap"): Φ(√(n/(n-1)) t), with t of n - 1 degrees of freedom, in place of 2.5 and 97.5 %.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from speech_eval.metrics.base import Summary
from speech_eval.records import Estimate

RESAMPLES = 10_000
CONFIDENCE = 0.95
EXACT_UNITS = 256  # up to so many clusters weights are multinomial
_FEW = 512  # up to so many samples all resamples of a quantile are scanned at once
_BLOCK = 640_000  # weights held at once, in elements: they stay in the cache
# A uniform byte at or above the k-th of these is a weight above k: mean 1, variance 1, third central moment 1.008.
_WEIGHT_STEPS = (93, 191, 234, 251, 255)

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


# -------------------------------------------------------------------------------------------- estimates


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
    low, high = interval(replicates, int(groups.max()) + 1)
    return Estimate(value=value, low=low, high=high, n=data.n)


def interval(replicates: Floats, units: int, confidence: float = CONFIDENCE) -> tuple[float | None, float | None]:
    """Both ends of the percentile interval of a statistic over `units` clusters; null where an end is not finite."""
    tail = (1 - confidence) / 2
    return finite(bound(replicates, units, tail)), finite(bound(replicates, units, 1 - tail))


def bound(replicates: Floats, units: int, level: float) -> float:
    """The quantile of the replicates that is the one-sided bootstrap bound of confidence `level`, widened for few
    clusters; NaN where a replicate is not defined."""
    from scipy.special import ndtr, stdtrit

    if np.isnan(replicates).any():
        return float("nan")
    widened = float(ndtr(np.sqrt(units / (units - 1)) * stdtrit(units - 1, level)))
    return float(np.quantile(replicates, widened, method="inverted_cdf"))


def bootstrap(summary: Summary, data: Rows, groups: Groups, *, seed: str, resamples: int) -> Floats:
    """`resamples` replicates of the statistic, drawing whole groups with replacement."""
    if summary.estimator == "quantile" and int(groups.max()) + 1 == data.n:
        return _quantile_replicates(data.columns[summary.parts[0]], summary.q, generator(seed), resamples)
    return joint_bootstrap(summary, [data], groups, seed=seed, resamples=resamples)[0]


def paired_bootstrap(
    summary: Summary, a: Rows, b: Rows, groups: Groups, *, seed: str, resamples: int
) -> tuple[float, Floats]:
    """The difference statistic(a) - statistic(b) and its replicates, both runs drawn with the same weights."""
    ones = np.ones((1, a.n))
    left, right = joint_bootstrap(summary, [a, b], groups, seed=seed, resamples=resamples)
    with np.errstate(invalid="ignore"):  # infinity less infinity: both quantiles among failures
        return float((statistic(summary, a, ones) - statistic(summary, b, ones))[0]), left - right


def joint_bootstrap(summary: Summary, sides: Sequence[Rows], groups: Groups, *, seed: str, resamples: int) -> Floats:
    """Replicates [side, resample] of the statistic of each side under the same weights."""
    drawn = drawn_weights(int(groups.max()) + 1, generator(seed), resamples)
    if linear(summary):
        sums = np.concatenate([cluster_sums(summary, side, groups) for side in sides], axis=1)
        totals = np.concatenate([weights @ sums for weights in drawn])
        with np.errstate(divide="ignore", invalid="ignore"):
            return (totals[:, 0::2] / totals[:, 1::2]).T
    alone = np.array_equal(groups, np.arange(len(groups)))
    spread = (weights if alone else weights[:, groups] for weights in drawn)
    return np.concatenate([[statistic(summary, side, weights) for side in sides] for weights in spread], axis=1)


def drawn_weights(units: int, rng: np.random.Generator, resamples: int) -> Iterator[Floats]:
    """Blocks of weights [block, units]: how often each unit is drawn when units are drawn with replacement."""
    block = max(1, _BLOCK // units)
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        if units <= EXACT_UNITS:
            flat = rng.integers(0, units, size=(size, units)) + np.arange(size)[:, None] * units
            yield np.bincount(flat.ravel(), minlength=size * units).reshape(size, units).astype(np.float64)
        else:
            uniform = _bytes(rng, size * units).reshape(size, units)
            counts = np.zeros((size, units), dtype=np.uint8)
            for step in _WEIGHT_STEPS:
                counts += (uniform >= step).view(np.uint8)
            yield counts.astype(np.float64)


def _bytes(rng: np.random.Generator, count: int) -> NDArray[np.uint8]:
    words = rng.integers(0, 2**64 - 1, size=-(-count // 8), dtype=np.uint64, endpoint=True)
    return words.astype("<u8").view(np.uint8)[:count]


def _quantile_replicates(values: Floats, q: float, rng: np.random.Generator, resamples: int) -> Floats:
    """Exact draws of the bootstrap distribution of a quantile of independent samples, without any resample.

    The k-th smallest of n draws from n ordered values is the value at ⌊nU⌋, where U, the k-th smallest of n uniform
    numbers, is Beta(k, n - k + 1).
    """
    n = len(values)
    k = min(n, max(1, int(np.ceil(q * n - 1e-9))))
    position = np.floor(n * rng.beta(k, n - k + 1, size=resamples)).astype(np.intp)
    return np.sort(values)[np.minimum(position, n - 1)]


# ------------------------------------------------------------------------------------------ permutation


def paired_permutation(
    summary: Summary, a: Rows, b: Rows, groups: Groups, *, seed: str, resamples: int
) -> tuple[float, Floats]:
    """statistic(a) - statistic(b) of a mean or a ratio, and the same with the runs swapped at random in whole groups.

    All swaps are listed where there are no more of them than `resamples`; then the first entry is the observed one.
    """
    left, right = cluster_sums(summary, a, groups), cluster_sums(summary, b, groups)
    total_a, total_b, change = left.sum(axis=0), right.sum(axis=0), right - left
    with np.errstate(divide="ignore", invalid="ignore"):
        observed = float(total_a[0] / total_a[1] - total_b[0] / total_b[1])
        moved = np.concatenate([swaps @ change for swaps in _swaps(len(change), generator(seed), resamples)])
        one, other = total_a + moved, total_b - moved
        return observed, one[:, 0] / one[:, 1] - other[:, 0] / other[:, 1]


def _swaps(units: int, rng: np.random.Generator, resamples: int) -> Iterator[Floats]:
    """Blocks [block, units] of zeros and ones."""
    if units < 63 and 2**units <= resamples:
        yield (np.arange(2**units)[:, None] >> np.arange(units) & 1).astype(np.float64)
        return
    block = max(1, _BLOCK // units)
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        bits = np.unpackbits(_bytes(rng, -(-size * units // 8)), count=size * units)
        yield bits.reshape(size, units).astype(np.float64)


def permutation_p(observed: float, swapped: Floats, units: int, *, two_sided: bool) -> float:
    """Share of swaps whose difference is at least the observed one; of sampled swaps, the observed one counts too."""
    slack = 1e-9 * max(abs(observed), float(np.max(np.abs(swapped), initial=0.0)))  # sums round in another order
    if two_sided:
        extreme = int(np.sum(np.abs(swapped) >= abs(observed) - slack))
    else:
        extreme = int(np.sum(swapped >= observed - slack))
    if units < 63 and 2**units == len(swapped):
        return extreme / len(swapped)
    return (extreme + 1) / (len(swapped) + 1)


def bootstrap_p(replicates: Floats) -> float:
    """Two-sided: twice the share of replicates of a difference on the rarer side of zero."""
    beyond = min(int(np.sum(replicates <= 0)), int(np.sum(replicates >= 0)))
    return min(1.0, 2 * (beyond + 1) / (len(replicates) + 1))


# -------------------------------------------------------------------------------------------- estimators


def linear(summary: Summary) -> bool:
    """Whether the summary is a quotient of two sums over samples."""
    return summary.estimator in ("mean", "ratio")


def cluster_sums(summary: Summary, data: Rows, groups: Groups) -> Floats:
    """Numerator and denominator of a mean or ratio, summed over each cluster: [clusters, 2]."""
    numerator = data.columns[summary.parts[0]]
    denominator = data.columns[summary.parts[1]] if summary.estimator == "ratio" else np.ones(data.n)
    count = int(groups.max()) + 1
    return np.stack([np.bincount(groups, column, minlength=count) for column in (numerator, denominator)], axis=1)


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
    if len(values) <= _FEW:
        cumulative = np.cumsum(weights[:, order], axis=1)
        return values[order][np.argmax(cumulative >= q * cumulative[:, -1:] - 1e-9, axis=1)]
    at = np.empty(len(weights), dtype=np.intp)
    for row, drawn in enumerate(weights):  # a row at a time stays in the cache, and each is bisected, not scanned
        cumulative = np.cumsum(drawn[order])
        at[row] = np.searchsorted(cumulative, q * cumulative[-1] - 1e-9)
    return values[order][np.minimum(at, len(values) - 1)]


def generator(seed: str) -> np.random.Generator:
    """A NumPy generator from any text."""
    return np.random.Generator(np.random.SFC64(int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "big")))


def finite(value: float) -> float | None:
    return float(round(value, 6)) if np.isfinite(value) else None

"""Point estimates with 95 % bootstrap intervals, over samples or over clusters of samples.

A mean or a ratio of sums needs no more than the sums of each cluster, so its resamples are one matrix product.

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

import numpy as np
from numpy.typing import NDArray

from speech_eval.records import Estimate
from speech_eval.statistics.crossed import clustered_mean, crossed_votes
from speech_eval.statistics.summaries import (
    Floats,
    Groups,
    Rows,
    Summary,
    cluster_sums,
    finite,
    group,
    linear,
    rows,
    statistic,
    value,
)

RESAMPLES = 10_000
CONFIDENCE = 0.95
EXACT_UNITS = 256  # up to so many clusters weights are multinomial
BLOCK = 640_000  # weights held at once, in elements: they stay in the cache
# A uniform byte at or above the k-th of these is a weight above k: mean 1, variance 1, third central moment 1.008.
_WEIGHT_STEPS = (93, 191, 234, 251, 255)


def estimate(
    summary: Summary,
    parts: Sequence[dict[str, float]],
    *,
    seed: str,
    clusters: Sequence[Hashable] | None = None,
    resamples: int = RESAMPLES,
) -> Estimate:
    """The summary's value over `parts` with a percentile bootstrap interval; votes of raters have a clustered one.

    `seed` is any text; the same text gives the same interval. The interval is left out (null) where fewer than two
    independent units exist, and the value where it is not finite (no reference words; a quantile among failures).
    """
    data = rows(summary, parts)
    if data.n == 0:
        return Estimate(value=None, n=0)
    found = finite(value(summary, data))
    groups = np.arange(data.n) if clusters is None else group(clusters)
    if found is None or groups.max() == 0:
        return Estimate(value=found, n=data.n)
    if summary.crossed:
        return _crossed(summary, parts, groups, found)
    replicates = bootstrap(summary, data, groups, seed=seed, resamples=resamples) * summary.scale
    low, high = interval(replicates, int(groups.max()) + 1)
    return Estimate(value=found, low=low, high=high, n=data.n)


def _crossed(summary: Summary, parts: Sequence[dict[str, float]], groups: Groups, found: float) -> Estimate:
    known = clustered_mean(*crossed_votes(summary, parts, groups)).within(summary.bounds)
    if known.low is None or known.high is None:
        return Estimate(value=found, n=len(parts))
    return Estimate(value=found, low=finite(known.low), high=finite(known.high), n=len(parts))


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
    if summary.estimator == "quantile" and len(summary.parts) == 1 and int(groups.max()) + 1 == data.n:
        return _quantile_replicates(data.columns[summary.parts[0]], summary.q, generator(seed), resamples)
    return joint_bootstrap(summary, [data], groups, seed=seed, resamples=resamples)[0]


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
    block = max(1, BLOCK // units)
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        if units <= EXACT_UNITS:
            flat = rng.integers(0, units, size=(size, units)) + np.arange(size)[:, None] * units
            yield np.bincount(flat.ravel(), minlength=size * units).reshape(size, units).astype(np.float64)
        else:
            uniform = random_bytes(rng, size * units).reshape(size, units)
            counts = np.zeros((size, units), dtype=np.uint8)
            for step in _WEIGHT_STEPS:
                counts += (uniform >= step).view(np.uint8)
            yield counts.astype(np.float64)


def random_bytes(rng: np.random.Generator, count: int) -> NDArray[np.uint8]:
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


def generator(seed: str) -> np.random.Generator:
    """A NumPy generator from any text."""
    return np.random.Generator(np.random.SFC64(int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "big")))

"""Means of votes that raters give samples: errors clustered by rater and by sample, and the variance of each.

Votes of one rater are not independent, nor are votes on one sample. The variance of a mean of n votes is
V(rater) + V(sample) - V(rater and sample), each the sum over clusters of the squared sum of residuals over n²
(Cameron, Gelbach and Miller 2011, "Robust Inference With Multiway Clustering"), times G/(G-1) for the smaller number G
of clusters; intervals and tests take the t-distribution of G - 1 degrees of freedom.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from math import sqrt

import numpy as np

from speech_eval.statistics.summaries import Floats, Groups, Summary, group


@dataclass(frozen=True)
class ClusteredMean:
    """A mean over `votes`. `error` is its clustered standard error, `low` and `high` are the ends of its 95 % interval
    and `p_value` the two-sided test against 0; None for fewer than two raters or samples, and where all votes are
    equal, which says nothing about others."""

    mean: float
    votes: int
    error: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None

    def within(self, bounds: tuple[float, float]) -> ClusteredMean:
        """The same with an interval that ends at the bounds of the scale."""
        if self.low is None or self.high is None:
            return self
        return replace(self, low=max(self.low, bounds[0]), high=min(self.high, bounds[1]))


@dataclass(frozen=True)
class Components:
    """Variances of one vote: between raters, between samples, and what is left."""

    rater: float
    sample: float
    rest: float


def clustered_mean(
    values: Sequence[float] | Floats, raters: Sequence[Hashable], samples: Sequence[Hashable]
) -> ClusteredMean:
    """The mean of votes [votes], given the rater and the sample of each."""
    from scipy.special import stdtr, stdtrit

    votes = np.asarray(values, dtype=np.float64)
    by_rater, by_sample = group(raters), group(samples)
    mean, n = float(votes.mean()), len(votes)
    fewest = int(min(by_rater.max(), by_sample.max())) + 1
    if fewest < 2:
        return ClusteredMean(mean, n)
    residuals = votes - mean
    both = group(list(zip(by_rater.tolist(), by_sample.tolist(), strict=True)))
    clustered = _spread(residuals, by_rater) + _spread(residuals, by_sample) - _spread(residuals, both)
    plain = float(residuals @ residuals) / (n * (n - 1))
    error = sqrt(max(clustered * fewest / (fewest - 1), plain))
    if error < 1e-12:
        return ClusteredMean(mean, n)
    reach = float(stdtrit(fewest - 1, 0.975)) * error
    p_value = float(2 * stdtr(fewest - 1, -abs(mean) / error))
    return ClusteredMean(mean, n, error, mean - reach, mean + reach, p_value)


def crossed_votes(
    summary: Summary, parts: Sequence[dict[str, float]], groups: Groups
) -> tuple[list[float], list[str], list[int]]:
    """The votes that samples' `parts` hold, in the summary's unit: value, rater, and cluster of samples of each."""
    votes = [
        (value * summary.scale, name, cluster)
        for own, cluster in zip(parts, groups.tolist(), strict=True)
        for name, value in own.items()
        if name.startswith(summary.crossed)
    ]
    return [value for value, _, _ in votes], [name for _, name, _ in votes], [cluster for _, _, cluster in votes]


def _spread(residuals: Floats, groups: Groups) -> float:
    return float((np.bincount(groups, residuals) ** 2).sum()) / len(residuals) ** 2


def components(
    values: Sequence[float] | Floats, raters: Sequence[Hashable], samples: Sequence[Hashable]
) -> Components | None:
    """The variance components of crossed votes, by the mean squared differences of pairs of votes: of the same rater,
    of the same sample, and of neither. Negative ones are 0. None where some kind of pair does not occur.
    """
    votes = np.asarray(values, dtype=np.float64)
    by_rater, by_sample = group(raters), group(samples)
    both = group(list(zip(by_rater.tolist(), by_sample.tolist(), strict=True)))
    everything, cell = _pairs(votes, np.zeros_like(by_rater)), _pairs(votes, both)
    within_rater = _pairs(votes, by_rater) - cell  # different samples
    within_sample = _pairs(votes, by_sample) - cell  # different raters
    neither = everything - within_rater - within_sample - cell
    if min(within_rater[1], within_sample[1], neither[1]) <= 0:
        return None
    total, same_rater, same_sample = (
        float(pairs[0] / pairs[1] / 2) for pairs in (neither, within_rater, within_sample)
    )
    return Components(
        rater=max(0.0, total - same_rater),
        sample=max(0.0, total - same_sample),
        rest=max(0.0, same_rater + same_sample - total),
    )


def _pairs(votes: Floats, groups: Groups) -> Floats:
    """Sum of squared differences over the pairs of votes of each group, and the number of pairs: [2]."""
    counts = np.bincount(groups).astype(np.float64)
    squares = (counts * np.bincount(groups, votes**2) - np.bincount(groups, votes) ** 2).sum()
    return np.array([squares, (counts * (counts - 1) / 2).sum()])

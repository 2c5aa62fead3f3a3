"""Means of votes that raters give samples: errors clustered by rater and by sample, and the variance of each.

Votes of one rater are not independent, nor are votes on one sample. The variance of a mean of n votes is
V(rater) + V(sample) - V(rater and sample), each the sum over clusters of the squared sum of residuals over n²
(Cameron, Gelbach and Miller 2011, "Robust Inference With Multiway Clustering"), times G/(G-1) for the smaller number G
of clusters; intervals and tests take the t-distribution of G - 1 degrees of freedom. The difference of two means over
other samples is clustered likewise: what a rater adds to all samples cancels, and raters who disagree about the
difference widen its interval.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from speech_eval.statistics.summaries import Floats, Groups, Summary, group


@dataclass(frozen=True)
class ClusteredMean:
    """A mean over `votes`. `error` is its clustered standard error with `freedom` degrees of freedom, `low` and `high`
    are the ends of its 95 % interval and `p_value` the two-sided test against 0; None for fewer than two raters or
    samples, and where all votes are equal, which says nothing about others."""

    mean: float
    votes: int
    error: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    freedom: int = 0

    def bound(self, level: float) -> float:
        """The one-sided bound of confidence `level`; NaN where there is no error."""
        from scipy.special import stdtrit

        return float("nan") if self.error is None else self.mean + float(stdtrit(self.freedom, level)) * self.error

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
    votes = np.asarray(values, dtype=np.float64)
    mean, n = float(votes.mean()), len(votes)
    shares = (votes - mean) / n
    plain = float(shares @ shares) * n / max(n - 1, 1)
    return _clustered(mean, shares, plain, group(raters), group(samples))


def clustered_difference(
    values: Sequence[float] | Floats,
    raters: Sequence[Hashable],
    samples: Sequence[Hashable],
    inside: Sequence[bool] | NDArray[np.bool_],
) -> ClusteredMean:
    """The mean of the votes that are `inside` [votes] minus that of the others. Neither may be empty. The clusters of
    samples are those of the side that has fewer."""
    votes, chosen, by_sample = np.asarray(values, dtype=np.float64), np.asarray(inside, dtype=bool), group(samples)
    shares, plain, means = np.empty(len(votes)), 0.0, []
    for side in (chosen, ~chosen):
        means.append(float(votes[side].mean()))
        own = (votes[side] - means[-1]) / side.sum()
        shares[side] = own if side is chosen else -own
        plain += float(own @ own) * len(own) / max(len(own) - 1, 1)
    fewest = min(len(np.unique(by_sample[side])) for side in (chosen, ~chosen))
    return _clustered(means[0] - means[1], shares, plain, group(raters), by_sample, fewest)


def _clustered(
    estimate: float, shares: Floats, plain: float, by_rater: Groups, by_sample: Groups, most: int | None = None
) -> ClusteredMean:
    """An estimate with the error that its votes' `shares` in it have, clustered two ways and never below the variance
    `plain` of independent votes. `most` is the number of clusters of samples where it is not that of `by_sample`."""
    from scipy.special import stdtr, stdtrit

    n = len(shares)
    fewest = min(int(by_rater.max()) + 1, int(by_sample.max()) + 1 if most is None else most)
    if fewest < 2:
        return ClusteredMean(estimate, n)
    both = group(list(zip(by_rater.tolist(), by_sample.tolist(), strict=True)))
    clustered = _spread(shares, by_rater) + _spread(shares, by_sample) - _spread(shares, both)
    error = sqrt(max(clustered * fewest / (fewest - 1), plain))
    if error < 1e-12:
        return ClusteredMean(estimate, n)
    reach = float(stdtrit(fewest - 1, 0.975)) * error
    p_value = float(2 * stdtr(fewest - 1, -abs(estimate) / error))
    return ClusteredMean(estimate, n, error, estimate - reach, estimate + reach, p_value, fewest - 1)


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


def _spread(shares: Floats, groups: Groups) -> float:
    return float((np.bincount(groups, shares) ** 2).sum())


def crossed_differences(
    summary: Summary, a: Sequence[dict[str, float]], b: Sequence[dict[str, float]]
) -> list[dict[str, float]]:
    """By sample, the difference a - b of the two votes of each rater who gave both."""
    return [
        {name: left[name] - right[name] for name in left.keys() & right.keys() if name.startswith(summary.crossed)}
        for left, right in zip(a, b, strict=True)
    ]


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

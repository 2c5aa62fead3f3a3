"""Paired tests of two runs on the same samples: random swaps of the runs within clusters, the bootstrap, and for
people's votes errors clustered by rater and by sample."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from speech_eval.records import Estimate
from speech_eval.statistics.bootstrap import (
    BLOCK,
    RESAMPLES,
    estimate,
    generator,
    interval,
    joint_bootstrap,
    random_bytes,
)
from speech_eval.statistics.crossed import clustered_mean, crossed_differences, crossed_votes
from speech_eval.statistics.power import detectable_errors
from speech_eval.statistics.summaries import (
    Floats,
    Groups,
    Rows,
    Summary,
    cluster_sums,
    finite,
    linear,
    statistic,
    value,
)

ALPHA = 0.05
POWER = 0.8
Test = Literal["permutation", "bootstrap", "clustered"]


@dataclass(frozen=True)
class PairedTest:
    """Numbers of A and B and `difference` = A - B, in the summary's unit, with the paired test of the difference.

    `p_value` is two-sided. `effect_size` is the difference over the standard deviation of its units (Cohen's d of
    paired data). `detectable` is the least true difference that data like these show with `POWER` at level `ALPHA`.
    All but the estimates are None where they are not defined.
    """

    a: Estimate
    b: Estimate
    difference: Estimate
    test: Test | None = None
    p_value: float | None = None
    effect_size: float | None = None
    detectable: float | None = None


def paired_test(
    summary: Summary, a: Rows, b: Rows, groups: Groups, *, seed: str, resamples: int = RESAMPLES
) -> PairedTest:
    """Compare two runs on the same samples. Means and ratios take random swaps, other estimators the bootstrap.

    `groups` [n] numbers the clusters of samples, which are swapped and drawn as a whole.
    """
    one, other = value(summary, a), value(summary, b)
    observed, units = one - other, int(groups.max()) + 1
    if units < 2:
        x, y, z = (Estimate(value=finite(number), n=a.n) for number in (one, other, observed))
        return PairedTest(x, y, z)
    left, right = joint_bootstrap(summary, [a, b], groups, seed=seed, resamples=resamples) * summary.scale
    with np.errstate(invalid="ignore"):
        replicates = left - right
    numbers = ((one, left), (other, right), (observed, replicates))
    x, y, z = (_estimate(number, drawn, units, a.n) for number, drawn in numbers)
    if not np.isfinite(observed) or not np.isfinite(replicates).all():
        return PairedTest(x, y, z)
    error = float(np.std(replicates))
    if linear(summary):
        change, swapped = paired_permutation(summary, a, b, groups, seed=f"{seed}/permutation", resamples=resamples)
        p_value = permutation_p(change, swapped, units, two_sided=True)
    else:
        p_value = bootstrap_p(replicates)
    return PairedTest(
        a=x,
        b=y,
        difference=z,
        test="permutation" if linear(summary) else "bootstrap",
        p_value=p_value,
        effect_size=finite(observed / (error * np.sqrt(units))) if error > 0 else None,
        detectable=finite(detectable_errors(ALPHA, POWER, two_sided=True) * error),
    )


def crossed_test(
    summary: Summary, a: Sequence[dict[str, float]], b: Sequence[dict[str, float]], groups: Groups
) -> PairedTest:
    """Compare two runs by the votes of the same raters on the same samples, given the parts of each sample in each run;
    the difference of the two votes of a rater on a sample is clustered by rater and by sample."""
    one, other = (estimate(summary, side, seed="", clusters=groups.tolist()) for side in (a, b))
    both = crossed_differences(summary, a, b)
    votes, raters, samples = crossed_votes(summary, both, groups)
    if not votes:
        return PairedTest(one, other, Estimate(value=None, n=0))
    found = clustered_mean(votes, raters, samples)
    n = sum(map(bool, both))
    if found.error is None or found.low is None or found.high is None:
        return PairedTest(one, other, Estimate(value=finite(found.mean), n=n))
    spread = float(np.std(votes, ddof=1))
    return PairedTest(
        a=one,
        b=other,
        difference=Estimate(value=finite(found.mean), low=finite(found.low), high=finite(found.high), n=n),
        test="clustered",
        p_value=found.p_value,
        effect_size=finite(found.mean / spread) if spread else None,
        detectable=finite(detectable_errors(ALPHA, POWER, two_sided=True) * found.error),
    )


def _estimate(number: float, replicates: Floats, units: int, n: int) -> Estimate:
    if not np.isfinite(number):
        return Estimate(value=None, n=n)
    low, high = interval(replicates, units)
    return Estimate(value=finite(number), low=low, high=high, n=n)


def paired_bootstrap(
    summary: Summary, a: Rows, b: Rows, groups: Groups, *, seed: str, resamples: int
) -> tuple[float, Floats]:
    """The difference statistic(a) - statistic(b) and its replicates, both runs drawn with the same weights."""
    ones = np.ones((1, a.n))
    left, right = joint_bootstrap(summary, [a, b], groups, seed=seed, resamples=resamples)
    with np.errstate(invalid="ignore"):  # infinity less infinity: both quantiles among failures
        return float((statistic(summary, a, ones) - statistic(summary, b, ones))[0]), left - right


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
    block = max(1, BLOCK // units)
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        bits = np.unpackbits(random_bytes(rng, -(-size * units // 8)), count=size * units)
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

"""What a test can see: the least difference it finds with a given power, and the samples that a difference takes.

A test of level alpha finds a true difference of (z(1 - alpha) + z(power)) standard errors with probability `power`;
the standard error falls with the root of the number of samples.
"""

from __future__ import annotations

from math import ceil, sqrt

from speech_eval.statistics.crossed import Components

LEAST_UNITS = 20  # fewer independent units are not judged


def detectable_errors(alpha: float, power: float, *, two_sided: bool) -> float:
    """The difference that a test at level `alpha` finds with probability `power`, in standard errors."""
    from scipy.special import ndtri

    return float(ndtri(1 - (alpha / 2 if two_sided else alpha)) + ndtri(power))


def samples_needed(n: int, variance: float, target: float, *, alpha: float, power: float) -> int:
    """How many samples a one-sided test needs to find a difference of `target`, where the difference over `n` samples
    has `variance`; at least `LEAST_UNITS`."""
    return max(LEAST_UNITS, ceil(n * variance * (detectable_errors(alpha, power, two_sided=False) / target) ** 2))


def pairs_needed(deviation: float, difference: float, *, alpha: float, power: float) -> int:
    """How many pairs the two-sided paired t-test needs to find a mean difference of `difference`, where the differences
    have the standard deviation `deviation`: the normal approximation with Guenther's correction (1981)."""
    errors = detectable_errors(alpha, power, two_sided=True) * deviation / difference
    return max(2, ceil(errors**2 + _correction(alpha) - 1e-9))


def detectable_difference(deviation: float, pairs: float, *, alpha: float, power: float) -> float:
    """The least mean difference that the test of `pairs_needed` finds over so many pairs; infinite for too few."""
    effective = pairs - _correction(alpha)
    if effective <= 0:
        return float("inf")
    return detectable_errors(alpha, power, two_sided=True) * deviation / sqrt(effective)


def _correction(alpha: float) -> float:
    """The pairs that the t-test needs beyond the normal approximation: half the square of its quantile."""
    from scipy.special import ndtri

    return float(ndtri(1 - alpha / 2)) ** 2 / 2


def raters_needed(variances: Components, samples: int, difference: float, *, alpha: float, power: float) -> int | None:
    """How many raters the two-sided test of `crossed.clustered_mean` needs to find a mean difference, where each rater
    hears all `samples`. `variances` are those of one rater's difference on one sample.

    The number solves variance = σ²(rater)/R + σ²(sample)/S + σ²(rest)/(RS) for the noncentral t-test of min(R, S) - 1
    degrees of freedom. None where no number of raters is enough: the samples alone vary too much, or are too few.
    """
    most = 1 << 20
    if crossed_power(variances, most, samples, difference, alpha=alpha) < power:
        return None
    low, high = 2, most
    while low < high:
        middle = (low + high) // 2
        if crossed_power(variances, middle, samples, difference, alpha=alpha) >= power:
            high = middle
        else:
            low = middle + 1
    return low


def crossed_power(variances: Components, raters: int, samples: int, difference: float, *, alpha: float) -> float:
    """The probability that the test of `crossed.clustered_mean` finds `difference`; 0 for fewer than two of either."""
    from scipy.stats import nct, t

    freedom = min(raters, samples) - 1
    if freedom < 1:
        return 0.0
    variance = variances.rater / raters + variances.sample / samples + variances.rest / (raters * samples)
    critical, shift = float(t.ppf(1 - alpha / 2, freedom)), difference / sqrt(variance)
    return float(nct.sf(critical, freedom, shift))

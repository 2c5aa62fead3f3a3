"""What a test can see: the least difference it finds with a given power, and the samples that a difference takes.

A test of level alpha finds a true difference of (z(1 - alpha) + z(power)) standard errors with probability `power`;
the standard error falls with the root of the number of samples.
"""

from __future__ import annotations

from math import ceil, sqrt

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

"""What a test can see: the least difference it finds with a given power, and the samples that a difference takes.

A test of level alpha finds a true difference of (z(1 - alpha) + z(power)) standard errors with probability `power`;
the standard error falls with the root of the number of samples.
"""

from __future__ import annotations

from math import ceil

LEAST_UNITS = 20  # fewer independent units are not judged


def detectable_errors(alpha: float, power: float, *, two_sided: bool) -> float:
    """The difference that a test at level `alpha` finds with probability `power`, in standard errors."""
    from scipy.special import ndtri

    return float(ndtri(1 - (alpha / 2 if two_sided else alpha)) + ndtri(power))


def samples_needed(n: int, variance: float, target: float, *, alpha: float, power: float) -> int:
    """How many samples a one-sided test needs to find a difference of `target`, where the difference over `n` samples
    has `variance`; at least `LEAST_UNITS`."""
    return max(LEAST_UNITS, ceil(n * variance * (detectable_errors(alpha, power, two_sided=False) / target) ** 2))

"""The statistical test of each kind of rule, on arrays. Each makes two one-sided claims at level alpha:

* `pass`: the change is within the limit. A change just at the limit passes with a probability of at most alpha.
* `regression`: the run is worse, and not shown to be within the limit. A run equal to its baseline is called a
  regression with a probability of at most alpha. Of several slices, each is called one at alpha over their number.
* `could not judge`: the data support neither claim.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from speech_eval.analysis.report import difference_unit
from speech_eval.statistics.bootstrap import RESAMPLES, bootstrap, bound
from speech_eval.statistics.crossed import ClusteredMean
from speech_eval.statistics.paired import paired_bootstrap, paired_permutation, permutation_p
from speech_eval.statistics.summaries import Groups, Rows, Summary, finite, linear, value

Outcome = Literal["pass", "regression", "could not judge"]


@dataclass(frozen=True)
class Finding:
    """The outcome of a test: the fields of a `Judgment` without its rule."""

    outcome: Outcome
    reason: str
    n: int | None = None
    value: float | None = None
    bound: float | None = None
    p_value: float | None = None

    def fields(self) -> dict[str, Any]:
        numbers = {name: getattr(self, name) for name in ("value", "bound", "p_value")}
        return asdict(self) | {name: None if n is None else finite(float(n)) for name, n in numbers.items()}


def absolute(
    summary: Summary, data: Rows, groups: Groups, *, high: bool, limit: float, alpha: float, seed: str, tests: int = 1
) -> Finding:
    """Whether the number is at most (`high`) or at least `limit`, by one-sided bootstrap bounds at 1 - alpha, beyond it
    at 1 - alpha / `tests`."""
    units = int(groups.max()) + 1
    found = value(summary, data)
    sign = 1.0 if high else -1.0
    replicates = sign * summary.scale * bootstrap(summary, data, groups, seed=seed, resamples=RESAMPLES)
    if np.isnan(found) or np.isnan(replicates).any():
        return Finding("could not judge", "the number is not defined", units)
    nearer, farther = bound(replicates, units, alpha / tests), bound(replicates, units, 1 - alpha)
    outcome: Outcome = "could not judge"
    if farther <= sign * limit:
        outcome = "pass"
    elif nearer > sign * limit:
        outcome = "regression"
    shown = sign * (nearer if outcome == "regression" else farther)
    wanted = "at most" if high else "at least"
    level = 1 - alpha / tests if outcome == "regression" else 1 - alpha
    bounded = f"{100 * level:.4g}% bound {_number(shown, summary.unit)}"
    text = f"{_number(found, summary.unit)}, {bounded}, {wanted} {limit:g} wanted"
    return Finding(outcome, text, units, found, shown)


def voted(
    summary: Summary, found: ClusteredMean, units: int, *, kind: str, limit: float, alpha: float, tests: int = 1
) -> Finding:
    """A `max`, `min` or `margin` rule on people's votes: `found` is the number, or for a margin the run minus the
    baseline by the same raters, with its errors clustered by rater and by sample. Bounds are those of its t-test."""
    if found.error is None:
        return Finding("could not judge", "too few raters or samples, or all votes are equal", units, found.mean)
    sign = {"max": 1.0, "min": -1.0}.get(kind, 1.0 if summary.direction == "lower" else -1.0)
    farther = sign * found.bound(1 - alpha if sign > 0 else alpha)
    nearer = sign * found.bound(alpha / tests if sign > 0 else 1 - alpha / tests)
    held, worse = (limit, 0.0) if kind == "margin" else (sign * limit, sign * limit)
    outcome: Outcome = "pass" if farther <= held else "regression" if nearer > worse else "could not judge"
    if kind == "margin":
        unit, point = difference_unit(summary.unit), sign * found.mean
        text = f"worse by {_number(point, unit)}, {1 - alpha:.0%} bound {_number(farther, unit)}, margin {limit:g}"
        return Finding(outcome, text, units, point, farther)
    level, shown = (1 - alpha / tests, sign * nearer) if outcome == "regression" else (1 - alpha, sign * farther)
    wanted = "at most" if kind == "max" else "at least"
    bounded = f"{100 * level:.4g}% bound {_number(shown, summary.unit)}"
    text = f"{_number(found.mean, summary.unit)}, {bounded}, {wanted} {limit:g} wanted"
    return Finding(outcome, text, units, found.mean, shown)


def margin(
    summary: Summary,
    run: Rows,
    baseline: Rows,
    groups: Groups,
    *,
    limit: float,
    alpha: float,
    seed: str,
    resamples: int = RESAMPLES,
    tests: int = 1,
) -> Finding:
    """Whether the run is worse than its baseline by at most `limit`, in the metric's unit, on paired samples. A
    regression is tested at alpha / `tests`.

    Non-inferiority is tested by the one-sided bootstrap bound of the worsening, a regression by random swaps of the two
    runs within clusters, whose level is exact where the runs are equal. Quantiles and composites use the bootstrap for
    both.
    """
    units = int(groups.max()) + 1
    sign = summary.scale * (1.0 if summary.direction == "lower" else -1.0)  # positive: the run is worse
    observed, replicates = paired_bootstrap(summary, run, baseline, groups, seed=seed, resamples=resamples)
    if not np.isfinite(observed):
        return _without_value(summary, run, baseline, units)
    worsening, point = sign * replicates, sign * observed
    if np.isnan(worsening).any():
        return Finding("could not judge", "the difference is not defined in some resamples", units, point)
    upper, p_value = bound(worsening, units, 1 - alpha), None
    if linear(summary):
        change, swapped = paired_permutation(
            summary, run, baseline, groups, seed=f"{seed}/permutation", resamples=resamples
        )
        p_value = permutation_p(sign * change, sign * swapped, units, two_sided=False)
        worse = p_value <= alpha / tests
    else:
        worse = bound(worsening, units, alpha / tests) > 0
    outcome: Outcome = "pass" if upper <= limit else "regression" if worse else "could not judge"
    unit = difference_unit(summary.unit)
    text = f"worse by {_number(point, unit)}, {1 - alpha:.0%} bound {_number(upper, unit)}, margin {limit:g}"
    if p_value is not None:
        text += f", p {p_value:.4f}"
    return Finding(outcome, text, units, point, upper, p_value)


def _without_value(summary: Summary, run: Rows, baseline: Rows, units: int) -> Finding:
    """A quantile that is infinite in one run only, because so many samples failed, is a change beyond every margin."""
    if summary.estimator == "quantile":
        lost = [not np.isfinite(value(summary, side)) for side in (run, baseline)]
        if lost == [True, False]:
            return Finding("regression", "too many samples failed for the number to be defined", units)
        if lost == [False, True]:
            return Finding("pass", "too many samples of the baseline failed for its number to be defined", units)
    return Finding("could not judge", "the difference is not finite", units)


def factor(
    summary: Summary, run: Rows, baseline: Rows, rounds: NDArray[np.intp], *, limit: float, alpha: float
) -> Finding:
    """Whether the run is at most `limit` times as slow as its baseline, by Wilcoxon's signed-rank test over rounds.

    Each side gives one number per round, so the load of the machine in that round cancels in the ratio. `pass`: the
    ratios are below the factor; `regression`: they are above 1, and their median is above the factor.
    """
    from scipy.stats import wilcoxon

    numbers = np.unique(rounds)
    least = int(np.ceil(np.log2(1 / alpha)))  # a rank test of fewer pairs cannot reach alpha
    if len(numbers) < least:
        return Finding("could not judge", f"{len(numbers)} rounds, at least {least} needed", len(numbers))
    ones, others = (np.array([_of_round(summary, side, rounds == r) for r in numbers]) for side in (run, baseline))
    if not (np.isfinite(ones) & np.isfinite(others) & (ones > 0) & (others > 0)).all():
        if np.isfinite(others).all() and (others > 0).all() and not np.isfinite(ones).all():
            return Finding("regression", "so many samples failed that a round has no number", len(numbers))
        return Finding("could not judge", "a round has no positive number", len(numbers))
    logs = np.log(ones / others) if summary.direction == "lower" else np.log(others / ones)
    ratio = float(np.exp(np.median(logs)))
    if float(wilcoxon(logs - np.log(limit), alternative="less").pvalue) <= alpha:
        outcome: Outcome = "pass"
    else:
        outcome = "could not judge"
    p_value = 1.0 if not np.any(logs) else float(wilcoxon(logs, alternative="greater").pvalue)
    if outcome != "pass" and p_value <= alpha and ratio > limit:
        outcome = "regression"
    text = (
        f"{ratio:.3g} times the baseline over {len(numbers)} rounds, factor {limit:g}, p of being slower {p_value:.4f}"
    )
    return Finding(outcome, text, len(numbers), ratio, limit, p_value)


def _of_round(summary: Summary, data: Rows, chosen: NDArray[np.bool_]) -> float:
    columns = {name: column[chosen] for name, column in data.columns.items()}
    count = int(chosen.sum())
    return value(summary, Rows(columns, count))


def share(successes: int, n: int, limit: float, alpha: float) -> Finding:
    """Whether a share is at least `limit`, by exact one-sided Clopper-Pearson bounds."""
    from scipy.stats import beta

    lower = float(beta.ppf(alpha, successes, n - successes + 1)) if successes else 0.0
    upper = float(beta.ppf(1 - alpha, successes + 1, n - successes)) if successes < n else 1.0
    outcome: Outcome = "pass" if lower >= limit else "regression" if upper < limit else "could not judge"
    shown = upper if outcome == "regression" else lower
    text = f"{successes} of {n}, {1 - alpha:.0%} bound {shown:.4g}, at least {limit:g} wanted"
    return Finding(outcome, text, n, successes / n, shown)


def _number(value: float, unit: str) -> str:
    return f"{value + 0.0:.4g} {unit}".rstrip()  # no negative zero

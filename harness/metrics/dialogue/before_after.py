"""Whether the agent's voice changes after overlapping speech, as Full-Duplex-Bench v1.5 tests it: a paired t-test of
any feature (UTMOSv2, words per minute, pitch, intensity) before and after, without outliers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from speech_eval.errors import BadInput
from speech_eval.metrics.base import Metric, ScoringItem, Summary, Unit, Unscorable, Value
from speech_eval.metrics.dialogue.aligned import field, has
from speech_eval.metrics.dialogue.behavior import RESPOND, behavior
from speech_eval.metrics.dialogue.overlap import SOURCE
from speech_eval.metrics.dialogue.turn_taking import Columns, Floats
from speech_eval.records import Sample

LIMIT = 3.5  # differences further from the median, in MAD_SCALE times their median absolute deviation, are left out
MAD_SCALE = 1.4826
CONFIDENCE = 0.95

NUMBERS = ("difference", "before", "after", "t", "p", "ci-low", "ci-high", "d-z", "n")


def inliers(change: Floats, used: Floats) -> Floats:
    """`used` [n] without the outliers of `change`; all of it where the median absolute deviation is 0."""
    if not used.any():
        return used
    center = np.median(change[used > 0])
    distance = np.abs(change - center)
    spread = np.median(distance[used > 0])
    return used if spread == 0 else used * (distance <= LIMIT * MAD_SCALE * spread)


def _statistic(number: str, feature: str, columns: Columns, weights: Floats) -> Floats:
    """One number of the paired t-test of after - before under each row of weights. Outliers are those of the whole
    data. Without spread `t`, `p`, `d-z` and the interval are undefined; the original has p 0 and an interval."""
    from scipy.special import stdtr, stdtrit

    before, after, used, original = (columns[_part(name, feature)] for name in _PARTS)
    change = after - before
    kept = inliers(change, used)
    center = float(np.median(change[kept > 0])) if kept.any() else 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        n = weights @ kept
        if number in ("before", "after"):
            return (weights @ (kept * columns[_part(number, feature)])) / n
        shifted = kept * (change - center)  # equal differences have no spread, to the last digit
        mean = (weights @ shifted) / n
        variance = np.maximum(0.0, weights @ shifted**2 - n * mean**2) / np.where(n > 1, n - 1, np.nan)
        deviation, difference = np.sqrt(variance), mean + center
        same = deviation <= 1e-12 * np.abs(difference)
        error = np.where(same & ~original.any(), np.nan, np.where(same, 0.0, deviation)) / np.sqrt(n)
        t = difference / error
        reach = error * stdtrit(n - 1, (1 + CONFIDENCE) / 2)
        found = {
            "difference": difference,
            "t": t,
            "p": 2 * stdtr(n - 1, -np.abs(t)),
            "ci-low": difference - reach,
            "ci-high": difference + reach,
            "d-z": np.where(same, np.nan, difference / deviation),
            "n": n,
        }
    return np.asarray(found[number], dtype=np.float64)


_PARTS = ("before", "after", "used", "original")


def _part(name: str, feature: str) -> str:
    return f"{name} {feature}".strip()


def _summaries(feature: str = "") -> tuple[Summary, ...]:
    return tuple(
        Summary(
            _part(number, feature),
            "function",
            tuple(_part(name, feature) for name in _PARTS),
            "",
            "lower" if number == "p" else "higher",
            headline=number in ("difference", "p"),
            function=partial(_statistic, number, feature),
        )
        for number in NUMBERS
    )


class BeforeAfter(Metric):
    """Mean difference of a feature after and before the overlap, over samples whose agent responded (`C_RESPOND`, where
    the record has a tag), with Student's paired t-test, its 95 % interval and Cohen's d_z.

    Differences more than 3.5 scaled median absolute deviations from the median are left out.
    """

    id = "before-after[fdb@1.5]"
    description = "Change of a feature of the agent's voice after overlapping speech: paired t-test without outliers"
    source = f"{SOURCE}, significance_test.py"
    summaries = _summaries()

    def score(self, item: ScoringItem) -> Value:
        """Reads `before` and `after`, each a number, or an object of numbers by feature. Raises `Unscorable` where one
        of them is null."""
        sample = item.sample
        before, after = (_features(sample, name) for name in ("before", "after"))
        if before.keys() != after.keys():
            raise BadInput(f"Sample {sample.id}: 'before' and 'after' differ in their features.", "Give both the same.")
        if not before:
            raise Unscorable(f"Sample {sample.id}: nothing was measured.", "Fill in 'before' and 'after'.")
        tagged = has(sample, "behavior") or has(sample, "judge")
        responded = not tagged or behavior(sample) == RESPOND
        parts: dict[str, float] = {}
        for feature in before:
            parts |= _parts(feature, before[feature], after[feature], used=responded)
        compat = {name: float(name.startswith("original")) or value for name, value in parts.items()}
        return Value(parts, {"differences": {name: after[name] - before[name] for name in before}}, compat)

    def failure(self, sample: Sample) -> dict[str, float]:
        """Left out: a difference has no worst value. `n` says how many samples count."""
        return _parts("", 0.0, 0.0, used=False)

    def pool(self, units: Sequence[Unit]) -> Sequence[Unit]:
        """The same units, a lost one with the features of the others."""
        every = {name for unit in units for name in unit.strict}
        if _PARTS[0] in every and len(every) > len(_PARTS):
            every -= set(_PARTS)
        blank = dict.fromkeys(sorted(every), 0.0)
        return [
            Unit(u.sample, _completed(u.strict, blank), _completed(u.compat, blank) if u.compat else None, u.detail)
            for u in units
        ]

    def reported(self, units: Sequence[Unit]) -> Sequence[Summary]:
        """The numbers of every feature, `NAME feature`; without names where the records have bare numbers."""
        names = dict.fromkeys(name for unit in units for name in unit.strict if name.startswith("before"))
        return tuple(summary for name in names for summary in _summaries(name.removeprefix("before").strip()))


def _completed(parts: dict[str, float], blank: dict[str, float]) -> dict[str, float]:
    return {name: parts.get(name, value) for name, value in blank.items()}


def _parts(feature: str, before: float, after: float, *, used: bool) -> dict[str, float]:
    values = (before, after, float(used), 0.0)
    return {_part(name, feature): value for name, value in zip(_PARTS, values, strict=True)}


def _features(sample: Sample, name: str) -> dict[str, float]:
    """Numbers by feature, under the name "" where the field is one number; empty where it is null."""
    given: Any = field(sample, name)
    if given is None:
        return {}
    found = dict(given) if isinstance(given, Mapping) else {"": given}
    for value in found.values():
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise BadInput(f"Sample {sample.id}: '{name}' holds {value!r}, which is not a number.", "Give numbers.")
    return {str(feature): float(value) for feature, value in found.items()}

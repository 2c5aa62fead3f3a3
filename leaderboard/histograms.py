"""Histograms of the samples of a run, one per headline number, drawn without a script."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from speech_eval.analysis import report
from speech_eval.leaderboard.load import TaskLines
from speech_eval.records import Formula, MetricResult, TaskResult

_BINS = 24
_FEWEST = 5  # fewer samples are easier to read one by one
_ERRORS = (("errors", "words"), ("errors", "characters"))


@dataclass(frozen=True)
class Histogram:
    """`bars` are (x, height) in percent of the drawing; `low`, `high` and `median` are texts in the metric's unit."""

    name: str
    unit: str
    n: int
    bars: list[tuple[float, float]]
    low: str
    median: str
    high: str
    middle: float  # where the median is, in percent of the width


def sample_value(parts: Mapping[str, float], metric: MetricResult) -> float | None:
    """The value of one sample for a metric, in its unit; None where the stored `parts` do not give it.

    It comes from the metric's formula; in runs without formulas, from the part of that name or errors over words.
    """
    if metric.formula is not None:
        value, scale = _by_formula(metric.formula, parts), metric.formula.scale
    else:
        value, scale = _by_name(parts, metric), 100.0 if metric.unit == "%" else 1.0
    return None if value is None else value * scale


def _by_name(parts: Mapping[str, float], metric: MetricResult) -> float | None:
    bare = metric.metric.split("[")[0]
    found = next((parts[name] for name in (metric.name, bare, *metric.name.split()) if name in parts), None)
    if found is not None:
        return found
    for top, bottom in _ERRORS:
        if metric.name == bare and top in parts and parts.get(bottom):
            return parts[top] / parts[bottom]
    stem = metric.name.rsplit("-p", 1)[0].replace("-", "_")  # `ttfa-p50` is a quantile of the part `ttfa`
    if stem in parts:
        return parts[stem]
    return next(iter(parts.values())) if len(parts) == 1 and metric.name in (bare, metric.metric) else None


def _by_formula(formula: Formula, parts: Mapping[str, float]) -> float | None:
    if formula.estimator == "function" or not all(name in parts for name in formula.parts):
        return None
    top, bottom = parts[formula.parts[0]], parts[formula.parts[1]] if formula.estimator == "ratio" else 1.0
    return top / bottom if bottom else None


def histograms(result: TaskResult, lines: TaskLines) -> list[Histogram]:
    """One histogram per headline number whose value per sample can be read from the scores."""
    found, seen = [], set()
    for metric in report.ordered(m for m in result.metrics if m.headline or m.primary):
        scores = (score for (_, name), score in lines.scores.items() if name == metric.metric)
        values = [v for s in scores if s.status == "ok" and (v := sample_value(s.parts, metric)) is not None]
        values = sorted(value for value in values if math.isfinite(value))
        key = (metric.metric, tuple(values))
        if len(values) >= _FEWEST and key not in seen:  # two quantiles of one part are one histogram
            seen.add(key)
            found.append(_histogram(report.short(metric, result), metric.unit, values))
    return found


def _histogram(name: str, unit: str, values: list[float]) -> Histogram:
    low, high, n = values[0], values[-1], len(values)
    span = high - low
    counts = [0] * _BINS
    for value in values:
        counts[min(_BINS - 1, int(_BINS * (value - low) / span)) if span else _BINS // 2] += 1
    most = max(counts)
    bars = [(round(100 * i / _BINS, 2), round(100 * count / most, 2)) for i, count in enumerate(counts) if count]
    median = (values[(n - 1) // 2] + values[n // 2]) / 2
    middle = round(100 * (median - low) / span, 2) if span else 50.0
    text = f"{low:.3g}", f"{median:.3g}", f"{high:.3g}"
    return Histogram(name, unit, n, bars, *text, middle=middle)

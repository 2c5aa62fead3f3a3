"""Numbers of runs by the slices of a column: each with its interval, and tested against the other slices.

The numbers of a slice are those of a run restricted to it, as `results.json` would have them. The tests of one run's
task are one family: its shown numbers in all slices with enough samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import Field

from speech_eval.analysis.columns import Cut, cut, no_column
from speech_eval.analysis.human_baseline import uncalibrated
from speech_eval.analysis.report import difference_unit, names, provenance, quantity
from speech_eval.analysis.shown import Shown
from speech_eval.analysis.significance import adjusted
from speech_eval.engine.aggregate import metric_results, numbers_of, pooling, unit
from speech_eval.engine.manifest import names_of
from speech_eval.engine.run_directory import Parts, RunDirectory, charged_to_runs
from speech_eval.metrics.base import Metric
from speech_eval.metrics.catalog import METRICS
from speech_eval.records import Estimate, MetricResult, Record, Results, Sample
from speech_eval.statistics.contrast import Contrast, contrasts, crossed_contrasts
from speech_eval.statistics.multiple import NAMES, Correction
from speech_eval.statistics.paired import ALPHA
from speech_eval.statistics.power import LEAST_UNITS
from speech_eval.statistics.summaries import Summary, Unit, clusters, group, rows

LEAST = LEAST_UNITS  # samples of a slice that is tested
UNSTATED = "not stated"


class SliceNumber(Record):
    """One number of a run in one slice. `difference` = this slice - the other slices together, `p_value` two-sided and
    `adjusted` for the tests of the task; null for a slice that is not tested, as `untested` says.

    `worst`: of the tested slices this one has the worst value. `significant`: it is worse than the others by its
    adjusted p-value. `units` are independent units: samples, or clusters of samples; null where nothing was tested.
    """

    model: str = ""
    task: str
    slice: str
    stated: bool = True  # false: the samples without a value in the column
    result: MetricResult
    calibrated: bool = True
    units: int | None = None
    difference: Estimate | None = None
    p_value: float | None = None
    adjusted: float | None = None
    worst: bool = False
    significant: bool = False
    untested: str = ""


class SliceReport(Shown):
    """Numbers of runs by the slices of `column`, tasks in the order of the runs. `without` names the tasks that do not
    have the column. Slices of fewer than `least` samples are not tested."""

    schema_version: int = 1
    column: str
    bins: list[float] = Field(default_factory=list)
    least: int = LEAST
    correction: Correction = "holm"
    numbers: list[SliceNumber]
    without: list[str] = Field(default_factory=list)

    def caption(self) -> str:
        lacking = f" Without this column: {', '.join(self.without)}." if self.without else ""
        return (
            f"By {self.column}: each slice against the other slices together; p-values ({NAMES[self.correction]}) over "
            f"the numbers and slices of a task; slices of fewer than {self.least} samples are not tested.{lacking}"
        )

    def rows(self) -> list[dict[str, Any]]:
        """One row per number and slice, rounded to what the interval supports."""
        return [
            {
                "task": one.task,
                "model": one.model,
                "metric": f"{one.result.metric}/{one.result.name}",
                "scorer": provenance(one.result.scorer, one.calibrated),
                "slice": one.slice,
                "value": quantity(one.result.strict, one.result.unit),
                "difference": difference_text(one),
                f"p ({NAMES[self.correction]})": p_text(one),
                "n": str(one.result.strict.n),
                "finding": finding(one),
            }
            for one in self.numbers
        ]

    def records(self) -> list[dict[str, Any]]:
        """One record per number and slice, unrounded."""
        return [
            {"model": one.model, "task": one.task, "column": self.column, "slice": one.slice, "stated": one.stated}
            | {name: getattr(one.result, name) for name in ("metric", "name", "unit", "direction", "primary", "scorer")}
            | {"calibrated": one.calibrated}
            | _flat("strict", one.result.strict)
            | _flat("compat", one.result.compat)
            | {"units": one.units}
            | _flat("difference", one.difference or Estimate(value=None, n=one.result.strict.n))
            | one.model_dump(include={"p_value", "adjusted", "worst", "significant", "untested"})
            for one in self.numbers
        ]


def _flat(name: str, found: Estimate) -> dict[str, Any]:
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high, f"{name}_n": found.n}


def difference_text(one: SliceNumber) -> str:
    """The difference with its interval and unit; empty where it was not taken."""
    return "" if one.difference is None else quantity(one.difference, difference_unit(one.result.unit))


def p_text(one: SliceNumber) -> str:
    """The adjusted p-value, or why there is none."""
    return one.untested if one.adjusted is None else f"{one.adjusted:.4f}"


def finding(one: SliceNumber) -> str:
    """`worst, significantly worse`, or less."""
    return ", ".join((["worst"] if one.worst else []) + (["significantly worse"] if one.significant else []))


@charged_to_runs
def slices(
    runs: Sequence[RunDirectory],
    results: Sequence[Results],
    column: str,
    *,
    bins: Sequence[float] = (),
    least: int = LEAST,
    everything: bool = False,
    correction: Correction = "holm",
) -> SliceReport:
    """The numbers of `runs`, whose results are `results`, by the slices of `column` (`speech_eval.analysis.columns`).
    `everything` takes all numbers, not only headline and primary ones.

    Raises `BadInput` where no task has the column, naming the columns there are.
    """
    found: list[SliceNumber] = []
    without: dict[str, None] = {}
    seen: list[Sample] = []
    for run, result, name in zip(runs, results, names(results), strict=True):
        for task in result.tasks:
            samples = sorted(run.samples(task.task), key=lambda sample: sample.id)
            seen += samples
            parted = cut(samples, column, bins)
            if parted is None:
                without[task.task] = None
                continue
            lacking = uncalibrated(task, results)
            made = _Sliced(run, task.task, samples, parted, column, least).numbers(everything)
            found += [
                one.model_copy(update={"model": name, "calibrated": one.result.metric not in lacking})
                for one in _corrected(made, correction)
            ]
    if not found:
        raise no_column(column, seen)
    order = {task: place for place, task in enumerate(dict.fromkeys(one.task for one in found))}
    return SliceReport(
        column=column,
        bins=sorted(set(bins)),
        least=least,
        correction=correction,
        numbers=sorted(found, key=lambda one: order[one.task]),
        without=list(without),
    )


class _Sliced:
    """The slices of one task of a run."""

    def __init__(
        self, run: RunDirectory, task: str, samples: Sequence[Sample], parted: Cut, column: str, least: int
    ) -> None:
        self.run, self.task, self.samples, self.column, self.least = run, task, samples, column, least
        self.slices = [*parted.ids.items(), *([(UNSTATED, parted.unstated)] if parted.unstated else [])]
        self.stated = len(parted.ids)

    def numbers(self, everything: bool) -> list[SliceNumber]:
        """All numbers, number by number, of each the slices in their order and then the samples without a value."""
        with names_of(self.run) as manifest:
            record = manifest.tasks[self.task]
            scores = self.run.parts(self.task, pooling(record.metrics))
            found = []
            for metric in (METRICS.get(metric_id)() for metric_id in record.metrics):
                results = [
                    metric_results(self.task, record, manifest.seed, metric, own, scores, {}, shown=not everything)
                    for own in ([s for s in self.samples if s.id in ids] for _, ids in self.slices)
                ]
                found += self._of(metric, results, scores)
        return found

    def _of(
        self, metric: Metric, results: Sequence[Sequence[MetricResult]], scores: Mapping[tuple[str, str], Parts]
    ) -> list[SliceNumber]:
        """One metric's numbers, with their tests. `results` [slice] are its numbers in each slice."""
        units = [self._units(metric, ids, scores) for _, ids in self.slices[: self.stated]]
        found = []
        for summary, counted in numbers_of(metric, [one for part in units for one in part]):
            own = {at: r for at, part in enumerate(results) for r in part if r.name == summary.name}
            tested = self._contrasts(metric, summary, counted, [len(part) for part in units]) if own else {}
            found += [self._number(at, result, tested.get(at)) for at, result in own.items()]
        return found

    def _units(self, metric: Metric, ids: frozenset[str], scores: Mapping[tuple[str, str], Parts]) -> Sequence[Unit]:
        made = (unit(metric, s, scores.get((s.id, metric.id))) for s in self.samples if s.id in ids)
        return metric.pool([one for one in made if one is not None])

    def _contrasts(
        self, metric: Metric, summary: Summary, units: Sequence[Unit], sizes: Sequence[int]
    ) -> dict[int, Contrast]:
        """The tests of a number, by the place of the slice; none for the number of a subset, which has fewer units."""
        labels = np.repeat(np.arange(len(sizes)), sizes)
        present = np.unique(labels)
        if len(units) != len(labels) or len(present) < 2:
            return {}
        samples = [one.sample for one in units]
        if self.column == "speaker":  # then the speaker is a condition, as in a run of a single speaker
            samples = [sample.model_copy(update={"speaker": None}) for sample in samples]
        parts, groups = [one.strict for one in units], group(clusters(samples))
        places = np.searchsorted(present, labels)
        if summary.crossed:
            made = crossed_contrasts(summary, parts, groups, places)
        else:
            seed = f"slices/{self.task}/{metric.id}/{summary.name}"
            made = contrasts(summary, rows(summary, parts), groups, places, seed=seed)
        return {int(place): one for place, one in zip(present, made, strict=True)}

    def _number(self, at: int, result: MetricResult, contrast: Contrast | None) -> SliceNumber:
        untested = ""
        if at >= self.stated:
            untested = "no value"
        elif result.strict.n < self.least:
            untested = f"fewer than {self.least}"
        elif contrast is None:
            untested = "the only slice"
        found = SliceNumber(
            task=self.task, slice=self.slices[at][0], stated=at < self.stated, result=result, untested=untested
        )
        if contrast is None or untested:
            return found
        fields = ("difference", "p_value", "units", "untested")
        return found.model_copy(update={name: getattr(contrast, name) for name in fields})


def _corrected(numbers: Sequence[SliceNumber], correction: Correction) -> list[SliceNumber]:
    """The numbers of one task with `adjusted`, `worst` and `significant`. Two slices are one test of the other."""
    places: dict[tuple[str, str], list[int]] = {}
    for place, one in enumerate(numbers):
        if one.stated:
            places.setdefault((one.result.metric, one.result.name), []).append(place)
    tested: dict[int, float] = {}
    for own in places.values():
        known = {place: p for place in own if (p := numbers[place].p_value) is not None}
        tested |= dict(list(known.items())[:1]) if len(own) == 2 else known
    values = adjusted(tested, correction)
    found = list(numbers)
    for own in places.values():
        if len(own) == 2 and own[0] in values and numbers[own[1]].p_value is not None:
            values[own[1]] = values[own[0]]
        worst = _worst([place for place in own if place in values], numbers)
        for place in own:
            p_value, change = values.get(place), numbers[place].difference
            worse = change is not None and _badness(numbers[place].result, change) > 0
            update = {"adjusted": p_value, "worst": place == worst}
            significant = p_value is not None and p_value <= ALPHA and worse
            found[place] = numbers[place].model_copy(update={**update, "significant": significant})
    return found


def _worst(places: Sequence[int], numbers: Sequence[SliceNumber]) -> int | None:
    return max(places, key=lambda place: _badness(numbers[place].result, numbers[place].result.strict), default=None)


def _badness(result: MetricResult, found: Estimate) -> float:
    value = float("-inf") if found.value is None else found.value
    return value if result.direction == "lower" else -value

"""Compare two runs sample by sample: differences, their intervals and paired tests, and the most changed samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import Field

from speech_eval.analysis.aligned import Aligned, aligned_slices, common_samples, obstacles
from speech_eval.analysis.columns import check_bounds, cut, no_column
from speech_eval.analysis.human_baseline import uncalibrated
from speech_eval.analysis.report import difference_unit, names, number, provenance, quantity
from speech_eval.analysis.shown import Shown
from speech_eval.analysis.significance import adjusted, is_shown, paired
from speech_eval.engine.run_directory import RunDirectory, charged_to_runs
from speech_eval.errors import NotComparable
from speech_eval.records import Estimate, MetricResult, Output, Record, Results, Sample
from speech_eval.statistics.bootstrap import estimate
from speech_eval.statistics.multiple import NAMES, Correction
from speech_eval.statistics.paired import Test
from speech_eval.statistics.power import LEAST_UNITS
from speech_eval.statistics.summaries import finite

SHOWN = 10  # most changed samples per task


class Difference(Record):
    """One number of run A and of run B on the same samples, and `difference` = A - B; the difference of two percentages
    is in points. `a` and `b` are those of `results.json` where the runs have the same samples.

    `p_value` is two-sided: for means and ratios from random swaps of the two runs' outputs within clusters, for
    quantiles and composites from the bootstrap, for people's votes clustered by rater and sample (`test` says which).
    `adjusted` is the comparison's `correction` over the numbers of the task that it shows, null for the others.
    `effect_size` is the difference over the standard deviation of its units (Cohen's d of paired data). `detectable` is
    the least true difference that data like these show in four of five experiments (two-sided, 5 %). `slice` is that of
    a comparison by a column; a slice with too few samples has no test.
    """

    task: str
    slice: str = ""
    metric: str
    name: str
    unit: str
    direction: str
    primary: bool
    headline: bool
    scorer: str = ""
    calibrated: bool = True
    n: int
    units: int  # independent units: samples, or clusters of samples
    a: Estimate
    b: Estimate
    difference: Estimate
    test: Test | None = None
    p_value: float | None = None
    adjusted: float | None = None
    effect_size: float | None = None
    detectable: float | None = None


class Side(Record):
    """What one run has for a sample: `text` is its answer, or the recognizer's transcript of it, `audio` a path."""

    status: str
    value: float | None = None
    text: str | None = None
    audio: str | None = None
    error: str | None = None


class Changed(Record):
    """A sample that changed the task's primary number; `change` = A - B of the number's first part that differs."""

    task: str
    metric: str
    id: str
    change: float | None  # null: infinite, one side has no answer to time
    reference: str | None
    reference_audio: str | None  # relative to the dataset's root, as in the manifest
    prompt_audio: str | None
    a: Side
    b: Side


class Comparison(Shown):
    """All numbers that two runs have in common. `a` and `b` are the names of the models; `forced` lists why the runs
    are not comparable, where the caller insisted. `everything`: not only headline numbers are shown and corrected for.
    With a column `by` every number is that of a slice; slices of fewer than `least` samples are not tested, and
    `without` names the tasks that do not have the column.
    """

    schema_version: int = 1
    a: str
    b: str
    forced: list[str] = Field(default_factory=list)
    correction: Correction = "holm"
    everything: bool = False
    by: str = ""
    least: int = 0
    without: list[str] = Field(default_factory=list)
    differences: list[Difference]
    changed: list[Changed] = Field(default_factory=list)

    @property
    def shown(self) -> list[Difference]:
        """The differences of the table."""
        return [d for d in self.differences if self.everything or d.headline or d.primary]

    def caption(self) -> str:
        forced = "".join(f" NOT COMPARABLE: {reason}" for reason in self.forced)
        by = f" · by {self.by}; slices of fewer than {self.least} samples are not tested" if self.by else ""
        without = f"; without this column: {', '.join(self.without)}" if self.without else ""
        return f"A: {self.a} · B: {self.b}{by}{without}{forced}"

    def rows(self) -> list[dict[str, Any]]:
        """One row per shown number, rounded to what its interval supports."""
        return [
            {
                "task": d.task,
                **({"slice": d.slice} if self.by else {}),
                "metric": f"{d.metric}/{d.name}",
                "scorer": provenance(d.scorer, d.calibrated),
                "A": quantity(d.a, d.unit),
                "B": quantity(d.b, d.unit),
                "A - B": quantity(d.difference, difference_unit(d.unit)),
                f"p ({NAMES[self.correction]})": "" if d.adjusted is None else f"{d.adjusted:.4f}",
                "effect": "" if d.effect_size is None else f"{d.effect_size:.2f}",
                "detectable": _detectable(d),
                "n": d.n if d.n == d.units else f"{d.n} in {d.units}",
            }
            for d in self.shown
        ]

    def records(self) -> list[dict[str, Any]]:
        """One record per number: `a`, `b` and `difference` with its interval (`low`, `high`), and the paired test."""
        return [
            d.model_dump(exclude={"a", "b", "difference"})
            | {"a": d.a.value, "b": d.b.value, "difference": d.difference.value}
            | {"low": d.difference.low, "high": d.difference.high}
            for d in self.differences
        ]


def _detectable(difference: Difference) -> str:
    if difference.detectable is None:
        return ""
    return f"{number(difference.detectable, 3)} {difference_unit(difference.unit)}".strip()


@charged_to_runs
def compare(
    a: RunDirectory,
    b: RunDirectory,
    *,
    force: bool = False,
    everything: bool = False,
    correction: Correction = "holm",
    by: str | None = None,
    bins: Sequence[float] = (),
    least: int = LEAST_UNITS,
) -> Comparison:
    """Compare all tasks and metrics that both runs have. `everything` shows all numbers. `correction` of the p-values
    runs over the shown numbers of a task: Holm's bounds the probability of any false finding, that of Benjamini and
    Hochberg the share of false findings. `by` compares each slice of a column (`speech_eval.analysis.columns`) instead
    of all samples, and the correction then runs over the numbers of all slices with `least` samples or more.

    Raises `NotComparable` where they have no task in common, or where dataset, protocol, conditions or scorer differ
    and `force` is off; `BadInput` where no common task has the column.
    """
    check_bounds(by, bins)
    reasons = obstacles(a, b)
    common = sorted(set(a.manifest().tasks) & set(b.manifest().tasks))
    if not common:
        raise NotComparable(f"{a.path} and {b.path} have no task in common.", "Run the same tasks for both.")
    if reasons and not force:
        raise NotComparable(
            f"{a.path} and {b.path} are not comparable: {'; '.join(reasons)}.",
            "Run both under the same conditions, or pass --force to see the numbers anyway, marked.",
        )
    sides = [a.results(), b.results()]
    differences, changed, without, seen = [], [], [], []
    for task in common:
        samples = common_samples([a, b], task)
        parted = {"": samples} if by is None else _parted(samples, by, bins)
        if not parted:
            without.append(task)
            seen += samples
            continue
        found, kept = [], []
        for name, pairs in zip(parted, aligned_slices([a, b], task, parted.values()), strict=True):
            found += [_difference(task, pair, sides, name, 0 if by is None else least) for pair in pairs]
            kept += [everything or is_shown(pair) for pair in pairs]
            changed += [c for pair in pairs if by is None and pair.primary for c in changed_samples(a, b, task, pair)]
        differences += _corrected(found, kept, correction)
    if by is not None and not differences:
        raise no_column(by, seen)
    return Comparison(
        a=names(sides)[0],
        b=names(sides)[1],
        forced=reasons,
        correction=correction,
        everything=everything,
        by=by or "",
        least=0 if by is None else least,
        without=without,
        differences=differences,
        changed=changed,
    )


def _parted(samples: Sequence[Sample], by: str, bins: Sequence[float]) -> dict[str, list[Sample]]:
    """The samples of each slice; empty where no sample states the column."""
    found = cut(samples, by, bins)
    slices = {} if found is None else found.ids
    return {name: [sample for sample in samples if sample.id in ids] for name, ids in slices.items()}


# ------------------------------------------------------------------------------------------- differences


def _difference(task: str, pair: Aligned, sides: Sequence[Results], slice: str = "", least: int = 0) -> Difference:
    summary, n = pair.summary, len(pair.clusters)
    tested = vars(paired(task, pair))
    if slice:  # as a report by the column states them
        seeds = [f"{side.seed}/{task}/{pair.metric}/{summary.name}" for side in sides]
        estimates = (
            estimate(summary, parts, seed=seed, clusters=pair.clusters)
            for parts, seed in zip(pair.parts, seeds, strict=True)
        )
        tested |= dict(zip("ab", estimates, strict=True))
    if n < least:
        tested |= dict.fromkeys(("test", "p_value", "effect_size", "detectable"))
    stored = [_stored(side, task, pair) for side in sides]
    for name, number_ in zip("ab", stored, strict=True):
        if number_ is not None and number_.strict.n == n and number_.strict.value == tested[name].value:
            tested[name] = number_.strict
    known = [number_ for number_ in stored if number_ is not None]
    return Difference(
        task=task,
        slice=slice,
        metric=pair.metric,
        name=summary.name,
        unit=summary.unit,
        direction=summary.direction,
        primary=pair.primary,
        headline=summary.headline,
        scorer=" and ".join(dict.fromkeys(number_.scorer for number_ in known if number_.scorer)),
        calibrated=all(pair.metric not in uncalibrated(t, sides) for s in sides for t in s.tasks if t.task == task),
        n=n,
        units=len(set(pair.clusters)),
        **tested,
    )


def _stored(results: Results, task: str, pair: Aligned) -> MetricResult | None:
    """The same number in `results.json`."""
    metrics = [metric for found in results.tasks if found.task == task for metric in found.metrics]
    return next((m for m in metrics if (m.metric, m.name) == (pair.metric, pair.summary.name)), None)


def _corrected(differences: Sequence[Difference], shown: Sequence[bool], correction: Correction) -> list[Difference]:
    """The differences of one task, those that are shown with `adjusted`."""
    numbered = zip(differences, shown, strict=True)
    tested = {i: d.p_value for i, (d, seen) in enumerate(numbered) if seen and d.p_value is not None}
    values = adjusted(tested, correction)
    return [d.model_copy(update={"adjusted": values.get(i)}) for i, d in enumerate(differences)]


# --------------------------------------------------------------------------------------- changed samples


def changed_samples(
    a: RunDirectory, b: RunDirectory, task: str, pair: Aligned, *, worse: bool = False
) -> list[Changed]:
    """The samples that differ most between the runs, in the first part that differs; largest change first. `worse`:
    only those of which A's part is farther from the metric's better direction."""
    one, other = pair.parts
    part = next((p for p in pair.summary.parts if _column(one, p) != _column(other, p)), pair.summary.parts[0])
    left, right = (np.array(_column(side, part)) for side in pair.parts)
    with np.errstate(invalid="ignore"):
        change = np.where(left == right, 0.0, left - right)
    sign = 1.0 if pair.summary.direction == "lower" else -1.0
    kept = sign * change > 0 if worse else change != 0
    order = [i for i in np.argsort(-np.abs(change), kind="stable") if kept[i]][:SHOWN]
    samples = {sample.id: sample for sample in a.samples(task)}
    sides = [Answers(a, task), Answers(b, task)]
    found = []
    for index in order:
        key = pair.ids[index]
        sample = samples.get(key)  # None for a unit that pools several samples, a call of chunks
        found.append(
            Changed(
                task=task,
                metric=f"{pair.metric}/{part}",
                id=key,
                change=finite(float(change[index])),
                reference=None if sample is None else sample.text,
                reference_audio=None if sample is None else sample.audio,
                prompt_audio=None if sample is None else sample.prompt_audio,
                a=sides[0].side(key, float(left[index])),
                b=sides[1].side(key, float(right[index])),
            )
        )
    return found


def _column(side: list[dict[str, float]], part: str) -> list[float]:
    return [float(parts.get(part, np.inf)) for parts in side]


class Answers:
    """Outputs and transcripts of one run's task, read once."""

    def __init__(self, run: RunDirectory, task: str) -> None:
        self._run = run
        self._outputs, self._transcripts = run.outputs(task), run.transcripts(task)

    def side(self, key: str, value: float) -> Side:
        output: Output | None = self._outputs.get(key)
        if output is None:
            return Side(status="missing", value=finite(value))
        heard = self._transcripts.get(key)
        text = output.text if output.text is not None or heard is None else heard.text
        audio = None if output.audio is None else str(self._run.audio_path(output.audio))
        return Side(status=output.status, value=finite(value), text=text, audio=audio, error=output.error)

"""Two runs side by side, sample by sample: the difference, its interval, and whether chance explains it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import Field

from speech_eval.engine.aggregate import is_primary, numbers_of, unit
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.errors import NotComparable
from speech_eval.metrics.base import Metric, Summary, clusters
from speech_eval.metrics.catalog import METRICS
from speech_eval.records import Estimate, Output, Record, Sample, Score
from speech_eval.statistics.bootstrap import (
    RESAMPLES,
    Floats,
    Groups,
    Rows,
    bootstrap_p,
    finite,
    group,
    interval,
    joint_bootstrap,
    linear,
    paired_permutation,
    permutation_p,
    rows,
    statistic,
)

POWER = 0.8
SHOWN = 10  # most changed samples a task
# What the manifests' records of a task must agree on, besides the dataset and the scorers.
CONDITIONS = ("version", "protocol", "interface", "limit", "recognizer", "conditions", "sweep")

Test = Literal["permutation", "bootstrap"]


class Difference(Record):
    """One number of run A and of run B on the same samples, and `difference` = A - B, all in `unit`.

    `p_value` is two-sided: for means and ratios from random swaps of the two runs' outputs within clusters, for
    quantiles and composites from the bootstrap (`test` says which). `adjusted` is Holm's correction over all numbers of
    the comparison. `effect_size` is the difference over the standard deviation of its units (Cohen's d of paired data).
    `detectable` is the least true difference that data like these show in four of five experiments (two-sided, 5 %).
    """

    task: str
    metric: str
    name: str
    unit: str
    direction: str
    primary: bool
    headline: bool
    n: int
    units: int  # independent ones: samples, or clusters of samples
    a: Estimate
    b: Estimate
    difference: Estimate
    test: Test | None = None
    p_value: float | None = None
    adjusted: float | None = None
    effect_size: float | None = None
    detectable: float | None = None


class Side(Record):
    """What one run has for a sample. `text` is its answer, or what the recognizer heard; `audio` a file's path."""

    status: str
    value: float | None = None
    text: str | None = None
    audio: str | None = None
    error: str | None = None


class Changed(Record):
    """A sample whose share of the task's primary number changed; `change` = A - B of its leading part."""

    task: str
    metric: str
    id: str
    change: float | None  # null: infinite, one side has no answer to time
    reference: str | None
    reference_audio: str | None  # relative to the dataset's root, as in the manifest
    prompt_audio: str | None
    a: Side
    b: Side


class Comparison(Record):
    """Everything two runs have in common. `forced` lists what makes them incomparable, where the user insisted."""

    schema_version: int = 1
    a: str
    b: str
    forced: list[str] = Field(default_factory=list)
    differences: list[Difference]
    changed: list[Changed] = Field(default_factory=list)


@dataclass(frozen=True)
class Pair:
    """Parts of one summary in two runs, unit by unit (a sample each, mostly), failures scored at their worst."""

    summary: Summary
    ids: list[str]
    clusters: list[str]
    a: list[dict[str, float]]
    b: list[dict[str, float]]

    @property
    def groups(self) -> Groups:
        return group(self.clusters)

    @property
    def sides(self) -> tuple[Rows, Rows]:
        return rows(self.summary, self.a), rows(self.summary, self.b)


def compare(a: RunDirectory, b: RunDirectory, *, force: bool = False) -> Comparison:
    """Compare all tasks and metrics that both runs have.

    Raises `NotComparable` where they have none in common, or where dataset, protocol or scorer differ and `force`
    is off.
    """
    reasons = obstacles(a, b)
    common = sorted(set(a.manifest().tasks) & set(b.manifest().tasks))
    if not common:
        raise NotComparable(f"{a.path} and {b.path} have no task in common.", "Run the same tasks for both.")
    if reasons and not force:
        raise NotComparable(
            f"{a.path} and {b.path} are not comparable: {'; '.join(reasons)}.",
            "Run both under the same conditions, or pass --force to see the marked figures anyway.",
        )
    differences, changed = [], []
    for task in common:
        for metric_id, primary, pair in pairs(a, b, task):
            differences.append(_difference(task, metric_id, pair, primary))
            if primary:
                changed += _changed(a, b, task, metric_id, pair)
    return Comparison(
        a=a.manifest().model.spec,
        b=b.manifest().model.spec,
        forced=reasons,
        differences=holm(differences),
        changed=changed,
    )


# ---------------------------------------------------------------------------------------- comparability


def obstacles(a: RunDirectory, b: RunDirectory) -> list[str]:
    """Why the numbers of two runs may not be set side by side; empty where they may."""
    left, right = a.manifest().tasks, b.manifest().tasks
    return [reason for task in sorted(set(left) & set(right)) for reason in task_obstacles(a, b, task)]


def task_obstacles(a: RunDirectory, b: RunDirectory, task: str) -> list[str]:
    """Why the numbers of one common task may not be set side by side. A judge is a scorer."""
    left, right = a.manifest().tasks[task], b.manifest().tasks[task]
    found = [
        f"{task}: {key} is {left.get(key)!r} and {right.get(key)!r}"
        for key in CONDITIONS
        if left.get(key) != right.get(key)
    ]
    if left["dataset"]["sha256"] != right["dataset"]["sha256"]:
        found.append(f"{task}: the datasets differ ({left['dataset']['name']} and {right['dataset']['name']})")
    scorers = _scorers(a, task), _scorers(b, task)
    for metric in sorted(set(left["metrics"]) & set(right["metrics"])):
        one, other = (side.get(metric, set()) for side in scorers)
        if one and other and one != other:
            found.append(f"{task}: {metric} was scored by {', '.join(sorted(one))} and {', '.join(sorted(other))}")
    return found


def _scorers(run: RunDirectory, task: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for (_, metric), score in run.scores(task).items():
        if score.scorer:
            found.setdefault(metric, set()).add(score.scorer)
    return found


# ---------------------------------------------------------------------------------------------- pairing


def pairs(a: RunDirectory, b: RunDirectory, task: str) -> list[tuple[str, bool, Pair]]:
    """All numbers of a task that both runs have, those of levels and sets too: metric id, whether it is the primary
    number, and the paired parts."""
    record = a.manifest().tasks[task]
    metrics = [name for name in record["metrics"] if name in b.manifest().tasks[task]["metrics"]]
    ids = {sample.id for sample in b.samples(task)}
    samples = [sample for sample in sorted(a.samples(task), key=lambda s: s.id) if sample.id in ids]
    if not samples:
        raise NotComparable(f"Task {task}: the runs have no sample in common.", "Use the same dataset.")
    scores = a.scores(task), b.scores(task)
    found = []
    for metric_id in metrics:
        metric: Metric = METRICS.get(metric_id)()
        made = _pairs(metric, samples, scores)
        found += [(metric_id, is_primary(record["primary"], metric, pair.summary), pair) for pair in made]
    return found


def pair_up(a: RunDirectory, b: RunDirectory, task: str, metric: Metric, name: str) -> Pair | None:
    """The parts of the number `name` in both runs, over the samples of `a`; None where one of them has no such number
    (a level that its codec lacks)."""
    samples = sorted(a.samples(task), key=lambda sample: sample.id)
    made = _pairs(metric, samples, (a.scores(task), b.scores(task)))
    return next((pair for pair in made if pair.summary.name == name), None)


_Scores = dict[tuple[str, str], Score]


def _pairs(metric: Metric, samples: list[Sample], scores: tuple[_Scores, _Scores]) -> list[Pair]:
    """What both sides have of a metric, number by number."""
    left, right = (
        numbers_of(metric, metric.pool([unit(metric, sample, side.get((sample.id, metric.id))) for sample in samples]))
        for side in scores
    )
    others = {summary.name: units for summary, units in right}
    return [
        Pair(
            summary, [u.sample.id for u in units], clusters(units), [u.strict for u in units], [u.strict for u in held]
        )
        for summary, units in left
        if (held := others.get(summary.name)) is not None
    ]


# ------------------------------------------------------------------------------------------- differences


def _difference(task: str, metric_id: str, pair: Pair, primary: bool) -> Difference:
    summary = pair.summary
    seed = f"compare/{task}/{metric_id}/{summary.name}"
    return Difference(
        task=task,
        metric=metric_id,
        name=summary.name,
        unit=summary.unit,
        direction=summary.direction,
        primary=primary,
        headline=summary.headline,
        n=len(pair.clusters),
        units=len(set(pair.clusters)),
        **paired(summary, *pair.sides, pair.groups, seed),
    )


def paired(summary: Summary, a: Rows, b: Rows, groups: Groups, seed: str, resamples: int = RESAMPLES) -> dict[str, Any]:
    """`a`, `b` and `difference` as estimates, and the paired test of A - B, as fields of a `Difference`."""
    one = np.ones((1, a.n))
    values = [float(statistic(summary, side, one)[0]) * summary.scale for side in (a, b)]
    observed, units = values[0] - values[1], int(groups.max()) + 1
    if units < 2:
        return {
            name: Estimate(value=finite(value), n=a.n)
            for name, value in zip(("a", "b", "difference"), (*values, observed), strict=True)
        }
    left, right = joint_bootstrap(summary, [a, b], groups, seed=seed, resamples=resamples) * summary.scale
    with np.errstate(invalid="ignore"):
        replicates = left - right
    found: dict[str, Any] = {"a": _estimate(values[0], left, units, a.n), "b": _estimate(values[1], right, units, a.n)}
    found["difference"] = _estimate(observed, replicates, units, a.n)
    if not np.isfinite(observed) or not np.isfinite(replicates).all():
        return found
    error = float(np.std(replicates))
    found["detectable"] = finite(_z_sum() * error)
    found["effect_size"] = finite(observed / (error * np.sqrt(units))) if error > 0 else None
    found["test"] = "permutation" if linear(summary) else "bootstrap"
    if linear(summary):
        change, swapped = paired_permutation(summary, a, b, groups, seed=f"{seed}/permutation", resamples=resamples)
        found["p_value"] = permutation_p(change, swapped, units, two_sided=True)
    else:
        found["p_value"] = bootstrap_p(replicates)
    return found


def _estimate(value: float, replicates: Floats, units: int, n: int) -> Estimate:
    if not np.isfinite(value):
        return Estimate(value=None, n=n)
    low, high = interval(replicates, units)
    return Estimate(value=finite(value), low=low, high=high, n=n)


def _z_sum() -> float:
    """Standard errors between no difference and one that a two-sided test at 5 % finds with `POWER`."""
    from scipy.special import ndtri

    return float(ndtri(0.975) + ndtri(POWER))


def holm(differences: list[Difference]) -> list[Difference]:
    """Holm's step-down correction over all p-values of a comparison."""
    tested = [(i, d.p_value) for i, d in enumerate(differences) if d.p_value is not None]
    adjusted = dict(zip((i for i, _ in tested), holm_adjusted([p for _, p in tested]), strict=True))
    return [d.model_copy(update={"adjusted": adjusted.get(i)}) for i, d in enumerate(differences)]


def holm_adjusted(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment: each p-value times the number of those not smaller, never below its predecessor."""
    adjusted, running = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted


# --------------------------------------------------------------------------------------- changed samples


def _changed(a: RunDirectory, b: RunDirectory, task: str, metric_id: str, pair: Pair) -> list[Changed]:
    """The samples that differ most between the runs, in the first part that differs at all; largest change first."""
    part = next((p for p in pair.summary.parts if _column(pair.a, p) != _column(pair.b, p)), pair.summary.parts[0])
    left, right = (np.array(_column(side, part)) for side in (pair.a, pair.b))
    with np.errstate(invalid="ignore"):
        change = np.where(left == right, 0.0, left - right)
    order = [i for i in np.argsort(-np.abs(change), kind="stable")[:SHOWN] if change[i] != 0]
    samples = {sample.id: sample for sample in a.samples(task)}
    sides = [_Answers(a, task), _Answers(b, task)]
    found = []
    for index in order:
        key = pair.ids[index]
        sample = samples.get(key)  # None for a unit that pools several samples, a call of chunks
        found.append(
            Changed(
                task=task,
                metric=f"{metric_id}/{part}",
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


class _Answers:
    """What one run holds of a task's samples, read once."""

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

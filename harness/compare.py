"""Two runs side by side, sample by sample: the difference, its interval, and whether chance explains it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydantic import Field

from harness import registry
from harness.aggregate import unit
from harness.errors import NotComparable
from harness.metrics.base import Metric, Summary
from harness.statistics import (
    CONFIDENCE,
    Floats,
    Groups,
    Rows,
    estimate,
    finite,
    generator,
    group,
    paired_bootstrap,
    rows,
)
from harness.store import RunDirectory
from harness.types import Estimate, Record, Sample

RESAMPLES = 10_000


class Difference(Record):
    """One number of run A and of run B on the same samples, and `difference` = A - B.

    `p_value` is two-sided, from random swaps of the two runs' outputs within samples; `adjusted` is Holm's correction
    over all numbers of the comparison. Both are null for quantiles and composites, which get the interval alone.
    """

    task: str
    metric: str
    name: str
    unit: str
    direction: str
    primary: bool
    n: int
    a: Estimate
    b: Estimate
    difference: Estimate
    p_value: float | None = None
    adjusted: float | None = None


class Comparison(Record):
    """Everything two runs have in common. `forced` lists what makes them incomparable, where the user insisted."""

    schema_version: int = 1
    a: str
    b: str
    forced: list[str] = Field(default_factory=list)
    differences: list[Difference]


@dataclass(frozen=True)
class Pair:
    """Parts of one summary in two runs, unit by unit (a sample each, mostly), failures scored at their worst."""

    summary: Summary
    clusters: list[str]
    a: list[dict[str, float]]
    b: list[dict[str, float]]


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
    differences = [difference for task in common for difference in _task(a, b, task)]
    return Comparison(
        a=a.manifest().model.spec, b=b.manifest().model.spec, forced=reasons, differences=holm(differences)
    )


def obstacles(a: RunDirectory, b: RunDirectory) -> list[str]:
    """Why the numbers of two runs may not be set side by side; empty where they may."""
    found = []
    left, right = a.manifest().tasks, b.manifest().tasks
    for task in sorted(set(left) & set(right)):
        for key in ("version", "protocol", "interface", "limit"):
            if left[task][key] != right[task][key]:
                found.append(f"{task}: {key} is {left[task][key]!r} and {right[task][key]!r}")
        if left[task]["dataset"]["sha256"] != right[task]["dataset"]["sha256"]:
            names = left[task]["dataset"]["name"], right[task]["dataset"]["name"]
            found.append(f"{task}: the datasets differ ({names[0]} and {names[1]})")
        for metric in sorted(set(left[task]["metrics"]) & set(right[task]["metrics"])):
            scorers = _scorers(a, task, metric), _scorers(b, task, metric)
            if scorers[0] and scorers[1] and scorers[0] != scorers[1]:
                found.append(f"{task}: {metric} was scored by {sorted(scorers[0])} and {sorted(scorers[1])}")
    return found


def _scorers(run: RunDirectory, task: str, metric: str) -> set[str]:
    return {score.scorer for (_, name), score in run.scores(task).items() if name == metric and score.scorer}


def _task(a: RunDirectory, b: RunDirectory, task: str) -> list[Difference]:
    record = a.manifest().tasks[task]
    metrics = [name for name in record["metrics"] if name in b.manifest().tasks[task]["metrics"]]
    ids = {sample.id for sample in b.samples(task)}
    samples = [sample for sample in sorted(a.samples(task), key=lambda s: s.id) if sample.id in ids]
    if not samples:
        raise NotComparable(f"Task {task}: the runs have no sample in common.", "Use the same dataset.")
    differences = []
    for metric_id in metrics:
        metric: Metric = registry.metrics.get(metric_id)()
        for summary in metric.summaries:
            pair = pair_up(a, b, task, metric, summary, samples)
            primary = record["primary"] in (f"{metric_id}/{summary.name}", metric_id)
            differences.append(_difference(task, metric_id, pair, primary))
    return differences


def pair_up(
    a: RunDirectory, b: RunDirectory, task: str, metric: Metric, summary: Summary, samples: list[Sample]
) -> Pair:
    """The parts of both runs for the same samples."""
    left, right = (
        metric.pool([unit(metric, sample, scores.get((sample.id, metric.id))) for sample in samples])
        for scores in (a.scores(task), b.scores(task))
    )
    return Pair(summary, [u.cluster for u in left], [u.strict for u in left], [u.strict for u in right])


def _difference(task: str, metric_id: str, pair: Pair, primary: bool) -> Difference:
    summary = pair.summary
    seed = f"compare/{task}/{metric_id}/{summary.name}"
    interval, p_value = paired(summary, rows(summary, pair.a), rows(summary, pair.b), group(pair.clusters), seed)
    return Difference(
        task=task,
        metric=metric_id,
        name=summary.name,
        unit=summary.unit,
        direction=summary.direction,
        primary=primary,
        n=len(pair.clusters),
        a=estimate(summary, pair.a, seed=seed, clusters=pair.clusters),
        b=estimate(summary, pair.b, seed=seed, clusters=pair.clusters),
        difference=interval,
        p_value=p_value,
    )


def paired(summary: Summary, a: Rows, b: Rows, groups: Groups, seed: str) -> tuple[Estimate, float | None]:
    """A - B with a paired bootstrap interval, and the p-value of a paired permutation test (not for quantiles)."""
    observed, replicates = paired_bootstrap(summary, a, b, groups, seed=seed, resamples=RESAMPLES)
    if not np.isfinite(observed):
        return Estimate(value=None, n=a.n), None
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(replicates, [tail, 1 - tail], method="inverted_cdf") * summary.scale
    value = Estimate(value=finite(observed * summary.scale), low=finite(low), high=finite(high), n=a.n)
    if summary.estimator not in ("mean", "ratio"):
        return value, None
    rng = generator(f"{seed}/permutation")
    return value, _permutation(_fraction(summary, a), _fraction(summary, b), groups, observed, rng)


def _fraction(summary: Summary, data: Rows) -> tuple[Floats, Floats]:
    """Numerators and denominators per sample; a mean's denominators are ones."""
    first = data.columns[summary.parts[0]]
    return first, data.columns[summary.parts[1]] if summary.estimator == "ratio" else np.ones(data.n)


def _permutation(
    a: tuple[Floats, Floats], b: tuple[Floats, Floats], groups: Groups, observed: float, rng: np.random.Generator
) -> float:
    """Share of random swaps within groups whose difference is at least as large, the observed one counted in."""
    extreme, count = 1, int(groups.max()) + 1
    block = max(1, 4_000_000 // len(groups))
    for start in range(0, RESAMPLES, block):
        size = min(block, RESAMPLES - start)
        swap = rng.integers(0, 2, size=(size, count))[:, groups].astype(np.float64)
        left = _swapped(a[0], b[0], swap) / _swapped(a[1], b[1], swap)
        right = _swapped(b[0], a[0], swap) / _swapped(b[1], a[1], swap)
        extreme += int(np.sum(np.abs(left - right) >= abs(observed) - 1e-12))
    return extreme / (RESAMPLES + 1)


def _swapped(own: Floats, other: Floats, swap: Floats) -> Floats:
    """Sums over samples when each row of `swap` exchanges some samples."""
    totals: Floats = own.sum() + swap @ (other - own)
    return totals


def holm(differences: list[Difference]) -> list[Difference]:
    """Holm's step-down correction over all p-values of a comparison."""
    tested = sorted((d.p_value, i) for i, d in enumerate(differences) if d.p_value is not None)
    adjusted: dict[int, float] = {}
    running = 0.0
    for rank, (p, index) in enumerate(tested):
        running = max(running, min(1.0, (len(tested) - rank) * float(p or 0.0)))
        adjusted[index] = running
    return [d.model_copy(update={"adjusted": adjusted.get(i)}) for i, d in enumerate(differences)]

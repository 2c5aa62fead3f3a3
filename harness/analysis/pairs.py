"""Which runs may be compared, and their numbers paired sample by sample. Compare, gate and exports build on this."""

from __future__ import annotations

from dataclasses import dataclass

from speech_eval import registry
from speech_eval.engine.aggregate import is_primary, numbers_of, unit
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.errors import NotComparable
from speech_eval.metrics.base import Metric
from speech_eval.records import Sample, Score
from speech_eval.statistics.summaries import Groups, Rows, Summary, clusters, group, rows

# Fields of a task's record that must agree, besides the dataset and the scorers.
CONDITIONS = ("version", "protocol", "interface", "limit", "recognizer", "conditions", "sweep")

_Scores = dict[tuple[str, str], Score]


@dataclass(frozen=True)
class Pair:
    """One number of a metric in two runs: its parts in run A and in run B, one entry per unit (mostly a sample), with
    failures scored at their worst."""

    metric: str
    summary: Summary
    ids: list[str]
    clusters: list[str]
    a: list[dict[str, float]]
    b: list[dict[str, float]]
    primary: bool = False

    @property
    def groups(self) -> Groups:
        return group(self.clusters)

    @property
    def sides(self) -> tuple[Rows, Rows]:
        return rows(self.summary, self.a), rows(self.summary, self.b)


def obstacles(a: RunDirectory, b: RunDirectory) -> list[str]:
    """Why the numbers of two runs must not be compared; empty where they may be."""
    left, right = a.manifest().tasks, b.manifest().tasks
    return [reason for task in sorted(set(left) & set(right)) for reason in task_obstacles(a, b, task)]


def task_obstacles(a: RunDirectory, b: RunDirectory, task: str) -> list[str]:
    """Why the numbers of one common task must not be compared. A judge is a scorer."""
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


def pairs(a: RunDirectory, b: RunDirectory, task: str) -> list[Pair]:
    """All numbers of a task that both runs have, with those of single codebooks and of subsets, over the samples that
    both have. Raises `NotComparable` where they have no sample in common."""
    record = a.manifest().tasks[task]
    metrics = [name for name in record["metrics"] if name in b.manifest().tasks[task]["metrics"]]
    ids = {sample.id for sample in b.samples(task)}
    samples = [sample for sample in sorted(a.samples(task), key=lambda s: s.id) if sample.id in ids]
    if not samples:
        raise NotComparable(f"Task {task}: the runs have no sample in common.", "Use the same dataset.")
    scores = a.scores(task), b.scores(task)
    return [pair for name in metrics for pair in _pairs(name, samples, scores, record["primary"])]


def pair_up(a: RunDirectory, b: RunDirectory, task: str, metric_id: str, name: str) -> Pair | None:
    """One number in both runs, over the samples of `a`; None where one of them does not have it (one codebook of
    several, say)."""
    samples = sorted(a.samples(task), key=lambda sample: sample.id)
    made = _pairs(metric_id, samples, (a.scores(task), b.scores(task)), a.manifest().tasks[task]["primary"])
    return next((pair for pair in made if pair.summary.name == name), None)


def _pairs(metric_id: str, samples: list[Sample], scores: tuple[_Scores, _Scores], primary: str) -> list[Pair]:
    metric: Metric = registry.metrics.get(metric_id)()
    left, right = (
        numbers_of(metric, metric.pool([unit(metric, sample, side.get((sample.id, metric.id))) for sample in samples]))
        for side in scores
    )
    others = {summary.name: units for summary, units in right}
    found = []
    for summary, units in left:
        if (held := others.get(summary.name)) is None:
            continue
        scored = [u.sample for u in units]
        pair = Pair(
            metric=metric.id,
            summary=summary,
            ids=[sample.id for sample in scored],
            clusters=clusters(scored),
            a=[u.strict for u in units],
            b=[u.strict for u in held],
            primary=is_primary(primary, metric, summary),
        )
        found.append(pair)
    return found

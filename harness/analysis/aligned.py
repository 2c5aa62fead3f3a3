"""Which runs may be compared, and their numbers aligned sample by sample. Compare, gate and exports build on this."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress

from speech_eval.engine.aggregate import is_primary, numbers_of, pooling, unit
from speech_eval.engine.manifest import names_of
from speech_eval.engine.run_directory import Parts, RunDirectory
from speech_eval.errors import NotComparable
from speech_eval.metrics.base import Metric
from speech_eval.metrics.catalog import METRICS
from speech_eval.records import Sample
from speech_eval.statistics.summaries import Groups, Rows, Summary, clusters, group, rows

# Fields of a task's record that must agree, besides the dataset and the scorers.
CONDITIONS = ("version", "protocol", "interface", "limit", "recognizer", "conditions", "sweep")

_Scores = dict[tuple[str, str], Parts]


@dataclass(frozen=True)
class Aligned:
    """One number of a metric in several runs: its `parts` [run][unit], failures scored at their worst. `ids` and
    `clusters` name the units, most of which are single samples."""

    metric: str
    summary: Summary
    primary: bool
    ids: list[str]
    clusters: list[str]
    parts: list[list[dict[str, float]]]

    @property
    def groups(self) -> Groups:
        return group(self.clusters)

    @property
    def sides(self) -> list[Rows]:
        """The inputs of the summary, one `Rows` per run."""
        return [rows(self.summary, side) for side in self.parts]


def obstacles(a: RunDirectory, b: RunDirectory) -> list[str]:
    """Why the numbers of two runs must not be compared; empty where they may be."""
    left, right = a.manifest().tasks, b.manifest().tasks
    return [reason for task in sorted(set(left) & set(right)) for reason in task_obstacles(a, b, task)]


def task_obstacles(a: RunDirectory, b: RunDirectory, task: str) -> list[str]:
    """Why the numbers of one common task must not be compared. A judge is a scorer."""
    left, right = a.manifest().tasks[task], b.manifest().tasks[task]
    found = [
        f"{task}: {key} is {getattr(left, key)!r} and {getattr(right, key)!r}"
        for key in CONDITIONS
        if getattr(left, key) != getattr(right, key)
    ]
    if left.dataset.sha256 != right.dataset.sha256:
        found.append(f"{task}: the datasets differ ({left.dataset.name} and {right.dataset.name})")
    scorers = _scorers(a, task), _scorers(b, task)
    for metric in sorted(set(left.metrics) & set(right.metrics)):
        one, other = (side.get(metric, set()) for side in scorers)
        if one and other and one != other:
            found.append(f"{task}: {metric} was scored by {', '.join(sorted(one))} and {', '.join(sorted(other))}")
    return found


def _scorers(run: RunDirectory, task: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for (_, metric), score in run.parts(task).items():
        if score.scorer:
            found.setdefault(metric, set()).add(score.scorer)
    return found


def aligned(runs: Sequence[RunDirectory], task: str) -> list[Aligned]:
    """All numbers of a task that every run has, with those of single codebooks and of subsets, over the samples that
    every run has. Raises `NotComparable` where the runs have no sample in common."""
    return next(iter(aligned_slices(runs, task, [common_samples(runs, task)])))


def common_samples(runs: Sequence[RunDirectory], task: str) -> list[Sample]:
    """The samples that every run has, by id. Raises `NotComparable` where there are none."""
    common = set.intersection(*({sample.id for sample in run.samples(task)} for run in runs))
    samples = [sample for sample in sorted(runs[0].samples(task), key=lambda s: s.id) if sample.id in common]
    if not samples:
        raise NotComparable(f"Task {task}: the runs have no sample in common.", "Use the same dataset.")
    return samples


def aligned_slices(
    runs: Sequence[RunDirectory], task: str, slices: Iterable[Sequence[Sample]]
) -> Iterator[list[Aligned]]:
    """`aligned` over each of several parts of the samples that every run has."""
    with names_of(runs[0]) as manifest:
        scores = [run.parts(task, pooling(run.manifest().tasks[task].metrics)) for run in runs]
        record = manifest.tasks[task]
        shared = [m for m in record.metrics if all(_has(run, task, m) for run in runs)]
        for samples in slices:
            yield [found for metric_id in shared for found in _numbers(metric_id, samples, scores, record.primary)]


def align(
    runs: Sequence[RunDirectory], task: str, metric_id: str, name: str, within: Collection[str] | None = None
) -> Aligned | None:
    """One number in several runs, over all samples of the first run, or over those whose ids are `within`; None where a
    run does not have the number (that of a third codebook, say)."""
    samples = sorted(runs[0].samples(task), key=lambda sample: sample.id)
    if within is not None:
        samples = [sample for sample in samples if sample.id in within]
    with names_of(runs[0]) as manifest:
        primary = manifest.tasks[task].primary
        made = _numbers(metric_id, samples, [run.parts(task, pooling([metric_id])) for run in runs], primary)
    return next((found for found in made if found.summary.name == name), None)


def across_tasks(run: RunDirectory, tasks: Sequence[str], metric_id: str) -> dict[str, Aligned]:
    """The numbers of a metric, by name, in several tasks of a run that ask about the same samples, over those that all
    of them have. A number that a task does not have is left out."""
    common = set.intersection(*({sample.id for sample in run.samples(task)} for task in tasks))
    samples = [sample for sample in sorted(run.samples(tasks[0]), key=lambda s: s.id) if sample.id in common]
    if not samples or not all(_has(run, task, metric_id) for task in tasks):
        return {}
    with names_of(run) as manifest:
        primary = manifest.tasks[tasks[0]].primary
        made = _numbers(metric_id, samples, [run.parts(task, pooling([metric_id])) for task in tasks], primary)
    return {found.summary.name: found for found in made}


def _has(run: RunDirectory, task: str, metric_id: str) -> bool:
    return metric_id in run.manifest().tasks[task].metrics


def _numbers(metric_id: str, samples: Sequence[Sample], scores: Sequence[_Scores], primary: str) -> list[Aligned]:
    metric: Metric = METRICS.get(metric_id)()
    given = [[unit(metric, sample, held.get((sample.id, metric_id))) for sample in samples] for held in scores]
    counted = [all(units) for units in zip(*given, strict=True)]  # in every run
    per_run = [numbers_of(metric, metric.pool([u for u in compress(units, counted) if u])) for units in given]
    units_of = [{summary.name: units for summary, units in numbers} for numbers in per_run]
    return [
        Aligned(
            metric=metric_id,
            summary=summary,
            primary=is_primary(primary, metric, summary),
            ids=[u.sample.id for u in units],
            clusters=clusters([u.sample for u in units]),
            parts=[[u.strict for u in held[summary.name]] for held in units_of],
        )
        for summary, units in per_run[0]
        if units and all(summary.name in held for held in units_of)
    ]

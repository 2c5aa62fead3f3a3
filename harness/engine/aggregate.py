"""Stage three: results from stored scores. Samples are taken in the order of their ids, so files can be in any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from speech_eval.engine.run_directory import Answer, Parts, RunDirectory
from speech_eval.errors import BadInput
from speech_eval.metrics.base import BadData, Metric, Summary, Unit
from speech_eval.metrics.catalog import METRICS
from speech_eval.records import (
    NOT_COUNTED,
    Counts,
    Formula,
    MetricResult,
    Results,
    Sample,
    Score,
    TaskRecord,
    TaskResult,
)
from speech_eval.statistics.bootstrap import estimate
from speech_eval.statistics.macro import over_subsets
from speech_eval.statistics.summaries import clusters


def aggregate(run: RunDirectory, held: Mapping[str, Sequence[Sample]] | None = None) -> Results:
    """All numbers of a run, computed from its stored lines and its manifest's record of what was asked. `held` are the
    stored samples of tasks, where the caller has them in memory."""
    manifest = run.manifest()
    tasks = [
        _task(run, name, record, manifest.seed, (held or {}).get(name))
        for name, record in sorted(manifest.tasks.items(), key=_order)
    ]
    return Results(model=manifest.model.spec, label=manifest.label, seed=manifest.seed, tasks=tasks)


def _order(item: tuple[str, TaskRecord]) -> tuple[str, str, float]:
    """By name, the points of a sweep by their value."""
    name, record = item
    point = record.sweep
    return (name, "", 0) if point is None else (point.task, point.axis, point.value or 0)


def _task(
    run: RunDirectory, name: str, record: TaskRecord, seed: int, held: Sequence[Sample] | None = None
) -> TaskResult:
    samples = sorted(run.samples(name) if held is None else held, key=lambda sample: sample.id)
    outputs, scores = run.answers(name), run.parts(name, pooling(record.metrics))
    metrics = [
        result
        for metric_id in record.metrics
        for result in metric_results(name, record, seed, METRICS.get(metric_id)(), samples, scores, outputs)
    ]
    return TaskResult(
        task=name,
        version=record.version,
        protocol=record.protocol,
        interface=record.interface,
        dataset=record.dataset.name,
        dataset_sha256=record.dataset.sha256,
        language=sorted({sample.language for sample in samples}),
        limit=record.limit,
        leaderboard_grade=record.limit is None,
        ranked=not record.axes,
        under=record.under,
        sweep=record.sweep,
        conditions=record.conditions,
        counts=count(samples, outputs),
        metrics=metrics,
    )


def metric_results(
    task: str,
    record: TaskRecord,
    seed: int,
    metric: Metric,
    samples: Sequence[Sample],
    scores: Mapping[tuple[str, str], Parts],
    outputs: Mapping[str, Answer],
    *,
    shown: bool = False,
) -> list[MetricResult]:
    """The numbers of one metric over `samples` of a task, `shown` only those of tables. `scores` may hold more. Raises
    `BadInput` where one of `outputs` has not been scored."""
    own = [score for sample in samples if (score := scores.get((sample.id, metric.id))) is not None]
    given = _scored(task, metric, samples, outputs, scores)
    unscored = sum(score.status == "unscored" for score in own)
    about = {
        "scorer": ", ".join(sorted({score.scorer for score in own if score.scorer})),
        "axis": next((axis for axis, ids in record.axes.items() if metric.id in ids), ""),
        "invalid": given.count(None) - unscored,
        "unscored": unscored,
    }
    found = []
    for summary, units in numbers_of(metric, metric.pool([unit for unit in given if unit is not None])):
        primary = not record.axes and is_primary(record.primary, metric, summary)
        if primary or summary.headline or not shown:
            result = _number(metric, summary, units, f"{seed}/{task}/{metric.id}/{summary.name}")
            found.append(result.model_copy(update={"primary": primary, **about}))
    return found


def numbers_of(metric: Metric, units: Sequence[Unit]) -> list[tuple[Summary, Sequence[Unit]]]:
    """All numbers a metric gives over pooled units, each with the units it is taken over: its own, those that depend on
    the data (a codec's levels), and those of the sets the data consist of."""
    return [*((summary, units) for summary in metric.reported(units)), *over_subsets(metric.summaries, units)]


def pooling(metrics: Sequence[str]) -> set[str]:
    """The metrics that combine samples before they add up, for which they may read the details of scores."""
    return {name for name in metrics if METRICS.get(name).pool is not Metric.pool}


def is_primary(primary: str, metric: Metric, summary: Summary) -> bool:
    """Whether `primary` (`metric id` or `metric id/summary name`) names this summary."""
    metric_id, _, name = primary.partition("/")
    return metric.id == metric_id and summary.name == (name or metric.summaries[0].name)


def count(samples: Sequence[Sample], outputs: dict[str, Answer]) -> Counts:
    """How many of the expected samples were answered, and how. The parts add up to the whole."""
    statuses = [outputs[sample.id].status if sample.id in outputs else "missing" for sample in samples]
    return Counts(
        expected=len(samples),
        ok=statuses.count("ok"),
        empty=statuses.count("empty"),
        failed=statuses.count("failed"),
        missing=statuses.count("missing"),
        invalid=statuses.count("invalid"),
    )


def _scored(
    task: str,
    metric: Metric,
    samples: Sequence[Sample],
    outputs: Mapping[str, Answer],
    scores: Mapping[tuple[str, str], Parts],
) -> list[Unit | None]:
    """Every expected sample as a unit, None where it is not counted. Raises `BadInput` where an output has not been
    scored."""
    units = []
    for sample in samples:
        stored = scores.get((sample.id, metric.id))
        output = outputs.get(sample.id)
        if output is not None and (stored is None or stored.output != output.digest()):
            raise BadInput(
                f"Task '{task}': sample {sample.id} has an output without its {metric.id} score.",
                "Finish the scoring first: speech-eval score RUN",
            )
        units.append(unit(metric, sample, stored))
    return units


def _number(metric: Metric, summary: Summary, units: Sequence[Unit], seed: str) -> MetricResult:
    """`strict` over every counted sample, failures at their worst; `compat` over what the original would count."""
    labels = clusters([unit.sample for unit in units])
    strict = [unit.strict for unit in units]
    counted = [(unit.compat, label) for unit, label in zip(units, labels, strict=True) if unit.compat is not None]
    compat = [parts for parts, _ in counted]
    first = estimate(summary, strict, seed=seed, clusters=labels)
    return MetricResult(
        metric=metric.id,
        name=summary.name,
        unit=summary.unit,
        direction=summary.direction,
        headline=summary.headline,
        formula=Formula(
            estimator=summary.estimator,
            parts=[] if summary.estimator == "function" else list(summary.parts),
            scale=summary.scale,
        ),
        strict=first,
        compat=first if compat == strict else estimate(summary, compat, seed=seed, clusters=[c for _, c in counted]),
    )


def unit(metric: Metric, sample: Sample, score: Score | Parts | None) -> Unit | None:
    """A sample's share of the aggregates; without a score it is a missing answer. None for a sample that is not counted
    because its data is defective or its scorer broke."""
    sample = metric.visible(sample)
    if metric.lacks(sample) or (score is not None and score.status in NOT_COUNTED):
        return None
    if score is None:
        try:
            return Unit(sample, metric.failure(sample), metric.compat_failure(sample))
        except BadData:
            return None
    return Unit(sample, score.parts, score.compat_parts(), score.detail)

"""Which numbers of synthetic speech have no row of the human recordings beside them to be read against."""

from __future__ import annotations

from collections.abc import Iterable

from speech_eval.records import MetricResult, Results, TaskResult

NOT_CALIBRATED = "not calibrated"
GROUND_TRUTH = "ground-truth"  # the model spec that gives the recordings of the dataset back


def uncalibrated(task: TaskResult, results: Iterable[Results]) -> tuple[str, ...]:
    """Ids of the task's metrics whose scorer has not scored the human recordings of the same data in `results`.

    Asked of synthesis only, and of metrics that a recognizer or another network scores: what such a scorer makes of a
    voice says little until it is known what it makes of people. The row of the recordings calibrates itself. Empty
    where nothing is lacking.
    """
    if task.interface != "SpeechSynthesizer":
        return ()
    known = {
        key
        for result in results
        if result.model.split(",")[0] == GROUND_TRUTH
        for other in result.tasks
        if other.counts.ok > 0
        for key in (_key(other, metric) for metric in other.metrics)
    }
    lacking = (metric.metric for metric in task.metrics if metric.scorer and _key(task, metric) not in known)
    return tuple(dict.fromkeys(lacking))


def _key(task: TaskResult, metric: MetricResult) -> tuple[str, str, str, str]:
    return task.task, task.dataset_sha256, metric.metric, metric.scorer

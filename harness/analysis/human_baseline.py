"""Calibration of scores of synthetic speech: has the same scorer also scored the human recordings of the same data?"""

from __future__ import annotations

from collections.abc import Iterable

from speech_eval.metrics.listening import IDS
from speech_eval.records import MetricResult, Results, TaskResult

NOT_CALIBRATED = "not calibrated"
GROUND_TRUTH = "ground-truth"  # the model spec that returns the recordings of the dataset


def uncalibrated(task: TaskResult, results: Iterable[Results]) -> tuple[str, ...]:
    """Ids of the task's metrics whose scorer has not scored the human recordings of the same data in `results`.

    It concerns synthesis only, and metrics that a recognizer or another network scores: such a score of a synthetic
    voice can only be judged against the score of human speech. What listeners said needs no calibration, and the row of
    the recordings calibrates itself. Empty where every such metric is calibrated.
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
    scored = [metric for metric in task.metrics if metric.scorer and metric.metric not in IDS]
    lacking = (metric.metric for metric in scored if _key(task, metric) not in known)
    return tuple(dict.fromkeys(lacking))


def _key(task: TaskResult, metric: MetricResult) -> tuple[str, str, str, str]:
    return task.task, task.dataset_sha256, metric.metric, metric.scorer

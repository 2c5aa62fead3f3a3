"""The `model-index` of a Hugging Face model card."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import yaml

from speech_eval.analysis.human_baseline import uncalibrated
from speech_eval.analysis.report import label, names
from speech_eval.engine.run_directory import safe_name
from speech_eval.progress import visible
from speech_eval.records import Results, TaskResult

# The hub's names of what a task asks for.
_HUB_TASKS = {
    "SpeechRecognizer": "automatic-speech-recognition",
    "SpeechSynthesizer": "text-to-speech",
    "AudioCodec": "audio-to-audio",
    "AudioLanguageModel": "audio-text-to-text",
    "DuplexAgent": "audio-to-audio",
}


def model_index(results: Sequence[Results]) -> str:
    """The `model-index` of a Hugging Face model card, as YAML for its header: `strict` headline numbers, with their
    interval, n and scorer as `args`, and the dataset's sha256 as its revision."""
    cards: dict[str, list[dict[str, Any]]] = {}
    for result, name in zip(results, names(results), strict=True):
        made = [_card_result(task, uncalibrated(task, results)) for task in result.tasks]
        cards.setdefault(name, []).extend(made)
    data = {"model-index": [{"name": name, "results": found} for name, found in cards.items()]}
    return visible(yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=1000))


def _card_result(task: TaskResult, lacking: Collection[str]) -> dict[str, Any]:
    hub_task = _HUB_TASKS.get(task.interface, "other")
    metrics = []
    for metric in task.metrics:
        if metric.strict.value is None or not (metric.headline or metric.primary):
            continue
        arguments = {"low": metric.strict.low, "high": metric.strict.high, "n": metric.strict.n, "unit": metric.unit}
        arguments |= {"scorer": metric.scorer, "calibrated": False if metric.metric in lacking else ""}
        metrics.append(
            {
                "type": metric.metric.split("[")[0],
                "value": metric.strict.value,
                "name": label(metric),
                "args": {name: value for name, value in arguments.items() if value not in (None, "")},
            }
        )
    dataset = {"name": task.dataset, "type": safe_name(task.dataset), "revision": task.dataset_sha256}
    if task.limit:
        dataset["args"] = {"limit": task.limit}  # type: ignore[assignment]
    return {"task": {"type": hub_task, "name": task.task}, "dataset": dataset, "metrics": metrics}

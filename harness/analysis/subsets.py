"""A task's number within each subset of its data (`speech_eval.statistics.macro`), which the table of a report leaves
out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from speech_eval.analysis.report import primary, quantity
from speech_eval.records import MetricResult, Results, TaskResult
from speech_eval.statistics.macro import MACRO


def within(task: TaskResult, number: MetricResult) -> dict[str, MetricResult]:
    """By subset, the same number within it; empty where the data has no subsets."""
    whole = number.name.removesuffix(f" {MACRO}")
    own = {metric.name: metric for metric in task.metrics if metric.metric == number.metric}
    if f"{whole} {MACRO}" not in own:
        return {}
    return {
        name.removeprefix(f"{whole} "): metric
        for name, metric in own.items()
        if name.startswith(f"{whole} ") and name != f"{whole} {MACRO}"
    }


def rows(results: Sequence[Results]) -> list[dict[str, Any]]:
    """One row per task and subset, one column per run."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for result in results:
        for task in result.tasks:
            number = primary(task)
            for subset, metric in within(task, number).items() if number else ():
                found.setdefault((task.task, subset), {})[result.name] = quantity(metric.strict, metric.unit)
    names = dict.fromkeys(name for cells in found.values() for name in cells)
    return [
        {"task": task, "set": subset, **{name: cells.get(name, "") for name in names}}
        for (task, subset), cells in found.items()
    ]

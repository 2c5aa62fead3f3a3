"""VoiceBench's overall: the mean over its subsets, in which ratings from 1 to 5 count twenty-fold.

Source: the board in README.md of MatthewCYM/VoiceBench at 5338154.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from math import fsum
from typing import Literal

from speech_eval.records import Counts, Estimate, MetricResult, Results, TaskResult
from speech_eval.statistics.summaries import finite

RATED = ("alpacaeval-full", "commoneval", "wildvoice")
SUBSETS = (*RATED, "sd-qa", "mmsu", "openbookqa", "bbh", "ifeval", "advbench")
# The board had six subsets until mmsu came in December 2024, then seven until bbh and wildvoice in April 2025.
SEVEN = tuple(name for name in SUBSETS if name not in ("wildvoice", "bbh"))
SIX = tuple(name for name in SEVEN if name != "mmsu")
SD_QA = (("qa[voicebench]", "gpt"), ("pedant[voicebench]", "panda"))
_PREFIX = "voicebench-"


def overall(numbers: Mapping[str, float | None], subsets: Sequence[str] = SUBSETS) -> float | None:
    """The mean in per cent. `numbers` are those of the board: ratings for `RATED`, per cent for the other subsets. None
    where the number of a subset is missing."""
    known = {name: value for name in subsets if (value := numbers.get(name)) is not None}
    if len(known) < len(subsets):
        return None
    return finite(fsum(value * (20.0 if name in RATED else 1.0) for name, value in known.items()) / len(known))


def overall_task(results: Sequence[Results]) -> TaskResult | None:
    """VoiceBench as one task with the number `overall`, from the primary numbers of one model's runs. SD-QA is the mean
    of the judge's half and PEDANT's half, so its run needs the metrics `qa[voicebench]` and `pedant[voicebench]`.

    None where a subset has no number. Subsets are not samples, so the number has no interval.
    """
    found: dict[str, TaskResult] = {}
    for task in (task for result in results for task in result.tasks if task.task.startswith(_PREFIX)):
        found.setdefault(task.task.removeprefix(_PREFIX), task)
    if not set(SUBSETS) <= set(found):
        return None
    tasks = [found[name] for name in SUBSETS]
    strict = overall({name: _number(name, found[name], "strict") for name in SUBSETS})
    compat = overall({name: _number(name, found[name], "compat") for name in SUBSETS})
    if strict is None:
        return None
    scorers = dict.fromkeys(metric.scorer for task in tasks for metric in task.metrics if metric.scorer)
    return TaskResult(
        task="voicebench",
        version=tasks[0].version,
        protocol=tasks[0].protocol,
        interface=tasks[0].interface,
        dataset="nine subsets",
        dataset_sha256=hashlib.sha256("".join(task.dataset_sha256 for task in tasks).encode()).hexdigest(),
        language=sorted({language for task in tasks for language in task.language}),
        limit=next((task.limit for task in tasks if task.limit is not None), None),
        leaderboard_grade=all(task.leaderboard_grade for task in tasks),
        counts=Counts(**{name: sum(getattr(task.counts, name) for task in tasks) for name in Counts.model_fields}),
        metrics=[
            MetricResult(
                metric="overall",
                name="overall",
                unit="%",
                direction="higher",
                primary=True,
                scorer=", ".join(scorers),
                strict=Estimate(value=strict, n=len(tasks)),
                compat=Estimate(value=compat, n=len(tasks)),
            )
        ],
    )


def _number(subset: str, task: TaskResult, side: Literal["strict", "compat"]) -> float | None:
    """The number of a subset as the board prints it."""
    if subset == "sd-qa":
        halves = [getattr(metric, side).value for metric in task.metrics if (metric.metric, metric.name) in SD_QA]
        return None if len(halves) < len(SD_QA) or None in halves else fsum(halves) / len(halves)
    return next((getattr(metric, side).value for metric in task.metrics if metric.primary), None)

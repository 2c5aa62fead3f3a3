"""Sweeps: one task at several operating points of one model, each point a task result of its own.

A point is a task named `codec-depth@depth=4` with its own lines and audio in the run directory and its own numbers in
`results.json`, so whatever reads runs reads points too; `sweep` in its record and its result says which one it is.
"""

from __future__ import annotations

from collections.abc import Sequence

from speech_eval.adapters.base import Adapter, AudioCodec
from speech_eval.engine.task import Task
from speech_eval.errors import BadInput

CONCURRENCY = (1, 2, 4, 8)  # requests under way at once


def points_of(task: Task, adapter: Adapter) -> list[Task]:
    """The task at every point of its sweep that the model has; the task itself where it has no sweep.

    Raises `BadInput` for a codec whose codes are all or nothing.
    """
    if not task.sweep:
        return [task]
    if task.sweep == "concurrency":
        return [task.at(count) for count in CONCURRENCY]
    assert isinstance(adapter, AudioCodec)
    depths = chosen(adapter.depths)
    if not depths:
        raise BadInput(
            f"Task '{task.name}': the codes of {adapter.info().name} are all or nothing.",
            "Run codec-reconstruction at several bitrates instead.",
        )
    return [task.at(depth) for depth in depths]


def chosen(depths: Sequence[int]) -> list[int]:
    """The powers of two and the last of a codec's depths: 1, 2, 4, … all."""
    return [depth for depth in depths if depth & (depth - 1) == 0 or depth == depths[-1]]

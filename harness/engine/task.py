"""What a task is: which samples go to which interface, and which metrics judge the answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from speech_eval.adapters.base import INTERFACES
from speech_eval.errors import BadInput
from speech_eval.records import SweepPoint


@dataclass(frozen=True)
class Task:
    """A benchmark task. Register a function that returns one with `@register_task`.

    interface  the adapter interface it needs, or several: the first one a model has is used
    dataset    name or path of a manifest
    metrics    metric ids; `primary` is the one a board sorts by, as `metric id` or `metric id/summary name`
               (dataset, metrics and primary may each be a mapping from interface to value)
    protocol   the id of the procedure as a whole, such as `seed-tts-eval@2024-06`
    mode       `answer` keeps what the model said; `timed` streams its requests and keeps its clock
    recognizer model spec of the recognizer that transcribes speech outputs for text metrics
    sweep      `depth`: a codec's recordings are encoded once and decoded at several depths, each a task result of its
               own; `concurrency`: a timed task with 1, 2, 4 and 8 requests under way at once. `point` is set on the
               task at each point (see `at`)
    driver     `module:attr` of a `Driver` class, for a task that asks more of a model than one request a sample
    axes       name → metric ids: what stands apart. A task with axes is not ranked: `primary` then only sorts samples,
               and models stand in the order of the first metric's first number
    """

    name: str
    version: int
    interface: str | tuple[str, ...]
    dataset: str | Mapping[str, str]
    metrics: tuple[str, ...] | Mapping[str, tuple[str, ...]]
    primary: str | Mapping[str, str]
    protocol: str
    description: str
    mode: Literal["answer", "timed"] = "answer"
    recognizer: str | None = None
    driver: str | None = None
    options: Mapping[str, int | float | str] = field(default_factory=dict)
    sweep: Literal["", "depth", "concurrency"] = ""
    point: SweepPoint | None = None
    axes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = [name for name in self.interfaces if name not in INTERFACES]
        if unknown:
            raise BadInput(f"Task '{self.name}' names no known interface: {unknown}.", f"Use {', '.join(INTERFACES)}.")
        for interface in self.interfaces:
            metrics, primary = self.metrics_for(interface), self.primary_for(interface)
            if primary.split("/")[0] not in metrics:
                raise BadInput(
                    f"Task '{self.name}': primary '{primary}' is not among its metrics.", "Add it to metrics."
                )

    @property
    def ranked(self) -> bool:
        """Whether one number may order models."""
        return not self.axes

    def at(self, value: int) -> Task:
        """This task at one point of its sweep, under a name of its own: `codec-depth@depth=4`."""
        point = SweepPoint(task=self.name, axis=self.sweep, value=value)
        return replace(self, name=f"{self.name}@{self.sweep}={value}", point=point)

    @property
    def interfaces(self) -> tuple[str, ...]:
        return (self.interface,) if isinstance(self.interface, str) else self.interface

    def interface_for(self, offered: list[str]) -> str | None:
        """The interface this task would use of those a model offers; None where it cannot run it."""
        return next((name for name in self.interfaces if name in offered), None)

    def dataset_for(self, interface: str) -> str:
        return self.dataset if isinstance(self.dataset, str) else self.dataset[interface]

    def metrics_for(self, interface: str) -> tuple[str, ...]:
        return self.metrics if isinstance(self.metrics, tuple) else self.metrics[interface]

    def primary_for(self, interface: str) -> str:
        return self.primary if isinstance(self.primary, str) else self.primary[interface]

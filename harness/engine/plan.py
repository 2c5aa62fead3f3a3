"""Which tasks a model can do, and with which data and scorers. Planning loads no model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from speech_eval import datasets, registry
from speech_eval.adapters import spec as modelspec
from speech_eval.adapters.base import interfaces_of
from speech_eval.adapters.spec import ModelSpec
from speech_eval.datasets.dataset import Dataset
from speech_eval.engine import interleave
from speech_eval.engine.settings import Settings
from speech_eval.engine.task import Task
from speech_eval.errors import BadInput, NotFetched
from speech_eval.metrics.base import Metric
from speech_eval.progress import Progress
from speech_eval.records import DatasetRecord, TaskRecord

# Interfaces whose requests are the recording itself, so that even a fake model needs it.
HEARS = ("AudioCodec", "DuplexAgent")


@dataclass(frozen=True)
class Planned:
    """One task of a model, or one point of its sweep, with everything it will use."""

    task: Task
    interface: str
    dataset: Dataset
    metrics: tuple[str, ...]
    recognizer: str | None
    location: str = ""  # the dataset's name or path, as asked for
    note: str = ""
    conditions: dict[str, int | bool] = field(default_factory=dict)  # of a timed task

    @property
    def needs(self) -> frozenset[str]:
        """What the metrics read beside the outputs, as `Metric.needs` says it."""
        classes: list[type[Metric]] = [registry.metrics.get(name) for name in self.metrics]
        return frozenset().union(*(cls.needs for cls in classes))

    def record(self, settings: Settings) -> TaskRecord:
        """What the manifest keeps: the identity of the task, its data and its scorers."""
        info = self.dataset.info
        return TaskRecord(
            version=self.task.version,
            protocol=self.task.protocol,
            interface=self.interface,
            primary=self.task.primary_for(self.interface),
            metrics=list(self.metrics),
            recognizer=None if self.recognizer is None else modelspec.redact(self.recognizer),
            limit=settings.limit,
            samples=len(self.dataset.samples),
            note=self.note,
            sweep=self.task.point,
            axes={name: list(ids) for name, ids in self.task.axes.items()},
            conditions=self.conditions,
            dataset=DatasetRecord(
                name=info.name,
                location=self.location,
                version=info.version,
                sha256=self.dataset.sha256,
                license=info.license,
                source=info.source,
                attribution=info.attribution,
            ),
        )


def plan(spec: ModelSpec, task_names: Sequence[str], settings: Settings) -> tuple[list[Planned], list[str]]:
    """Which tasks a model can do, and the names of those it cannot. Loads no model; fetches sets of the hub."""
    cls, _ = modelspec.resolve(spec, trust_remote_code=settings.trust_remote_code)
    offered = interfaces_of(cls)
    planned, skipped = [], []
    for name in dict.fromkeys(task_names):
        task: Task = registry.tasks.get(name)()
        interface = task.interface_for(offered)
        if interface is None:
            skipped.append(f"{name} needs {' or '.join(task.interfaces)}; {spec.target} is {', '.join(offered)}")
            continue
        planned.append(_plan_task(task, interface, settings.data or task.dataset_for(interface), settings))
    if settings.rounds > 1 and planned and not any(item.task.mode == "timed" for item in planned):
        raise BadInput("None of these tasks is timed, so they have no rounds.", "Use --rounds with the task latency.")
    return planned, skipped


def _plan_task(task: Task, interface: str, location: str, settings: Settings, note: str = "") -> Planned:
    datasets.fetch(location)
    wanted = task.dataset_for(interface)
    location = datasets.locate(location, wanted)
    dataset = datasets.load_dataset(location, wanted).subset(settings.limit)
    names = settings.metrics or task.metrics_for(interface)
    if not settings.metrics and not any(sample.prompt_audio for sample in dataset.samples):
        unanswerable = [name for name in names if "prompt" in registry.metrics.get(name).needs]
        names = tuple(name for name in names if name not in unanswerable)
        if unanswerable:
            note = f"{note} No sample has a voice prompt: without {', '.join(unanswerable)}.".strip()
    for name in names:
        registry.metrics.get(name).ready()
    return Planned(
        task=task,
        interface=interface,
        dataset=interleave.expand(dataset, settings.rounds) if task.mode == "timed" else dataset,
        metrics=names,
        recognizer=settings.recognizer or task.recognizer,
        location=location,
        note=note,
    )


def fetch(item: Planned, reads_audio: bool, settings: Settings, progress: Progress) -> Planned:
    """Have the recordings on this machine, or fall back to a dataset that pip alone can bring, and note so."""
    hears = reads_audio or item.interface in HEARS
    if not (hears and any(s.audio for s in item.dataset.samples)) and not item.needs & {"prompt", "reference"}:
        return item
    try:
        item.dataset.ensure_audio(progress)
        return item
    except NotFetched as error:
        fallback = None if settings.data else datasets.fallback(item.dataset.info.name)
        if fallback is None:
            raise
        note = f"{error.problem} Using '{fallback}' instead of '{item.dataset.info.name}'."
        item = _plan_task(item.task, item.interface, fallback, settings, note)
        item.dataset.ensure_audio(progress)
        return item


def at_points(item: Planned, tasks: Sequence[Task]) -> list[Planned]:
    """The same plan for each of `tasks`, the points of the task's sweep."""
    return [replace(item, task=task) for task in tasks]

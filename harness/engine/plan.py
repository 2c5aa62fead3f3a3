"""Which tasks a model can do, and with which data and scorers. Planning loads no model."""

from __future__ import annotations

import logging
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field, replace

from speech_eval import datasets
from speech_eval.adapters import spec as modelspec
from speech_eval.adapters.base import Adapter, ReadsTranscripts, ReferenceAware
from speech_eval.adapters.spec import ModelSpec, ResolvedModel
from speech_eval.datasets.dataset import Dataset
from speech_eval.engine import interleave, requirements
from speech_eval.engine.generate import under
from speech_eval.engine.generate.answer import RECOGNIZER, Answer
from speech_eval.engine.settings import Settings
from speech_eval.engine.task import TASKS, Task
from speech_eval.errors import BadInput, MissingExtra, NotFetched
from speech_eval.metrics.base import Metric
from speech_eval.metrics.catalog import METRICS, present_name
from speech_eval.progress import Progress
from speech_eval.records import Ask, DatasetRecord, TaskRecord
from speech_eval.signal import conditions

logger = logging.getLogger(__name__)

# Interfaces that even a fake model answers from the recording.
HEARS = ("AudioCodec", "DuplexAgent")

Model = str | ModelSpec | ResolvedModel
TaskLike = str | Task


@dataclass(frozen=True)
class Planned:
    """One task of a model, or one point of its sweep, with everything it will use."""

    task: Task
    interface: str
    dataset: Dataset
    metrics: tuple[str, ...]
    recognizer: str | None
    adapter: type[Adapter] | None = None  # None for a stored run, whose model is not asked
    hears: bool = True  # whether the model reads the recordings
    location: str = ""  # the dataset's name or path, as asked for
    note: str = ""
    conditions: dict[str, int | bool] = field(default_factory=dict)

    @property
    def needs(self) -> frozenset[str]:
        """What the metrics read beside the outputs, as `Metric.needs` says it."""
        classes: list[type[Metric]] = [METRICS.get(name) for name in self.metrics]
        return frozenset().union(*(cls.needs for cls in classes))

    @property
    def reads(self) -> bool:
        """Whether a recording is read, by the model or by a metric."""
        heard = self.hears and any(sample.audio for sample in self.dataset.samples)
        return heard or bool(self.needs & {"prompt", "reference"})

    def defects(self, asked: Container[str], progress: Progress) -> dict[str, str]:
        """Why samples are invalid, by id, of those that were not `asked` yet (`requirements.defects`).

        Raises `BadInput` where no sample of the data can be used.
        """
        dataset = replace(self.dataset, samples=tuple(s for s in self.dataset.samples if s.id not in asked))
        plays = self.adapter is not None and self.adapter.plays_recordings
        found = requirements.defects(dataset, self.interface, self.hears, progress, self.task.ask, plays=plays)
        if found and len(found) == len(self.dataset):
            raise BadInput(
                f"{dataset.info.name}: none of its {len(found)} samples can be used: {next(iter(found.values()))}.",
                f"See every problem: speech-eval data check {self.location}",
            )
        return found

    def lacks_babble(self, invalid: Container[str]) -> str:
        """Why the samples that are not `invalid` are too few for the task's babble; empty where they are not."""
        if not self.task.condition.takes_others:
            return ""
        sound = replace(self.dataset, samples=tuple(s for s in self.dataset.samples if s.id not in invalid))
        problem = under.obstacle(self.task, self.interface, sound, self.task.condition, hears=self.hears)
        return problem and f"{problem}: {len(sound)} of {len(self.dataset)} samples have sound data."

    def limit(self, settings: Settings) -> int | None:
        """The number of samples that the run was limited to."""
        return self.dataset.limit if isinstance(settings.limit, float) else settings.limit

    def at_points(self, adapter: Adapter, rounds: int) -> list[Planned]:
        """The same for every point of the task's sweep that the model has, with the conditions of each."""
        strategy = self.task.generate
        points = strategy.points(self.task, adapter)
        return [replace(self, task=task, conditions=strategy.conditions(task, adapter, rounds)) for task in points]

    def record(self, settings: Settings) -> TaskRecord:
        """What the manifest keeps: the identity of the task, its data and its scorers."""
        info = self.dataset.info
        return TaskRecord(
            version=self.task.version,
            protocol=self.task.protocol,
            interface=self.interface,
            primary=self.task.variants[self.interface].primary,
            metrics=list(self.metrics),
            ask=self.task.ask,
            under="" if self.task.condition == conditions.CLEAN else str(self.task.condition),
            recognizer=None if self.recognizer is None else modelspec.redact(self.recognizer),
            limit=self.limit(settings),
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


@dataclass(frozen=True)
class Plan:
    """A model with the tasks it can do, and a line for each task that it cannot."""

    model: ResolvedModel
    settings: Settings
    items: list[Planned]
    skipped: list[str]
    label: str = ""  # what tables call the run; empty for the model's own name


def plan(model: Model, tasks: Sequence[TaskLike], settings: Settings) -> Plan:
    """Which of `tasks`, given by name or as they are, a model can do. Loads no model; fetches sets of the hub."""
    if not isinstance(model, ResolvedModel):
        model = modelspec.resolve(model, trust_remote_code=settings.trust_remote_code)
    items, skipped = [], []
    chosen = [TASKS.get(given)() if isinstance(given, str) else given for given in tasks]
    for task in {task.name: task for task in chosen}.values():
        interface = task.interface_for(model.interfaces)
        if interface is None:
            needed, offered = " or ".join(task.interfaces), ", ".join(model.interfaces)
            skipped.append(f"{task.name} needs {needed}; {model.spec.target} is {offered}")
            continue
        if task.generate.in_rounds and not model.adapter_class.answers_live:
            skipped.append(f"{task.name} measures time; the answers of {model.redacted} exist already")
            continue
        location = settings.data or task.variants[interface].dataset
        for asked, problem in _asked(task, interface, model, settings.ask):
            if problem:
                skipped.append(problem)
                continue
            item = _plan_task(asked, interface, location, settings, model.adapter_class)
            if asked.ask == "transcript" and not issubclass(model.adapter_class, ReadsTranscripts):
                item = replace(item, recognizer=item.recognizer or RECOGNIZER)
            for condition in map(conditions.parse, settings.under) if settings.under else (conditions.CLEAN,):
                if problem := under.obstacle(item.task, interface, item.dataset, condition, hears=item.hears):
                    skipped.append(problem)
                else:
                    items.append(replace(item, task=item.task.under(condition)))
    if settings.rounds > 1 and items and not any(item.task.generate.in_rounds for item in items):
        raise BadInput("None of these tasks is timed, so they have no rounds.", "Use --rounds with the task latency.")
    return Plan(model, settings, items, skipped)


def _asked(task: Task, interface: str, model: ResolvedModel, ways: Sequence[Ask]) -> Iterator[tuple[Task, str]]:
    """The task in every way that it is to be asked, each with why this cannot be; empty where it can."""
    if not ways:
        yield task, ""
    elif interface != "AudioLanguageModel" or not isinstance(task.generate, Answer):
        yield task, "" if "speech" in ways else f"{task.name} can only be asked as speech"
    else:
        deaf = not model.adapter_class.reads_audio and not issubclass(model.adapter_class, ReferenceAware)
        for way in ways:
            problem = ""
            if way == "speech" and deaf:
                problem = f"{task.name} as speech: {model.redacted} does not hear"
            if way == "text" and not task.generate.spoken:
                problem = f"{task.name} as text: what its recordings say is not written in the data"
            yield task.asked(way), problem


def _plan_task(
    task: Task, interface: str, location: str, settings: Settings, adapter: type[Adapter], note: str = ""
) -> Planned:
    hears = task.ask == "transcript" or (task.ask == "speech" and adapter.reads_audio) or interface in HEARS
    variant = task.variants[interface]
    if not settings.offline:
        datasets.fetch(location)
    location = datasets.locate(location, variant.dataset)
    dataset = datasets.load_dataset(location, variant.dataset, language=settings.language).subset(settings.limit)
    datasets.require_languages(dataset)
    task = task.for_languages({sample.language for sample in dataset.samples})
    asked = tuple(map(present_name, settings.metrics)) or task.variants[interface].metrics
    asked, untimed = (asked, []) if adapter.answers_live else _without_times(asked, chosen=bool(settings.metrics))
    names, notes = requirements.scorable(
        task, interface, asked, dataset, hears=hears, plays=adapter.plays_recordings, chosen=bool(settings.metrics)
    )
    names, left_out = _ready(names, frozenset() if settings.metrics else task.optional)
    logger.info("plan: %s on %s: %d samples, %s", task.name, dataset.info.name, len(dataset), ", ".join(names))
    return Planned(
        task=task,
        interface=interface,
        dataset=interleave.expand(dataset, settings.rounds) if task.generate.in_rounds else dataset,
        metrics=names,
        recognizer=settings.recognizer or task.recognizer,
        hears=hears,
        adapter=adapter,
        location=location,
        note=" ".join(filter(None, (note, dataset.note, *untimed, *notes, *left_out, *_cautions(names, dataset)))),
    )


def _without_times(metrics: Sequence[str], *, chosen: bool) -> tuple[tuple[str, ...], list[str]]:
    """The metrics that measure no time, for answers that exist already, and a note on those that are left out.

    Raises `BadInput` where the user has `chosen` one of them.
    """
    timed = [name for name in metrics if "timing" in METRICS.get(name).needs]
    if timed and chosen:
        raise BadInput(
            f"{', '.join(timed)}: the answers exist already, so the time they took is not known.",
            "Leave it out of --metrics, or evaluate the model itself.",
        )
    note = [f"The answers exist already: without {', '.join(timed)}."] if timed else []
    return tuple(name for name in metrics if name not in timed), note


def _ready(metrics: Sequence[str], optional: frozenset[str]) -> tuple[tuple[str, ...], list[str]]:
    """The metrics that this machine can compute, and a note on each `optional` one that it cannot.

    Raises what `Metric.ready` raises for the others.
    """
    kept, notes = [], []
    for name in metrics:
        try:
            METRICS.get(name).ready()
            kept.append(name)
        except (MissingExtra, NotFetched) as error:
            if name not in optional:
                raise
            notes.append(f"Without {name}: {error}")
    return tuple(kept), notes


def _cautions(metrics: Sequence[str], dataset: Dataset) -> list[str]:
    """What to know of the metrics' numbers on these samples, each once."""
    found = (METRICS.get(name).caution(sample) for name in metrics for sample in dataset.samples)
    return list(dict.fromkeys(filter(None, found)))


def fetch(item: Planned, settings: Settings, progress: Progress) -> Planned:
    """Have the recordings on this machine, or fall back to a dataset that pip alone can bring, and note so."""
    if not item.reads:
        return item
    try:
        item.dataset.ensure_audio(progress)
        return item
    except NotFetched as error:
        fallback = None if settings.data else datasets.fallback(item.dataset.info.name)
        if fallback is None or item.adapter is None:
            raise
        note = f"{error.problem} Using '{fallback}' instead of '{item.dataset.info.name}'."
        item = _plan_task(item.task, item.interface, fallback, settings, item.adapter, note)
        item.dataset.ensure_audio(progress)
        return item

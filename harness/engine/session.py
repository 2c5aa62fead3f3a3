"""Work on a run directory: generate and score answers, score them again, write the results.

Each stage reads what the stages before it stored, so a run that was stopped at any moment goes on where it stopped.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from uuid import uuid4

from speech_eval import datasets
from speech_eval.adapters.base import Adapter, ReferenceAware
from speech_eval.adapters.spec import ResolvedModel
from speech_eval.assets import store as assets
from speech_eval.audio import load
from speech_eval.datasets.dataset import Dataset
from speech_eval.engine.aggregate import aggregate
from speech_eval.engine.executors import executor
from speech_eval.engine.generate.strategy import Work
from speech_eval.engine.manifest import add_event, check_same_run, names_of, open_manifest, recorded
from speech_eval.engine.plan import Model, Plan, Planned, TaskLike, fetch, plan
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.engine.score import forget_scores, score, scored
from speech_eval.engine.settings import Settings
from speech_eval.environment import packages
from speech_eval.errors import BadInput, SpeechEvalError
from speech_eval.metrics.base import Metric
from speech_eval.metrics.catalog import METRICS
from speech_eval.progress import Progress, Say, labeled, silent, unsaid
from speech_eval.records import Results, TaskRecord

logger = logging.getLogger(__name__)


def run(
    model: Model,
    tasks: Sequence[TaskLike],
    output: Path,
    settings: Settings,
    progress: Progress = silent,
    say: Say = unsaid,
) -> Results:
    """Run a model on tasks into the run directory `output` and return its results.

    Raises `BadInput` where no task fits the model, or where `output` holds a run that differs in model, seed or data.
    """
    return execute([(plan(model, tasks, settings), output)], progress, say)[0]


def run_in_turns(
    jobs: Sequence[tuple[Model, Sequence[TaskLike], Path]],
    settings: Settings,
    progress: Progress = silent,
    say: Say = unsaid,
) -> list[Results]:
    """`run` for several models at once, which take turns in timed tasks (see `execute`)."""
    return execute([(plan(model, tasks, settings), output) for model, tasks, output in jobs], progress, say)


def execute(jobs: Sequence[tuple[Plan, Path]], progress: Progress = silent, say: Say = unsaid) -> list[Results]:
    """Execute plans of the same settings, each into a run directory of its own.

    The models are in memory together and take turns in timed tasks: each asks for all its samples of a round before the
    next model does, and the one that began a round ends the next (A B, B A, A B, …), so that a machine that grows
    slower or faster all the while favors none.
    """
    settings = jobs[0][0].settings
    executor(settings.executor, settings.ray_address)  # raises now rather than after the model's work
    with ExitStack() as locks:
        sessions = []
        with ExitStack() as models:
            for planned, output in jobs:
                shown = progress if len(jobs) == 1 else labeled(progress, planned.model.redacted)
                sessions.append(Session.begin(planned, output, shown, say, locks, models))
            for session in sessions:
                session.store_samples()
                for group in session.groups:
                    if not group[0].task.generate.in_rounds:
                        session.generate(group)
            call = uuid4().hex[:12]
            for number in range(1, settings.rounds + 1):
                for session in sessions if number % 2 else reversed(sessions):
                    for item in (item for group in session.groups for item in group):
                        if item.task.generate.in_rounds:
                            session.generate([item], number, call)
        return [session.finish() for session in sessions]


@dataclass(frozen=True)
class Session:
    """A model at work in its run directory: the plan of its tasks, the points of a sweep in one group."""

    directory: RunDirectory
    adapter: Adapter
    groups: list[list[Planned]]
    settings: Settings
    progress: Progress

    @classmethod
    def begin(
        cls, planned: Plan, output: Path, progress: Progress, say: Say, locks: ExitStack, models: ExitStack
    ) -> Session:
        """Load the model, have its data, and open its run directory."""
        model, settings = planned.model, planned.settings
        if not planned.items:
            raise BadInput(f"No task fits the model: {'; '.join(planned.skipped)}.", "See: speech-eval list tasks")
        directory = RunDirectory(output)
        locks.enter_context(directory.writing())
        if directory.has_manifest():
            check_same_run(directory, model.redacted, planned.items, settings)
        adapter = models.enter_context(_loaded(model))
        items = [fetch(item, adapter.reads_audio, settings, progress) for item in planned.items]
        for item in items:
            if item.note:
                say(f"{item.task.name}: {item.note}")
        groups = [item.at_points(adapter, settings.rounds) for item in items]
        info = model.describe(adapter)
        held = directory.manifest().label if directory.has_manifest() else model.own_name(info)
        label = planned.label or held
        open_manifest(directory, info, label, [item for group in groups for item in group], settings, type(adapter))
        return cls(directory, adapter, groups, settings, progress)

    def store_samples(self) -> None:
        """Store what each task, or each point of a sweep, asks for."""
        for item in (item for group in self.groups for item in group):
            self.directory.replace("samples", item.task.name, item.dataset.samples)

    def generate(self, group: Sequence[Planned], number: int | None = None, call: str | None = None) -> None:
        """The answers of a task, of all points of a sweep at once, or of one round of one point.

        The event of a round says in which call the answers were asked for: models of one call took turns.
        """
        first = group[0]
        _lend_references(self.adapter, first.dataset)
        start, load_average = perf_counter(), _load_average()
        work = Work(
            directory=self.directory,
            tasks=[item.task for item in group],
            interface=first.interface,
            dataset=first.dataset,
            adapter=self.adapter,
            seed=self.settings.seed,
            batch_size=self.settings.batch_size,
            retry_failed=self.settings.retry_failed,
            round=number or 1,
            progress=self.progress,
        )
        logger.info("generate: %s, %d samples", work.name, len(first.dataset.samples))
        warm_up = first.task.generate.generate(work)
        timed = {} if number is None else {"round": number, "call": call, "load_average": load_average}
        seconds = round(perf_counter() - start, 3)
        logger.info("generate: %s in %.1f s", work.name, seconds)
        add_event(self.directory, "generated", packages(), task=work.name, seconds=seconds, warm_up=warm_up, **timed)

    def finish(self) -> Results:
        """Score what was generated and write the results."""
        for item in (item for group in self.groups for item in group):
            _score(self.directory, item, self.settings, self.progress)
        results = aggregate(self.directory)
        self.directory.write_results(results)
        add_event(self.directory, "finished")
        return results


def _load_average() -> float | None:
    """How many processes wanted this machine in the last minute, ours included; None where it does not say."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


@contextmanager
def _loaded(model: ResolvedModel) -> Iterator[Adapter]:
    """The model, closed at the end unless the caller gave it as an object.

    Raises `SpeechEvalError` that names the model where closing fails.
    """
    start = perf_counter()
    adapter = model.build()
    logger.info("load: %s in %.1f s", model.redacted, perf_counter() - start)
    try:
        yield adapter
    finally:
        try:
            if model.instance is None:
                adapter.close()
        except SpeechEvalError:
            raise
        except Exception as error:
            raise SpeechEvalError(
                f"{model.redacted}: {type(adapter).__name__}.close() failed ({type(error).__name__}: {error}).",
                "Correct the method and give the same command again; answers so far are kept.",
            ) from error


def _lend_references(adapter: Adapter, dataset: Dataset) -> None:
    """Tell an adapter that answers from the references what they are."""
    if isinstance(adapter, ReferenceAware):
        recordings = {sample.id: sample.audio for sample in dataset.samples if sample.audio}
        samples = {sample.id: sample for sample in dataset.samples}
        adapter.bind(samples, lambda key: load(dataset.audio_path(recordings[key])))


# ------------------------------------------------------------------------------------------------ scoring


def _score(directory: RunDirectory, item: Planned, settings: Settings, progress: Progress) -> None:
    start = perf_counter()
    _fetch_scorers(item, progress)
    used = score(
        directory,
        item.task,
        item.metrics,
        item.dataset,
        recognizer=item.recognizer,
        workers=settings.workers,
        executor=executor(settings.executor, settings.ray_address),
        plugins=settings.plugins,
        progress=progress,
    )
    seconds = round(perf_counter() - start, 3)
    logger.info("score: %s in %.1f s", item.task.name, seconds)
    add_event(directory, "scored", used, task=item.task.name, seconds=seconds, workers=settings.workers)


def _fetch_scorers(item: Planned, progress: Progress) -> None:
    """Fetch registry-shipped weights before workers start, so that they do not all ask for them at once."""
    for name in item.metrics:
        cls: type[Metric] = METRICS.get(name)
        for asset in cls.assets:
            assets.ensure(asset, progress)
    if item.recognizer and item.recognizer in assets.ASSETS:
        assets.ensure(item.recognizer, progress)


def rescore(path: Path, settings: Settings, progress: Progress = silent) -> Results:
    """Score a run's stored outputs, with the metrics it names or those of `settings`; no model is needed.

    A scoring that was interrupted goes on: outputs without a score get one. Where every output has its scores already,
    all are made again.
    """
    directory = RunDirectory(path)
    with names_of(directory) as manifest, directory.writing():
        items = {name: _stored(directory, name, record, settings) for name, record in manifest.tasks.items()}
        for item in items.values():
            _fetch_scorers(item, progress)
            if item.needs & {"prompt", "reference"}:
                item.dataset.ensure_audio(progress)
        if all(scored(directory, item.task, item.metrics, item.dataset) for item in items.values()):
            for item in items.values():
                forget_scores(directory, item.task, item.metrics)
        tasks = {}
        for name, item in items.items():
            _score(directory, item, settings, progress)
            record = manifest.tasks[name]
            merged = list(dict.fromkeys([*record.metrics, *item.metrics]))
            tasks[name] = record.model_copy(update={"metrics": merged, "recognizer": item.recognizer})
        directory.write_manifest(directory.manifest().model_copy(update={"tasks": tasks}))
        results = aggregate(directory)
        directory.write_results(results)
    return results


def _stored(directory: RunDirectory, name: str, record: TaskRecord, settings: Settings) -> Planned:
    """The plan of a task whose outputs are stored already."""
    task = recorded(name, record)
    dataset = datasets.load_dataset(settings.data or record.dataset.location)
    return Planned(
        task=task,
        interface=record.interface,
        dataset=replace(dataset, samples=tuple(directory.samples(name))),
        metrics=settings.metrics or tuple(record.metrics),
        recognizer=settings.recognizer or record.recognizer,
    )


def report(path: Path) -> Results:
    """Write `results.json` again from the stored scores."""
    directory = RunDirectory(path)
    with names_of(directory), directory.writing():
        results = aggregate(directory)
        directory.write_results(results)
    return results

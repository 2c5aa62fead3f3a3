"""Work on a run directory: generate and score answers, score them again, write the results.

Each stage reads what the stages before it stored, so a run that was stopped at any moment goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any
from uuid import uuid4

from speech_eval import datasets, registry
from speech_eval.adapters import spec as modelspec
from speech_eval.adapters.base import Adapter, AudioCodec
from speech_eval.adapters.spec import ModelSpec
from speech_eval.audio import load
from speech_eval.datasets.dataset import Dataset
from speech_eval.engine import interleave as rounds
from speech_eval.engine.aggregate import aggregate
from speech_eval.engine.executors import executor
from speech_eval.engine.generate.answer import generate, generate_sweep
from speech_eval.engine.generate.requests import Driver, Job
from speech_eval.engine.generate.timed import conditions, generate_timed, load_average
from speech_eval.engine.manifest import add_event, check_same_run, names_of, open_manifest, recorded
from speech_eval.engine.plan import Planned, fetch, plan
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.engine.score import score
from speech_eval.engine.settings import Settings
from speech_eval.engine.sweep import points_of
from speech_eval.environment import packages
from speech_eval.errors import BadInput, SpeechEvalError
from speech_eval.metrics.base import Metric
from speech_eval.progress import Progress, Say, silent, unsaid
from speech_eval.records import Results, TaskRecord


def run(
    spec: ModelSpec,
    task_names: Sequence[str],
    output: Path,
    settings: Settings,
    progress: Progress = silent,
    say: Say = unsaid,
) -> Results:
    """Run a model on tasks into the run directory `output` and return its results.

    Raises `BadInput` where no task fits the model, or where `output` holds a run that differs in model, seed or data.
    """
    return run_in_turns([(spec, task_names, output)], settings, progress, say)[0]


def run_in_turns(
    jobs: Sequence[tuple[ModelSpec, Sequence[str], Path]],
    settings: Settings,
    progress: Progress = silent,
    say: Say = unsaid,
) -> list[Results]:
    """`run` for several models at once, which then lie in memory together and take turns in timed tasks.

    Each asks for all its samples of a round before the next model does, and who began one round ends the next (A B,
    B A, A B, …), so that a machine that grows slower or faster all the while favors none.
    """
    executor(settings.executor, settings.ray_address)  # it fails now or never
    call = uuid4().hex[:12]
    with ExitStack() as locks:
        sessions = []
        with ExitStack() as models:
            for job in jobs:
                named = progress if len(jobs) == 1 else _named(progress, modelspec.redact(job[0].text))
                sessions.append(_begin(*job, settings, named, say, locks, models))
            for session in sessions:
                for group in session.groups:
                    _open_task(session, group)
                    if group[0].task.mode != "timed":
                        _generate(session, group, settings)
            for number in range(1, settings.rounds + 1):
                for session in sessions if number % 2 else reversed(sessions):
                    for point in (point for group in session.groups for point in group if point.task.mode == "timed"):
                        _generate_timed(session, point, settings, number, call)
        return [_finish(session, settings) for session in sessions]


@dataclass(frozen=True)
class _Session:
    """A model at work in its run directory: its tasks, those of a sweep together."""

    directory: RunDirectory
    adapter: Adapter
    groups: list[list[Planned]]
    progress: Progress


def _named(progress: Progress, name: str) -> Progress:
    return lambda label, done, total: progress(f"{name} · {label}", done, total)


def _begin(
    spec: ModelSpec,
    task_names: Sequence[str],
    output: Path,
    settings: Settings,
    progress: Progress,
    say: Any,
    locks: ExitStack,
    models: ExitStack,
) -> _Session:
    """Load the model, have its data, and open its run directory."""
    planned, skipped = plan(spec, task_names, settings)
    if not planned:
        raise BadInput(f"No task fits the model: {'; '.join(skipped)}.", "See: speech-eval list tasks")
    directory = RunDirectory(output)
    locks.enter_context(directory.writing())
    if directory.has_manifest():
        check_same_run(directory, modelspec.redact(spec.text), planned, settings)
    adapter = models.enter_context(_loaded(spec, settings))
    planned = [fetch(item, adapter.reads_audio, settings, progress) for item in planned]
    for item in planned:
        if item.note:
            say(f"{item.task.name}: {item.note}")
    groups = [
        [
            replace(item, task=task, conditions=conditions(task, adapter, settings.rounds))
            for task in points_of(item.task, adapter)
        ]
        for item in planned
    ]
    with _naming(spec, adapter, "info"):
        info = modelspec.describe(spec, adapter)
    open_manifest(directory, info, [item for group in groups for item in group], settings, type(adapter))
    return _Session(directory, adapter, groups, progress)


@contextmanager
def _loaded(spec: ModelSpec, settings: Settings) -> Iterator[Adapter]:
    """The model, closed at the end."""
    adapter = modelspec.build(spec, trust_remote_code=settings.trust_remote_code)
    try:
        yield adapter
    finally:
        with _naming(spec, adapter, "close"):
            adapter.close()


@contextmanager
def _naming(spec: ModelSpec, adapter: Adapter, method: str) -> Iterator[None]:
    """Turn what a method of an adapter raises into an error that names the model: it says nothing about its numbers."""
    try:
        yield
    except SpeechEvalError:
        raise
    except Exception as error:
        where = f"{modelspec.redact(spec.text)}: {type(adapter).__name__}.{method}()"
        raise SpeechEvalError(
            f"{where} failed ({type(error).__name__}: {error}).",
            "Correct the method and give the same command again; answers so far are kept.",
        ) from error


def _finish(session: _Session, settings: Settings) -> Results:
    """Score what was generated and write the results."""
    for group in session.groups:
        for item in group:
            _score(session.directory, item, settings, session.progress)
    results = aggregate(session.directory)
    session.directory.write_results(results)
    add_event(session.directory, "finished")
    return results


def _open_task(session: _Session, group: Sequence[Planned]) -> None:
    """Store what a task, or each point of a sweep, asks for."""
    for point in group:
        session.directory.replace("samples", point.task.name, point.dataset.samples)


def _lend_recordings(adapter: Adapter, dataset: Dataset) -> None:
    """Doubles answer with the recordings themselves."""
    if hasattr(adapter, "load_reference"):
        recordings = {sample.id: sample.audio for sample in dataset.samples if sample.audio}
        adapter.load_reference = lambda key: load(dataset.audio_path(recordings[key]))


def _generate_timed(session: _Session, item: Planned, settings: Settings, number: int, call: str) -> None:
    """The answers of one round of a task, or of one point of its sweep. The event says in which call they were asked
    for: models of one call took turns."""
    _lend_recordings(session.adapter, item.dataset)
    start = perf_counter()
    load_before = load_average()
    warm_up = generate_timed(
        session.directory,
        item.task,
        item.interface,
        item.dataset,
        session.adapter,
        samples=[sample for sample in item.dataset.samples if rounds.round_of(sample) == number],
        seed=settings.seed,
        retry_failed=settings.retry_failed,
        progress=session.progress,
    )
    add_event(
        session.directory,
        "generated",
        packages(),
        task=item.task.name,
        round=number,
        call=call,
        load_average=load_before,
        warm_up=warm_up,
        seconds=round(perf_counter() - start, 3),
    )


def _generate(session: _Session, group: Sequence[Planned], settings: Settings) -> None:
    """The answers of a task, or of all points of a sweep at once."""
    directory, adapter, item = session.directory, session.adapter, group[0]
    _lend_recordings(adapter, item.dataset)
    start = perf_counter()
    if item.task.point is None:
        generate(
            directory,
            item.task,
            item.interface,
            item.dataset,
            adapter,
            seed=settings.seed,
            batch_size=settings.batch_size,
            retry_failed=settings.retry_failed,
            progress=session.progress,
            driver=_driver(directory, item, adapter, settings),
        )
    else:
        assert isinstance(adapter, AudioCodec)
        generate_sweep(
            directory,
            [point.task for point in group],
            item.dataset,
            adapter,
            seed=settings.seed,
            retry_failed=settings.retry_failed,
            progress=session.progress,
        )
    name = item.task.name if item.task.point is None else item.task.point.task
    add_event(directory, "generated", packages(), task=name, seconds=round(perf_counter() - start, 3))


def _driver(directory: RunDirectory, item: Planned, adapter: Adapter, settings: Settings) -> Driver | None:
    if item.task.driver is None:
        return None
    folder = directory.path / "work" / item.task.name
    job = Job(options=item.task.options, dataset=item.dataset, seed=settings.seed, folder=folder)
    return registry.load_attr(item.task.driver)(adapter, job)


def _score(
    directory: RunDirectory, item: Planned, settings: Settings, progress: Progress, *, fresh: bool = False
) -> None:
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
        fresh=fresh,
    )
    seconds = round(perf_counter() - start, 3)
    add_event(directory, "scored", used, task=item.task.name, seconds=seconds, workers=settings.workers)


def _fetch_scorers(item: Planned, progress: Progress) -> None:
    """Fetch registry-shipped weights before workers start, so that they do not all ask for them at once."""
    from speech_eval.assets import store as assets

    for name in item.metrics:
        cls: type[Metric] = registry.metrics.get(name)
        for asset in cls.assets:
            assets.ensure(asset, progress)
    if item.recognizer and item.recognizer in assets.ASSETS:
        assets.ensure(item.recognizer, progress)


def rescore(path: Path, settings: Settings, progress: Progress = silent) -> Results:
    """Score a run's stored outputs again, with the metrics it names or those of `settings`; no model is needed."""
    directory = RunDirectory(path)
    with names_of(directory) as manifest, directory.writing():
        tasks = {}
        for name, record in manifest.tasks.items():
            item = _stored(directory, name, record, settings)
            if item.needs & {"prompt", "reference"}:
                item.dataset.ensure_audio(progress)
            _score(directory, item, settings, progress, fresh=True)
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

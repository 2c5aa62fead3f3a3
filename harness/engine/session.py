"""The main job: a model and some tasks, taken through `generate → score → report` in one run directory.

Each stage reads what the stages before it stored, so a run that was stopped at any moment goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any
from uuid import uuid4

import speech_eval
from speech_eval import datasets, registry
from speech_eval.adapters import spec as modelspec
from speech_eval.adapters.base import Adapter, AudioCodec, interfaces_of
from speech_eval.adapters.spec import ModelSpec
from speech_eval.audio import load
from speech_eval.datasets.dataset import Dataset
from speech_eval.engine import interleave as rounds
from speech_eval.engine.aggregate import aggregate
from speech_eval.engine.executors import default_workers, executor
from speech_eval.engine.generate.answer import generate, generate_sweep
from speech_eval.engine.generate.requests import Driver, Job
from speech_eval.engine.generate.timed import conditions, generate_timed, load_average
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.engine.score import score
from speech_eval.engine.sweep import points_of, record_of, recorded
from speech_eval.engine.task import Task
from speech_eval.environment import environment
from speech_eval.errors import BadInput, NotFetched
from speech_eval.metrics.base import Metric
from speech_eval.progress import Progress, Say, silent, unsaid
from speech_eval.records import Manifest, ModelInfo, Results

# Interfaces whose requests are the recording itself, so that even a double needs it.
HEARS = ("AudioCodec", "DuplexAgent")


@dataclass(frozen=True)
class Settings:
    """The knobs of a run. `data`, `metrics` and `recognizer` replace what the tasks name; timed tasks are asked
    `rounds` times; scoring runs on the `executor`, `local` or `ray`."""

    seed: int = 0
    limit: int | None = None
    rounds: int = 1
    batch_size: int | None = None
    workers: int = field(default_factory=default_workers)
    executor: str = "local"
    ray_address: str | None = None
    data: str | None = None
    metrics: tuple[str, ...] = ()
    recognizer: str | None = None
    retry_failed: bool = False
    trust_remote_code: bool = False
    plugins: tuple[str, ...] = ()


@dataclass(frozen=True)
class Planned:
    """One task of a model, with everything it will use."""

    task: Task
    interface: str
    dataset: Dataset
    metrics: tuple[str, ...]
    recognizer: str | None
    location: str = ""  # the dataset's name or path, as asked for
    note: str = ""
    conditions: dict[str, int | bool] = field(default_factory=dict)  # of a timed task

    def record(self, settings: Settings) -> dict[str, Any]:
        """What the manifest keeps: the identity of the task, its data and its scorers."""
        info = self.dataset.info
        return {
            "version": self.task.version,
            "protocol": self.task.protocol,
            "interface": self.interface,
            "primary": self.task.primary_for(self.interface),
            "metrics": list(self.metrics),
            "recognizer": None if self.recognizer is None else modelspec.redact(self.recognizer),
            "limit": settings.limit,
            "samples": len(self.dataset.samples),
            "note": self.note,
            **({} if self.task.point is None else {"sweep": self.task.point.model_dump()}),
            **({} if self.task.ranked else {"axes": {name: list(ids) for name, ids in self.task.axes.items()}}),
            **({"conditions": self.conditions} if self.conditions else {}),
            "dataset": {
                "name": info.name,
                "location": self.location,
                "version": info.version,
                "sha256": self.dataset.sha256,
                "license": info.license,
                "source": info.source,
                "attribution": info.attribution,
            },
        }


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
        dataset=rounds.expand(dataset, settings.rounds) if task.mode == "timed" else dataset,
        metrics=names,
        recognizer=settings.recognizer or task.recognizer,
        location=location,
        note=note,
    )


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
        _check_same_run(directory, spec, planned, settings)
    adapter = models.enter_context(closing(modelspec.build(spec, trust_remote_code=settings.trust_remote_code)))
    reads_audio = adapter.reads_audio
    planned = [_fetch(item, reads_audio or item.interface in HEARS, settings, progress) for item in planned]
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
    info = modelspec.describe(spec, adapter)
    _open_manifest(directory, info, [item for group in groups for item in group], settings)
    return _Session(directory, adapter, groups, progress)


def _finish(session: _Session, settings: Settings) -> Results:
    """Score what was generated and write the results."""
    for group in session.groups:
        for item in group:
            _score(session.directory, item, settings, session.progress)
    results = aggregate(session.directory)
    session.directory.write_results(results)
    _event(session.directory, "finished", {})
    return results


def _fetch(item: Planned, reads_audio: bool, settings: Settings, progress: Progress) -> Planned:
    """Have the recordings on this machine, or fall back to a set that pip alone can bring, and note so."""
    needs: set[str] = set().union(*(registry.metrics.get(name).needs for name in item.metrics))
    wants = (reads_audio and any(s.audio for s in item.dataset.samples)) or bool(needs & {"prompt", "reference"})
    if not wants:
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
    detail: dict[str, Any] = {"task": item.task.name, "round": number, "call": call, "load_average": load_average()}
    detail["warm_up"] = generate_timed(
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
    _event(session.directory, "generated", {**detail, "seconds": round(perf_counter() - start, 3)})


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
    _event(directory, "generated", {"task": name, "seconds": round(perf_counter() - start, 3)})


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
    score(
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
    _event(directory, "scored", {"task": item.task.name, "seconds": seconds, "workers": settings.workers})


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
    manifest = directory.manifest()
    with directory.writing():
        for name, record in manifest.tasks.items():
            task = recorded(name, record)
            samples = tuple(directory.samples(name))
            dataset = replace(datasets.load_dataset(settings.data or record["dataset"]["location"]), samples=samples)
            metrics = settings.metrics or tuple(record["metrics"])
            recognizer = settings.recognizer or record["recognizer"]
            item = Planned(task, record["interface"], dataset, metrics, recognizer)
            if settings.metrics or settings.recognizer:
                merged = list(dict.fromkeys([*record["metrics"], *metrics]))
                record |= {"metrics": merged, "recognizer": recognizer}
            needs: set[str] = set().union(*(registry.metrics.get(name).needs for name in metrics))
            if needs & {"prompt", "reference"}:
                dataset.ensure_audio(progress)
            _score(directory, item, settings, progress, fresh=True)
        latest = directory.manifest()
        directory.write_manifest(latest.model_copy(update={"tasks": manifest.tasks}))
        results = aggregate(directory)
        directory.write_results(results)
    return results


def report(path: Path) -> Results:
    """Write `results.json` again from the stored scores."""
    directory = RunDirectory(path)
    directory.manifest()
    with directory.writing():
        results = aggregate(directory)
        directory.write_results(results)
    return results


# ---------------------------------------------------------------------------------------------- manifest


def _check_same_run(directory: RunDirectory, spec: ModelSpec, planned: list[Planned], settings: Settings) -> None:
    """A run directory belongs to one model and seed, and each of its tasks to one data set and limit."""
    manifest = directory.manifest()
    remedy = "Choose another --output."
    asked, held = modelspec.redact(spec.text), manifest.model.spec
    if held != asked:
        raise BadInput(f"{directory.path} holds a run of '{held}', not of '{asked}'.", remedy)
    if manifest.seed != settings.seed:
        raise BadInput(f"{directory.path} holds a run with seed {manifest.seed}, not {settings.seed}.", remedy)
    for item in planned:
        record = record_of(item.task.name, manifest.tasks)
        fallback = datasets.fallback(item.dataset.info.name)
        if record is None or record["dataset"]["name"] == fallback:
            continue
        asked_rounds = settings.rounds if item.task.mode == "timed" else 1
        held_rounds = record.get("conditions", {}).get("rounds", 1)
        for key, then, now in (
            ("version", record["version"], item.task.version),
            ("limit", record["limit"], settings.limit),
            ("rounds", held_rounds, asked_rounds),
        ):
            if then != now:
                raise BadInput(
                    f"{directory.path}: task '{item.task.name}' was run with {key} {then}, not {now}.", remedy
                )
        if record["dataset"]["sha256"] != item.dataset.sha256:
            raise BadInput(f"{directory.path}: the data of task '{item.task.name}' has changed since.", remedy)


def _open_manifest(directory: RunDirectory, info: ModelInfo, planned: list[Planned], settings: Settings) -> None:
    tasks = {item.task.name: item.record(settings) for item in planned}
    events: list[dict[str, Any]] = []
    if directory.has_manifest():
        before = directory.manifest()
        if (before.model.revision, before.model.weights_sha256) != (info.revision, info.weights_sha256):
            raise BadInput(
                f"{directory.path}: the weights of '{info.spec}' have changed since this run began.",
                "Choose another --output for the new weights.",
            )
        tasks = {**before.tasks, **tasks}
        events = list(before.events)
    directory.write_manifest(
        Manifest(
            harness_version=speech_eval.__version__,
            model=info,
            seed=settings.seed,
            tasks=tasks,
            environment=environment(),
            events=events,
        )
    )
    _event(directory, "started", {"tasks": [item.task.name for item in planned], "workers": settings.workers})


def _event(directory: RunDirectory, what: str, detail: dict[str, Any]) -> None:
    manifest = directory.manifest()
    event = {"event": what, "at": datetime.now(UTC).isoformat(timespec="seconds"), **detail}
    directory.write_manifest(manifest.model_copy(update={"events": [*manifest.events, event]}))

"""Work on a run directory: generate and score answers, score them again, write the results.

Each stage reads what the stages before it stored, so a run that was stopped at any moment goes on where it stopped.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from uuid import uuid4

from speech_eval.adapters import spec as modelspec
from speech_eval.adapters.base import Adapter, ChecksSamples, ReferenceAware
from speech_eval.adapters.spec import ResolvedModel
from speech_eval.audio import load
from speech_eval.datasets.dataset import Dataset
from speech_eval.engine.aggregate import aggregate
from speech_eval.engine.executors import executor
from speech_eval.engine.generate.guest import Guest
from speech_eval.engine.generate.strategy import Work, sample_seed
from speech_eval.engine.jobs import Votes, forget_scores, scored, votes_of
from speech_eval.engine.manifest import (
    add_event,
    check_owner,
    check_same_run,
    forget_answers,
    names_of,
    open_manifest,
)
from speech_eval.engine.plan import Model, Plan, Planned, TaskLike, fetch, plan
from speech_eval.engine.ratings import Rating
from speech_eval.engine.readiness import prove_scorers
from speech_eval.engine.run_directory import RunDirectory, charged_to_runs
from speech_eval.engine.score import score
from speech_eval.engine.settings import Settings
from speech_eval.engine.settled import settle, settled
from speech_eval.engine.stored_plan import stored_plan
from speech_eval.environment import packages
from speech_eval.errors import BadInput, SpeechEvalError
from speech_eval.metrics import judge as judges
from speech_eval.metrics import listening as listeners
from speech_eval.progress import Progress, Say, labeled, silent, unsaid
from speech_eval.records import Output, Results, Sample

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


def execute(jobs: Sequence[tuple[Plan, Path]], progress: Progress = silent, say: Say = unsaid) -> list[Results]:
    """Execute plans of the same settings, each into a run directory of its own.

    The models are in memory together and take turns in timed tasks: each asks for all its samples of a round before the
    next model does, and the one that began a round ends the next (A B, B A, A B, …), so that a machine that grows
    slower or faster all the while favors none.
    """
    settings = jobs[0][0].settings
    jobs = [(planned, output.absolute()) for planned, output in jobs]  # before a model changes the working directory
    executor(settings.executor, settings.ray_address)  # raises now rather than after the model's work
    with judges.using(settings.judge):
        return _executed(jobs, settings, progress, say)


def _executed(jobs: Sequence[tuple[Plan, Path]], settings: Settings, progress: Progress, say: Say) -> list[Results]:
    prove_scorers([item for planned, _ in jobs for item in planned.items], settings, progress)
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
        results = [session.finish() for session in sessions]
    if failed := [session.closing[0] for session in sessions if session.closing]:
        raise failed[0]
    return results


@dataclass(frozen=True)
class Session:
    """A model at work in its run directory: the plan of its tasks, the points of a sweep in one group.

    `closing` gets what closing the model raised, which is told once the results are written.
    """

    directory: RunDirectory
    guest: Guest
    groups: list[list[Planned]]
    invalid: list[dict[str, str]]  # of each group: ids of samples whose data is defective, and why
    settings: Settings
    progress: Progress
    closing: list[SpeechEvalError] = field(default_factory=list)

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
        fresh = settings.regenerate or not directory.has_manifest()
        if not fresh:
            check_same_run(directory, model.redacted, planned.items, settings)
            fresh = _mended(directory, model.code, say)
        guest = _loaded(model, settings)
        closing: list[SpeechEvalError] = []
        models.callback(lambda: closing.extend(filter(None, [guest.close()])))
        items = [fetch(item, settings, progress) for item in planned.items]
        for item in items:
            if isinstance(guest.adapter, ChecksSamples) and (note := guest.adapter.check_samples(item.dataset.samples)):
                say(f"{item.task.name}: {note}")
            if item.note:
                say(f"{item.task.name}: {item.note}")
        groups = [item.at_points(guest.adapter, settings.rounds) for item in items]
        invalid = [_defects(group[0], directory, fresh, say, progress) for group in groups]
        info = model.describe(guest.adapter)
        if fresh and directory.has_manifest():
            check_owner(directory, model.redacted, settings)
            forget_answers(directory)
        held = directory.manifest().label if directory.has_manifest() else model.own_name(info)
        label, flat = planned.label or held, [item for group in groups for item in group]
        open_manifest(directory, info, label, flat, settings, type(guest.adapter))
        session = cls(directory, guest, groups, invalid, settings, progress, closing)
        session._tell_failures(say)
        return session

    def _tell_failures(self, say: Say) -> None:
        """Say that failures of an earlier call stay, where they do."""
        names = [item.task.name for group in self.groups for item in group]
        failed = {name: _failed(self.directory, name) for name in names if not self.settings.retry_failed}
        if shown := ", ".join(f"{count} of {name}" for name, count in failed.items() if count):
            say(f"Failed answers of an earlier call are kept: {shown}. --retry-failed asks for them again.")

    def store_samples(self) -> None:
        """Store what each task, or each point of a sweep, asks for, and which samples the model is not asked about."""
        for group, invalid in zip(self.groups, self.invalid, strict=True):
            for name, base in ((item.task.name, item.task.base) for item in group):
                self.directory.replace("samples", name, group[0].dataset.samples)
                seeds = {key: sample_seed(self.settings.seed, base, key) for key in invalid}
                outputs = [
                    Output(id=key, task=name, status="invalid", seed=seeds[key], error=why)
                    for key, why in invalid.items()
                ]
                self.directory.append("outputs", name, outputs)

    def generate(self, group: Sequence[Planned], number: int | None = None, call: str | None = None) -> None:
        """The answers of a task, of all points of a sweep at once, or of one round of one point.

        The event of a round says in which call the answers were asked for: models of one call took turns.
        """
        first = group[0]
        _lend_references(self.guest.adapter, first.dataset)
        start, load_average = perf_counter(), _load_average()
        work = Work(
            directory=self.directory,
            tasks=[item.task for item in group],
            interface=first.interface,
            dataset=first.dataset,
            guest=self.guest,
            seed=self.settings.seed,
            batch_size=self.settings.batch_size,
            retry_failed=self.settings.retry_failed,
            recognizer=first.recognizer,
            round=number or 1,
            progress=self.progress,
        )
        logger.info("generate: %s, %d samples", work.name, len(first.dataset.samples))
        warm_up = first.task.generate.generate(work)
        self.guest.settle()
        timed = {} if number is None else {"round": number, "call": call, "load_average": load_average}
        seconds = round(perf_counter() - start, 3)
        logger.info("generate: %s in %.1f s", work.name, seconds)
        add_event(self.directory, "generated", packages(), task=work.name, seconds=seconds, warm_up=warm_up, **timed)

    def _samples(self) -> dict[str, tuple[Sample, ...]]:
        return {item.task.name: item.dataset.samples for group in self.groups for item in group}

    def finish(self) -> Results:
        """Score what was generated and write the results."""
        results = settled(self.directory)
        if results is None:
            for item in (item for group in self.groups for item in group):
                _score(self.directory, item, self.settings, self.progress)
            results = aggregate(self.directory, self._samples())
            self.directory.write_results(results)
            settle(self.directory, results)
        add_event(self.directory, "finished")
        return results


def _load_average() -> float | None:
    """How many processes wanted this machine in the last minute, ours included; None where it does not say."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def _loaded(model: ResolvedModel, settings: Settings) -> Guest:
    """The model, loaded, or the object that the caller gave."""

    def build() -> Adapter:
        start = perf_counter()
        adapter = model.build()
        logger.info("load: %s in %.1f s", model.redacted, perf_counter() - start)
        return adapter

    return Guest(
        build(),
        name=model.redacted,
        rebuild=None if model.instance else build,
        timeout=settings.timeout,
        secrets=model.spec.secrets,
    )


def _defects(item: Planned, directory: RunDirectory, fresh: bool, say: Say, progress: Progress) -> dict[str, str]:
    """Why samples that were not asked yet are invalid, by id, of a run that goes on or begins (`fresh`)."""
    asked = {} if fresh else directory.statuses(item.task.name)
    found = item.defects(asked, progress)
    if problem := item.lacks_babble(found.keys() | {key for key, held in asked.items() if held == "invalid"}):
        raise BadInput(problem, "Give data with more sound recordings, or --under noise=DB.")
    if found:
        first = next(iter(found.values()))
        say(f"{item.task.name}: {len(found)} of {len(item.dataset)} samples have defective data, not counted: {first}")
    return found


def _failed(directory: RunDirectory, task: str) -> int:
    """The number of samples of a task whose newest answer is a failure."""
    return list(directory.statuses(task).values()).count("failed")


def _mended(directory: RunDirectory, code: Mapping[str, str], say: Say) -> bool:
    """Whether the user's code has changed since the run began and no answer is stored that the old code gave.

    Raises `BadInput` that names the files where there are such answers.
    """
    held = directory.manifest().model.code
    if held == code:
        return False
    files = ", ".join(sorted(name for name in {*held, *code} if held.get(name) != code.get(name)))
    stored = [status for name in directory.manifest().tasks for status in directory.statuses(name).values()]
    if any(status != "failed" for status in stored):
        raise BadInput(
            f"{directory.path}: the model's code has changed since this run began: {files}.",
            "Make every answer anew with --regenerate, or choose another --output.",
        )
    say(f"The model's code has changed ({files}), and every answer of the run had failed: all are made anew.")
    return True


def _lend_references(adapter: Adapter, dataset: Dataset) -> None:
    """Tell an adapter that answers from the references what they are."""
    if isinstance(adapter, ReferenceAware):
        recordings = {sample.id: sample.audio for sample in dataset.samples if sample.audio}
        samples = {sample.id: sample for sample in dataset.samples}
        adapter.bind(samples, lambda key: load(dataset.audio_path(recordings[key])))


# ------------------------------------------------------------------------------------------------ scoring


def _score(
    directory: RunDirectory, item: Planned, settings: Settings, progress: Progress, votes: Votes | None = None
) -> None:
    start = perf_counter()
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
        votes=votes or {},
    )
    seconds = round(perf_counter() - start, 3)
    logger.info("score: %s in %.1f s", item.task.name, seconds)
    add_event(directory, "scored", used, task=item.task.name, seconds=seconds, workers=settings.workers)


def rescore(run: Path | RunDirectory, settings: Settings, progress: Progress = silent) -> Results:
    """Score a run's stored outputs, with the metrics it names or those of `settings`; no model is needed.

    A scoring that was interrupted goes on: outputs without a score get one. Where every output has its scores already,
    all are made again. A judge is asked anew if one is set; without one, the replies that the run stores count. Raises
    `BadInput` where the run names a recognizer or data that only the user may name (see `stored_plan`).
    """
    directory = run if isinstance(run, RunDirectory) else RunDirectory(run)
    with names_of(directory) as manifest, directory.writing(), judges.using(settings.judge):
        items = {name: stored_plan(directory, name, record, settings) for name, record in manifest.tasks.items()}
        prove_scorers(list(items.values()), settings, progress, judges=False)
        for item in items.values():
            if item.needs & {"prompt", "reference"}:
                item.dataset.ensure_audio(progress)
        asked = judges.configured() is not None
        votes = {name: {} if asked else votes_of(directory, item.task, item.metrics) for name, item in items.items()}
        if all(scored(directory, item.task, item.metrics, item.dataset) for item in items.values()):
            for name in items:
                directory.ratings(name)  # raises while nothing is forgotten yet
            for item in items.values():
                forget_scores(directory, item.task, item.metrics)
        tasks = {}
        for name, item in items.items():
            _score(directory, item, settings, progress, votes[name])
            record = manifest.tasks[name]
            merged = list(dict.fromkeys([*record.metrics, *item.metrics]))
            recognizer = None if item.recognizer is None else modelspec.redact(item.recognizer)
            tasks[name] = record.model_copy(update={"metrics": merged, "recognizer": recognizer})
        directory.write_manifest(directory.manifest().model_copy(update={"tasks": tasks}))
        results = _aggregated(directory, {name: item.dataset.samples for name, item in items.items()})
        directory.write_results(results)
        settle(directory, results)
    return results


def rate(directory: RunDirectory, ratings: Mapping[str, Sequence[Rating]]) -> Results:
    """Add what people said of a run's outputs, by task, and score it; nothing else is scored. Ratings that the run
    holds already are not added again."""
    with names_of(directory) as manifest, directory.writing():
        tasks = dict(manifest.tasks)
        for name, given in ratings.items():
            held = {rating.line() for rating in directory.ratings(name)}
            directory.append("ratings", name, [rating for rating in given if rating.line() not in held])
            metrics = tuple(sorted({r.metric for r in directory.ratings(name) if r.value is not None} & listeners.IDS))
            if not metrics:
                continue
            settings = Settings(metrics=metrics)
            item = stored_plan(directory, name, tasks[name], settings)
            forget_scores(directory, item.task, metrics)
            _score(directory, item, settings, silent)
            merged = list(dict.fromkeys([*tasks[name].metrics, *metrics]))
            tasks[name] = tasks[name].model_copy(update={"metrics": merged})
        directory.write_manifest(directory.manifest().model_copy(update={"tasks": tasks}))
        results = _aggregated(directory)
        directory.write_results(results)
    return results


def report(path: Path) -> Results:
    """Write `results.json` again from the stored scores, where it says something else. Otherwise nothing is written, so
    that a run on a read-only disk can be reported."""
    directory = RunDirectory(path)
    with names_of(directory):
        results = settled(directory) or _aggregated(directory)
        if not directory.states(results):
            with directory.writing():
                directory.write_results(results)
    return results


_aggregated = charged_to_runs(aggregate)

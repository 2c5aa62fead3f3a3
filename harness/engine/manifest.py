"""What a run's manifest says: written when a run begins and as it goes on, read to find its tasks again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import speech_eval
from speech_eval import datasets
from speech_eval.adapters.base import Adapter
from speech_eval.cache import file_sha256
from speech_eval.engine.plan import Planned
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.engine.run_files import brief
from speech_eval.engine.settings import Settings
from speech_eval.engine.task import TASKS, Task
from speech_eval.environment import environment
from speech_eval.errors import BadInput, UnknownName
from speech_eval.records import Event, Manifest, ModelInfo, PluginRecord, TaskRecord
from speech_eval.registry import plugin_file
from speech_eval.signal import conditions

_REMEDY = "Choose another --output."


def check_same_run(directory: RunDirectory, spec: str, planned: Sequence[Planned], settings: Settings) -> None:
    """A run directory belongs to one model and seed, and each of its tasks to one dataset and limit.

    `spec` is the redacted model spec. Raises `BadInput` where one of them differs.
    """
    check_owner(directory, spec, settings)
    manifest = directory.manifest()
    for item in planned:
        record = record_of(item.task.name, manifest.tasks)
        if record is None or record.dataset.name == datasets.fallback(item.dataset.info.name):
            continue
        rounds = settings.rounds if item.task.generate.in_rounds else 1
        for key, held, asked in (
            ("version", record.version, item.task.version),
            ("limit", record.limit, item.limit(settings)),
            ("rounds", record.conditions.get("rounds", 1), rounds),
        ):
            if held != asked:
                raise BadInput(
                    f"{directory.path}: task '{item.task.name}' was run with {key} {held}, not {asked}.", _REMEDY
                )
        if record.dataset.sha256 != item.dataset.sha256:
            raise BadInput(f"{directory.path}: the data of task '{item.task.name}' has changed since.", _REMEDY)


def check_owner(directory: RunDirectory, spec: str, settings: Settings) -> None:
    """Raise `BadInput` where the run directory belongs to another model or seed."""
    manifest = directory.manifest()
    if manifest.model.spec != spec:
        raise BadInput(f"{directory.path} holds a run of '{manifest.model.spec}', not of '{spec}'.", _REMEDY)
    if manifest.seed != settings.seed:
        raise BadInput(f"{directory.path} holds a run with seed {manifest.seed}, not {settings.seed}.", _REMEDY)


def forget_answers(directory: RunDirectory) -> None:
    """Drop the answers of all tasks, and what was made of them, before they are made anew."""
    manifest = directory.manifest()
    for name in manifest.tasks:
        directory.forget(name)
    directory.write_manifest(manifest.model_copy(update={"tasks": {}}))
    add_event(directory, "regenerated", tasks=list(manifest.tasks))


def open_manifest(
    directory: RunDirectory,
    info: ModelInfo,
    label: str,
    planned: Sequence[Planned],
    settings: Settings,
    adapter: type[Adapter],
) -> None:
    """Write the manifest of a run that begins, or add to that of a run that goes on, which then takes the `label`."""
    tasks = {item.task.name: item.record(settings) for item in planned}
    files = dict.fromkeys([*settings.plugins, *filter(None, [plugin_file(adapter)])])
    plugins = [PluginRecord(path=path, sha256=file_sha256(Path(path))) for path in files]
    now = environment()
    events: list[Event] = []
    if directory.has_manifest():
        before = directory.manifest()
        held = before.model
        if before.tasks and (held.revision, held.weights_sha256) != (info.revision, info.weights_sha256):
            raise BadInput(
                f"{directory.path}: the weights of '{info.spec}' have changed since this run began.",
                "Make every answer anew with --regenerate, or choose another --output for the new weights.",
            )
        tasks = {**before.tasks, **tasks}
        events = before.events
        plugins = [*(held for held in before.plugins if held.path not in files), *plugins]
        now = now.model_copy(update={"packages": {**before.environment.packages, **now.packages}})
    manifest = Manifest(
        harness_version=speech_eval.__version__,
        label=label,
        model=info,
        seed=settings.seed,
        tasks=tasks,
        environment=now,
        plugins=plugins,
        events=events,
    )
    directory.write_manifest(manifest)
    add_event(directory, "started", tasks=[item.task.name for item in planned], workers=settings.workers)


def add_event(directory: RunDirectory, event: str, packages: Mapping[str, str] | None = None, **detail: Any) -> None:
    """Record that something happened now, with the packages that it had loaded."""
    manifest = directory.manifest()
    at = datetime.now(UTC).isoformat(timespec="seconds")
    update: dict[str, Any] = {"events": [*manifest.events, Event.model_validate({"event": event, "at": at, **detail})]}
    if packages:
        known = {**manifest.environment.packages, **packages}
        update["environment"] = manifest.environment.model_copy(update={"packages": dict(sorted(known.items()))})
    directory.write_manifest(manifest.model_copy(update=update))


def record_of(name: str, records: Mapping[str, TaskRecord]) -> TaskRecord | None:
    """The record of a task, or of the first point of its sweep; None where it was not run."""
    return records.get(name) or next(
        (record for name_, record in records.items() if record.task_name(name_) == name), None
    )


def recorded(name: str, record: TaskRecord) -> Task:
    """The task behind a record, at its point if it is one of a sweep's. Raises `UnknownName` for a task or condition
    that does not exist here."""
    task = TASKS.get(record.task_name(name))().asked(record.ask)
    if record.under:
        try:
            return task.under(conditions.parse(record.under))
        except BadInput as error:
            raise UnknownName(error.problem, "Make the run again with `speech-eval run`.") from error
    return task.at(record.sweep.count) if record.sweep else task


@contextmanager
def names_of(directory: RunDirectory) -> Iterator[Manifest]:
    """A run's manifest, for work that looks up the names of its tasks and metrics.

    Where a name is not registered, the error names the run, and the plug-ins that it was made with. They are the user's
    to give again: what a run says never loads code.
    """
    manifest = directory.manifest()
    try:
        yield manifest
    except UnknownName as error:
        if not manifest.plugins:
            raise UnknownName(f"{directory.origin}: {brief(error.problem)}", error.remedy) from error
        paths = [plugin.path for plugin in manifest.plugins]
        raise UnknownName(
            f"{error.problem} {directory.origin} was made with the plug-in {', '.join(paths)}.",
            f"If you trust it, add {' '.join(f'--plugin {path}' for path in paths)}.",
        ) from error

"""`evaluate`: models on tasks. What `speech-eval run` does, for notebooks and scripts."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import chain, count
from os import PathLike
from pathlib import Path
from typing import Any, TypedDict, Unpack, get_args

from speech_eval.adapters.base import Adapter
from speech_eval.adapters.spec import ResolvedModel, resolve
from speech_eval.api.dry_run import Need, hub_offline, need_of
from speech_eval.api.run import Run
from speech_eval.engine import session
from speech_eval.engine.plan import Plan
from speech_eval.engine.plan import plan as plan_tasks
from speech_eval.engine.run_directory import RunDirectory, safe_name
from speech_eval.engine.settings import Settings
from speech_eval.engine.task import TASKS, Task, named
from speech_eval.errors import BadInput
from speech_eval.progress import Progress, Say, drawn, labeled, silent
from speech_eval.records import Ask
from speech_eval.registry import load_plugins
from speech_eval.signal.conditions import parse

logger = logging.getLogger(__name__)
PathLike_ = str | PathLike[str]
Model = str | Adapter
Tasks = str | Task | Iterable[str | Task]
MODEL_OPTIONS = ("device", "dtype")  # options that the model's constructor gets


class Options(TypedDict, total=False):
    """The options of `evaluate`, by the names of the command's: see there."""

    limit: int | float | None
    seed: int
    rounds: int
    batch_size: int | None
    data: PathLike_ | None
    language: str | None
    metrics: str | Iterable[str] | None
    recognizer: str | None
    judge: str | None
    ask: str | Iterable[str] | None
    under: str | Iterable[str] | None
    device: str | None
    dtype: str | None
    workers: int | None
    executor: str
    ray_address: str | None
    retry_failed: bool
    regenerate: bool
    timeout: float | None
    trust_remote_code: bool
    plugin: Iterable[PathLike_]


def evaluate(
    model: Model,
    tasks: Tasks,
    *,
    output: PathLike_ | None = None,
    label: str | None = None,
    limit: int | float | None = None,
    seed: int = 0,
    rounds: int = 1,
    batch_size: int | None = None,
    data: PathLike_ | None = None,
    language: str | None = None,
    metrics: str | Iterable[str] | None = None,
    recognizer: str | None = None,
    judge: str | None = None,
    ask: str | Iterable[str] | None = None,
    under: str | Iterable[str] | None = None,
    device: str | None = None,
    dtype: str | None = None,
    workers: int | None = None,
    executor: str = "local",
    ray_address: str | None = None,
    retry_failed: bool = False,
    regenerate: bool = False,
    timeout: float | None = None,
    trust_remote_code: bool = False,
    plugin: Iterable[PathLike_] = (),
    progress: bool | Progress = False,
) -> Run:
    """Evaluate one model on tasks and return the run. A run that was stopped continues where it stopped.

    model       model spec, or an adapter object: an instance of one of the five interfaces
    tasks       names, groups or patterns (`"asr,latency"`, `"asr*"`), `Task` objects, or a list of both
    output      run directory. Default: `runs/MODEL`, or `runs/LABEL`; for an adapter object a new directory each time,
                since nothing tells whether the object still is the same
    label       what tables call the run. Default: the name of the model
    limit       evaluate a fixed subset: a number of samples, or a fraction of the dataset between 0 and 1
    seed        seed of the run; every sample derives its own
    rounds      how often timed tasks ask for each sample
    batch_size  requests the model gets at once
    data        name or path of a dataset instead of the tasks' own
    language    language of the samples that state none: a BCP 47 tag, ISO 639 code or English name
    metrics     metric ids instead of the tasks' own
    recognizer  model spec of the recognizer that transcribes speech outputs
    ask         how conversation models are asked: any of `speech`, `text`, `transcript` (default: `speech`)
    under       conditions of the recordings that models are given: `clean`, `babble=10`, `room=0.6+opus=6`, …; each is
                a result of its own (default: `clean`)
    judge       the judge that metrics ask: `openai:URL#MODEL`, `stored:MODEL`, or a language model of text
    device, dtype      options of the model, for adapters that have them
    workers     scoring processes; default: the number of cores, at most 4
    executor, ray_address   where scoring runs: `local`, or `ray` and the address of its cluster
    retry_failed       ask again for samples that failed before
    regenerate         drop the answers in `output` and make every one anew, for a model that has changed
    timeout            seconds that the model has for one sample; default: the task's, mostly 600
    trust_remote_code  let a checkpoint run its own code
    plugin      Python files that register tasks, metrics or models
    progress    True draws bars; or a function `progress(description, done, total)`

    Samples that fail are counted in the results and raise nothing. Raises `BadInput` where no task fits the model,
    where `output` holds a run of another model, seed or data, and for a wrong option; `UnknownName` for a name.
    """
    return evaluate_all(
        [model],
        tasks,
        output=output,
        labels=() if label is None else [label],
        progress=progress,
        limit=limit,
        seed=seed,
        rounds=rounds,
        batch_size=batch_size,
        data=data,
        language=language,
        metrics=metrics,
        recognizer=recognizer,
        judge=judge,
        ask=ask,
        under=under,
        device=device,
        dtype=dtype,
        workers=workers,
        executor=executor,
        ray_address=ray_address,
        retry_failed=retry_failed,
        regenerate=regenerate,
        timeout=timeout,
        trust_remote_code=trust_remote_code,
        plugin=plugin,
    )[0]


def evaluate_all(
    models: Iterable[Model],
    tasks: Tasks,
    *,
    output: PathLike_ | None = None,
    labels: Iterable[str] = (),
    progress: bool | Progress = False,
    **options: Unpack[Options],
) -> list[Run]:
    """`evaluate` for several models: one run per model in the folder `output` (default: `runs`), which for a single
    model is the run directory itself. `labels` are those of the models, in their order.

    Each model does the tasks that fit it. With `rounds` above 1 the models are in memory together and take turns.
    """
    with drawn(progress) as shown:
        return execute(plan(models, tasks, output=output, labels=labels, **options), shown)


@dataclass(frozen=True)
class Job:
    """What one model will do in one run directory."""

    plan: Plan
    output: Path

    @property
    def model(self) -> str:
        """The model spec without credentials."""
        return self.plan.model.redacted

    def to_dict(self) -> dict[str, Any]:
        """As plain data: the model, its run directory, and per task the dataset, the metrics and the conditions."""
        records = {item.task.name: item.record(self.plan.settings) for item in self.plan.items}
        return {
            "model": self.model,
            "output": str(self.output),
            "tasks": [{"task": name, **record.model_dump(mode="json")} for name, record in records.items()],
            "needs": [need.to_dict() for need in self.needs()],
            "skipped": self.plan.skipped,
        }

    def needs(self) -> list[Need]:
        """What each task takes: answers that are stored already, bytes to fetch, and roughly the time."""
        return [need_of(item, self.plan, self.output) for item in self.plan.items]

    def lines(self) -> list[str]:
        """One line per task."""
        return [
            f"{self.model}: {item.task.name} on {item.dataset.info.name} "
            f"({len(item.dataset.samples)} samples), {', '.join(item.metrics)}{need.words()} -> {self.output}"
            for item, need in zip(self.plan.items, self.needs(), strict=True)
        ]


def plan(
    models: Iterable[Model],
    tasks: Tasks,
    *,
    output: PathLike_ | None = None,
    labels: Iterable[str] = (),
    offline: bool = False,
    **options: Unpack[Options],
) -> list[Job]:
    """What `evaluate_all` would do, without loading a model. Each task must fit a model, and each model a task.

    `offline` contacts nothing: a dataset or checkpoint that is not on this machine is then an error.
    """
    with hub_offline() if offline else nullcontext():
        return _planned(models, tasks, output, labels, replace(settings_of(**options), offline=offline), options)


def _planned(
    models: Iterable[Model],
    tasks: Tasks,
    output: PathLike_ | None,
    labels: Iterable[str],
    settings: Settings,
    options: Options,
) -> list[Job]:
    asked = _asked(tasks)
    names = [name for members in asked.values() for name in members]
    chosen, named = list(dict.fromkeys(models)), list(labels)
    if named and len(named) != len(chosen):
        raise BadInput(f"{len(named)} labels are given for {len(chosen)} models.", "Give one --label per --model.")
    plans = [
        replace(plan_tasks(_resolved(model, options), names, settings), label=label)
        for model, label in zip(chosen, named or [""] * len(chosen), strict=True)
    ]
    for made in plans:
        if not made.items:
            raise BadInput(f"No task fits the model: {'; '.join(made.skipped)}.", "See: speech-eval list tasks")
    covered = {item.task.base for made in plans for item in made.items}
    if orphans := [pattern for pattern, members in asked.items() if covered.isdisjoint(members)]:
        raise BadInput(f"No model given can do: {', '.join(orphans)}.", "Leave the task out or add a model for it.")
    jobs = [Job(made, _folder(made, output, alone=len(plans) == 1)) for made in plans]
    if len({job.output for job in jobs}) != len(jobs):
        raise BadInput("Two models would share a run directory.", "Give each model its own --label.")
    for job in jobs:
        _refuse_nesting(job.output)
    return jobs


def execute(jobs: Sequence[Job], progress: Progress = silent, say: Say = logger.warning) -> list[Run]:
    """Run planned jobs: one model after the other, or in turns where timed tasks have several rounds."""
    pairs = [(job.plan, job.output.absolute()) for job in jobs]  # before a model changes the working directory
    if jobs[0].plan.settings.rounds > 1:
        session.execute(pairs, progress, say)
    else:
        for job, pair in zip(jobs, pairs, strict=True):
            session.execute([pair], progress if len(jobs) == 1 else labeled(progress, job.model), say)
    return [Run(output) for _, output in pairs]


def settings_of(**options: Unpack[Options]) -> Settings:
    """The engine's settings of these options. Loads the plug-ins."""
    given: dict[str, Any] = {k: v for k, v in options.items() if v is not None and k not in MODEL_OPTIONS}
    given["plugins"] = load_plugins(given.pop("plugin", ()))
    given["metrics"] = listed(given.get("metrics"))
    given["ask"] = listed(given.get("ask"))
    if unknown := [way for way in given["ask"] if way not in get_args(Ask)]:
        raise BadInput(f"Nothing can be asked as '{unknown[0]}'.", f"Use {', '.join(get_args(Ask))}.")
    given["under"] = tuple(dict.fromkeys(str(parse(text)) for text in listed(given.get("under"))))
    if "data" in given:
        given["data"] = str(given["data"])
    return Settings(**given)


def listed(names: str | Iterable[str] | None) -> tuple[str, ...]:
    """Names from a text with commas or from a sequence, each once."""
    parts = names.split(",") if isinstance(names, str) else names or ()
    return tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))


def _asked(tasks: Tasks) -> dict[str, list[str]]:
    """Each name, group or pattern with the names of its tasks. A `Task` object is registered for this process."""
    given = [tasks] if isinstance(tasks, str | Task) else list(tasks)
    patterns = [name for item in given for name in ([_registered(item)] if isinstance(item, Task) else listed(item))]
    if not patterns:
        raise BadInput("No task is named.", "See: speech-eval list tasks")
    return {pattern: named([pattern]) for pattern in patterns}


def _registered(task: Task) -> str:
    """Register a task object for this process, so that `score` finds it again; a later one replaces it."""
    held = TASKS.get(task.name) if task.name in TASKS else None
    if held is None or isinstance(held, _Given):
        TASKS.replace(task.name, _Given(task))
    elif held() != task:
        raise BadInput(f"Another task is registered as '{task.name}'.", "Give your task another name.")
    return task.name


@dataclass(frozen=True)
class _Given:
    """The entry in the registry of a task that was given as an object."""

    task: Task

    def __call__(self) -> Task:
        return self.task


def _resolved(model: Model, options: Options) -> ResolvedModel:
    """The model with `device` and `dtype` added to its spec where that does not set them itself."""
    trust = options.get("trust_remote_code", False)
    found = resolve(model, trust_remote_code=trust)
    given = {name: options.get(name) for name in MODEL_OPTIONS}
    added = {k: v for k, v in given.items() if v is not None and k not in found.spec.options}
    for name in added:
        if found.instance is not None or name not in inspect.signature(found.adapter_class).parameters:
            raise BadInput(
                f"The model '{found.redacted}' has no option '{name}'.",
                f"Leave out --{name}, or set it in the constructor of {found.adapter_class.__name__}.",
            )
    if not added:
        return found
    text = ",".join([found.spec.text, *(f"{name}={value}" for name, value in added.items())])
    return resolve(text, trust_remote_code=trust)


def _folder(made: Plan, output: PathLike_ | None, *, alone: bool) -> Path:
    """The run directory of a model: `output` itself for a single one, else a folder in it.

    Without `output`, an adapter object gets a folder that does not exist yet.
    """
    if output is not None and alone:
        return Path(output)
    folder = Path(output or "runs") / (safe_name(made.label) if made.label else made.model.slug)
    if made.model.instance is None or output is not None:
        return folder
    numbered = (folder.with_name(f"{folder.name}-{number}") for number in count(2))
    return next(path for path in chain([folder], numbered) if not path.exists())


def _refuse_nesting(folder: Path) -> None:
    """Raise `BadInput` for a run directory inside another run, or around one."""
    absolute = folder.absolute()
    outer = next((path for path in absolute.parents if _is_run(path)), None)
    if outer is not None:
        raise BadInput(
            f"{folder} lies inside the run {outer}.",
            "Choose an --output outside: with one model it is the run directory, with several the folder around them.",
        )
    inner = next((path for path in _subfolders(absolute) if _is_run(path)), None) if not _is_run(absolute) else None
    if inner is not None:
        raise BadInput(
            f"{folder} is a folder of runs; it holds {inner.name}.",
            f"With one model --output is the run directory: choose {folder / 'NAME'}.",
        )


def _is_run(path: Path) -> bool:
    return RunDirectory(path).has_manifest() and (path / "samples").is_dir()


def _subfolders(path: Path) -> list[Path]:
    return sorted(inside for inside in path.iterdir() if inside.is_dir()) if path.is_dir() else []

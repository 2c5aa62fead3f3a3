"""Proof, before the first answer is generated, that everything that will score is available on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from speech_eval import registry
from speech_eval.adapters import spec as modelspec
from speech_eval.assets import store as assets
from speech_eval.engine.executors import executor, run_processes
from speech_eval.engine.plan import Planned
from speech_eval.engine.score import loaded_recognizer
from speech_eval.engine.settings import Settings
from speech_eval.errors import BadInput
from speech_eval.metrics.base import Metric
from speech_eval.metrics.catalog import METRICS
from speech_eval.progress import Progress

_WRITES = "SpeechRecognizer"  # the interface whose answers are text, which needs no recognizer
_MAY_WRITE = "AudioLanguageModel"


def prove_scorers(items: Sequence[Planned], settings: Settings, progress: Progress, *, judges: bool = True) -> None:
    """Fetch the weights of the metrics, load each recognizer once in a process of its own, and reach the `judges`,
    which a stored run may do without.

    Raises what would otherwise stop the scoring after all answers are made: `NotFetched`, `MissingExtra`, `BadInput`
    for a recognizer that does not load and for a task that needs one and names none, `EndpointError` for a judge.
    """
    for name in dict.fromkeys(name for item in items for name in item.metrics):
        metric: type[Metric] = METRICS.get(name)
        for asset in metric.assets:
            assets.ensure(asset, progress)
        if judges:
            metric.reachable()
    for item in items:
        if hears(item) and item.recognizer is None and item.interface != _MAY_WRITE:
            raise BadInput(
                f"Task '{item.task.name}' scores speech by text and names no recognizer.", "Give --recognizer."
            )
    for spec in dict.fromkeys(item.recognizer for item in items if hears(item) and item.recognizer is not None):
        progress(f"{modelspec.redact(spec)}: load once", 0, 1)
        _prove(spec, settings.plugins, settings.executor, settings.ray_address)
        progress(f"{modelspec.redact(spec)}: load once", 1, 1)


def hears(item: Planned) -> bool:
    """Whether a recognizer has to transcribe the answers of a task."""
    return item.interface != _WRITES and bool(item.needs & {"hypothesis", "original-hypothesis"})


@dataclass(frozen=True)
class _Job:
    recognizer: str
    plugins: tuple[str, ...]


@lru_cache(maxsize=32)
def _prove(spec: str, plugins: tuple[str, ...], executor_name: str, address: str | None) -> None:
    run = executor(executor_name, address) or run_processes
    for _ in run(_load, [_Job(spec, plugins)], 1):
        pass


def _load(job: _Job) -> str:
    for plugin in job.plugins:
        registry.load_file(plugin)
    return loaded_recognizer(job.recognizer)[1]

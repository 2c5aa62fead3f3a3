"""What a planned run takes, told without contacting anything or loading a model."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from speech_eval.adapters import spec as modelspec
from speech_eval.adapters.catalog import MODELS
from speech_eval.adapters.checkpoints import ASSET
from speech_eval.assets import store as assets
from speech_eval.engine.plan import HEARS, Plan, Planned
from speech_eval.engine.readiness import hears
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.metrics.catalog import METRICS

_HUB, _WEIGHTS = "hf:", (".safetensors", ".bin", ".pt", ".pth")


@dataclass(frozen=True)
class Need:
    """What a task takes. `stored` of `samples` answers are there; `fetch_bytes` of pinned weights and recordings are
    not; nor are weights of the `repositories` of the hub, whose size only the hub knows; `recognizer` will transcribe
    the answers; `seconds` of the model's time are left at the pace of the stored answers, None where none is stored."""

    samples: int
    stored: int
    fetch_bytes: int
    repositories: tuple[str, ...]
    recognizer: str | None
    seconds: float | None

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)

    def words(self) -> str:
        """`; heard by whisper-base; fetches 290 MB; 12 of 40 answers stored, about 3 min left`."""
        parts = [f"heard by {self.recognizer}"] if self.recognizer else []
        parts += [f"fetches {self.fetch_bytes / 1e6:.0f} MB"] if self.fetch_bytes else []
        parts += [f"fetches {name} from the hub, size unknown" for name in self.repositories]
        left = "" if self.seconds is None else f", about {self.seconds / 60:.0f} min of the model left"
        parts += [f"{self.stored} of {self.samples} answers stored{left}"] if self.stored else []
        return "".join(f"; {part}" for part in parts)


def need_of(item: Planned, plan: Plan, output: Path) -> Need:
    """What one planned task takes."""
    outputs = RunDirectory(output).outputs(item.task.name) if RunDirectory(output).has_manifest() else {}
    stored = [outputs[sample.id] for sample in item.dataset.samples if sample.id in outputs]
    times = [answer.seconds for answer in stored if answer.seconds is not None]
    left = len(item.dataset.samples) - len(stored)
    recognizer = item.recognizer if hears(item) else None
    return Need(
        samples=len(item.dataset.samples),
        stored=len(stored),
        fetch_bytes=sum(assets.ASSETS[name].bytes() for name in _assets(item, plan, recognizer) if _missing(name)),
        repositories=tuple(name for name in _repositories(item, plan, recognizer) if not _kept(name)),
        recognizer=None if recognizer is None else modelspec.redact(recognizer),
        seconds=left * float(np.median(times)) if times and left else None,
    )


def _assets(item: Planned, plan: Plan, recognizer: str | None) -> set[str]:
    """Names of the pinned files that a task reads."""
    names = {asset for metric in item.metrics for asset in METRICS.get(metric).assets}
    reads = plan.model.adapter_class.reads_audio or item.interface in HEARS
    if (reads and any(sample.audio for sample in item.dataset.samples)) or item.needs & {"prompt", "reference"}:
        names |= item.dataset.weights()
    for target in (plan.model.spec.target, modelspec.parse(recognizer).target if recognizer else ""):
        path = str(MODELS.get(target).arguments.get("path", "")) if target in MODELS else ""
        names |= {path.removeprefix(ASSET)} if path.startswith(ASSET) else set()
    return names & set(assets.ASSETS)


def _repositories(item: Planned, plan: Plan, recognizer: str | None) -> list[str]:
    """Repositories of the hub that a task's model, recognizer and metrics take weights from, each once."""
    targets = [plan.model.spec.target, *([modelspec.parse(recognizer).target] if recognizer else [])]
    named = [target.removeprefix(_HUB).partition("@")[0] for target in targets if target.startswith(_HUB)]
    return [*dict.fromkeys((*named, *filter(None, (METRICS.get(metric).repository() for metric in item.metrics))))]


def _kept(repository: str) -> bool:
    """Whether the hub's cache on this machine has weights of a repository."""
    try:
        from huggingface_hub import constants
    except ModuleNotFoundError:
        return False
    folder = Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}" / "snapshots"
    return any(file.suffix in _WEIGHTS for file in folder.rglob("*"))


def _missing(name: str) -> bool:
    return not assets.is_present(name)


@contextmanager
def hub_offline() -> Iterator[None]:
    """Keep the libraries of the hub from connecting while the block runs."""
    name = "HF_HUB_OFFLINE"
    before, constants = os.environ.get(name), sys.modules.get("huggingface_hub.constants")
    loaded = getattr(constants, name, None)
    os.environ[name] = "1"
    if constants is not None:
        setattr(constants, name, True)
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
        constants = sys.modules.get("huggingface_hub.constants")
        if constants is not None:
            setattr(constants, name, before == "1" if loaded is None else loaded)

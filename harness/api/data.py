"""Datasets and weights: fetch them, check them, prepare speech to train on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speech_eval import datasets
from speech_eval.api.evaluate import PathLike_, listed
from speech_eval.assets import store as assets
from speech_eval.engine.requirements import check
from speech_eval.engine.task import TASKS
from speech_eval.progress import Progress, drawn
from speech_eval.registry import load_attr


def fetch_data(names: str | Iterable[str], *, progress: bool | Progress = False) -> dict[str, str]:
    """Fetch datasets and weights by name; `all` fetches every bundled dataset and all weights.

    Bundled ones are pinned by version and sha256, others come from the dataset hub. Returns the folder of each asset,
    `ready` for each dataset.
    """
    wanted = [*datasets.bundled(), *assets.ASSETS] if names == "all" else listed(names)
    with drawn(progress) as shown:
        return {name: _fetched(name, shown) for name in wanted}


def _fetched(name: str, progress: Progress) -> str:
    if name in assets.ASSETS:
        return str(assets.ensure(name, progress))
    datasets.fetch(name, progress)
    datasets.load_dataset(name).ensure_audio(progress)
    return "ready"


def check_data(name: PathLike_, task: str | None = None, *, language: str | None = None) -> list[str]:
    """The problems of a dataset (name, manifest or folder), one line each; empty where every file is usable.

    A file must be present, have its sha256, be readable, and be finite and not silent. With the name of a `task`, the
    data must have what the task needs, too. `language` is that of the samples that state none.
    """
    return inspect_data(name, task, language=language).problems


@dataclass(frozen=True)
class DataReport:
    """What `data check` finds: `problems`, and `notes` on what the data was taken for and what a task leaves out."""

    dataset: datasets.Dataset
    problems: list[str]
    notes: list[str]


def inspect_data(name: PathLike_, task: str | None = None, *, language: str | None = None) -> DataReport:
    """Problems and notes of a dataset, by itself and for a task."""
    wanted = TASKS.get(task)() if task else None
    named = next(iter(wanted.variants.values())).dataset if wanted else ""
    dataset = datasets.load_dataset(str(name), named, language=language)
    problems, notes = datasets.check(dataset), datasets.remarks(dataset)
    for_task = check(wanted, dataset) if wanted else ([], [])
    return DataReport(dataset, problems + for_task[0], notes + for_task[1])


_PREPARE = "speech_eval.reference_models.data.prepare"


def prepare_data(
    output: PathLike_,
    sources: str | Iterable[str] | None = None,
    *,
    held_out: str | None = None,
    limit: int | None = None,
    synthetic: bool = False,
    progress: bool | Progress = False,
) -> dict[str, Any]:
    """Write recorded human speech as an AudioFolder to train on, with a speaker and utterances held out.

    output     folder to write: audio, `metadata.jsonl`, manifests of what is held out
    sources    names of sources; default: all recorded speech
    held_out   source whose speaker is held out whole; default: `asterisk-it`
    limit      recordings per source, always the same ones
    synthetic  add English by hibari, labeled synthetic

    Returns the `splits` with their hours and clips, the `licenses`, and the recordings `left_out` with the reason.
    Raises `BadInput` for a source that does not exist, or where `output` was prepared from other sources.
    """
    names = listed(sources) or load_attr(f"{_PREPARE}:SOURCES")
    extra = [load_attr(f"{_PREPARE}:SYNTHETIC")] if synthetic else []
    with drawn(progress) as shown:
        found: dict[str, Any] = load_attr(f"{_PREPARE}:prepare")(
            Path(output), (*names, *extra), held_out or load_attr(f"{_PREPARE}:HELD_OUT_SOURCE"), limit, shown
        )
    return found

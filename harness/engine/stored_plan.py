"""The plan of a stored run: its tasks, data and scorers found again without trusting what the run says.

A run may come from a stranger. What it names selects among what is installed here; all else is the user's to name.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

from speech_eval import datasets
from speech_eval.adapters import spec as modelspec
from speech_eval.adapters.catalog import MODELS
from speech_eval.datasets.dataset import Dataset
from speech_eval.engine.manifest import recorded
from speech_eval.engine.plan import Planned
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.engine.run_files import brief
from speech_eval.engine.settings import Settings
from speech_eval.errors import BadInput, SpeechEvalError
from speech_eval.metrics.catalog import present_name
from speech_eval.records import DatasetInfo, Sample, TaskRecord

_FILES = frozenset({"prompt", "reference"})  # needs of a metric that are files of the dataset
_WORDS = frozenset({"compute_type", "device", "dtype", "language", "task"})  # options whose value may be a word
_CODE = frozenset({"trust_remote_code"})


def stored_plan(directory: RunDirectory, name: str, record: TaskRecord, settings: Settings) -> Planned:
    """The plan of a task whose outputs are stored already, with the scorers and data of `settings` or of the run.

    Raises `UnknownName` for a task or metric that is not registered, `BadInput` for a recognizer or data that only the
    user may name.
    """
    item = Planned(
        task=recorded(name, record),
        interface=record.interface,
        dataset=_samples_only(directory, name, record),
        metrics=tuple(map(present_name, settings.metrics)) or tuple(record.metrics),
        recognizer=None,
    )
    if "hypothesis" in item.needs or "original-hypothesis" in item.needs:
        item = replace(item, recognizer=settings.recognizer or _local(directory, record.recognizer))
    else:
        item = replace(item, recognizer=settings.recognizer or record.recognizer)
    if item.needs & _FILES:
        item = replace(item, dataset=_dataset(directory, item.dataset, record, settings))
    return item


def is_local(recognizer: str) -> bool:
    """Whether a model spec names a recognizer of this installation, with nothing that it would fetch, open or execute.

    That is a name of the catalog whose weights are bundled or pinned, with numbers, switches and plain words as
    options: no file, folder, URL, hub id or remote code.
    """
    try:
        spec = modelspec.parse(recognizer)
        if spec.target not in MODELS:
            return False
        entry = MODELS.get(spec.target)
    except SpeechEvalError:
        return False
    pinned = not isinstance(entry.arguments.get("path"), str) or str(entry.arguments["path"]).startswith("asset:")
    return not entry.scheme and pinned and all(_plain(key, value) for key, value in spec.options.items())


def _plain(key: str, value: object) -> bool:
    if isinstance(value, str):
        return key in _WORDS and re.fullmatch(r"[A-Za-z0-9_-]{1,20}", value) is not None
    return key not in _CODE


def _local(directory: RunDirectory, recognizer: str | None) -> str | None:
    """The recognizer that the run names, if it is local."""
    if recognizer is None or is_local(recognizer):
        return recognizer
    shown = brief(modelspec.redact(recognizer))
    raise BadInput(
        f"{directory.origin}: the run names the recognizer '{shown}', which is not one that is installed here by name. "
        "It is not used: a run may come from a stranger.",
        f"If you trust it, name it yourself: --recognizer '{shown}'. Others: speech-eval list models",
    )


def _samples_only(directory: RunDirectory, name: str, record: TaskRecord) -> Dataset:
    """The samples that the run stores, without the files of the dataset."""
    about = record.dataset
    info = DatasetInfo(
        name=about.name, version=about.version, description="", languages=[], license=about.license, source=about.source
    )
    return replace(Dataset.of(info, directory.samples(name)), sha256=about.sha256)


def _dataset(directory: RunDirectory, stored: Dataset, record: TaskRecord, settings: Settings) -> Dataset:
    """The stored samples with the files of their dataset: the user's, one of the catalog, or the one that the run names
    if it has the same samples, so that a run cannot make anything of files that its author did not know."""
    if settings.data is not None:
        return replace(datasets.load_dataset(settings.data), samples=stored.samples)
    location = record.dataset.location
    if not location:
        raise BadInput(f"{directory.origin}: the run does not say where its recordings are.", "Give them with --data.")
    registered = datasets.registered(location)
    if not registered:
        _refuse_large(directory, Path(location), len(stored.samples))
    found = _loaded(directory, location)
    if not registered:
        known = {sample.id: sample for sample in found.samples}
        if any(_as_asked(known.get(sample.item or sample.id), sample) != sample for sample in stored.samples):
            raise BadInput(
                f"{directory.origin}: the data at '{brief(location)}' are not those that the run was made with.",
                "If you want them used all the same, name them yourself with --data.",
            )
    return replace(found, samples=stored.samples)


def _refuse_large(directory: RunDirectory, path: Path, samples: int) -> None:
    """Raise `BadInput` for a folder with far more files than the run has samples, such as `/`: loading it would search
    them all."""
    most, found = 10_000 + 20 * samples, 0
    for _, folders, files in os.walk(path):
        found += len(folders) + len(files)
        if found > most:
            raise BadInput(
                f"{directory.origin}: the data at '{brief(str(path))}' are a folder of more than {most} files, for "
                f"{samples} samples. They are not searched: a run may come from a stranger.",
                "If you want them used all the same, name them yourself with --data.",
            )


def _loaded(directory: RunDirectory, location: str) -> Dataset:
    """The dataset at a place that the run names. Raises `BadInput` for whatever it is instead."""
    place = f"{directory.origin}: the data at '{brief(location)}'"
    remedy = "Name the data yourself with --data."
    try:
        path = Path(location)
        if path.is_file() and path.stat().st_size == 0:  # also what the system makes up, such as /proc/kmsg
            raise BadInput(f"{place} are empty.", remedy)
        return datasets.load_dataset(location)
    except SpeechEvalError:
        raise
    except Exception as error:
        raise BadInput(f"{place} cannot be read ({type(error).__name__}: {brief(str(error))}).", remedy) from error


def _as_asked(known: Sample | None, sample: Sample) -> Sample | None:
    """A sample of the dataset in the language that the run had it in, with what the engine adds where a timed task asks
    for it several times."""
    if known is None:
        return None
    added = ("language",) if sample.item is None else ("language", "id", "item", "round", "cluster")
    return known.model_copy(update={name: getattr(sample, name) for name in added})

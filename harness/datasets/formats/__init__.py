"""One module per layout of data. `READERS` read a file; `LAYOUTS` prepare the rows of a hub dataset."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from speech_eval.datasets.catalog import Entry
from speech_eval.datasets.dataset import Dataset
from speech_eval.datasets.formats import csv, manifest, open_asr, seed_tts
from speech_eval.errors import BadInput, UnknownName

HubRow = Mapping[str, Any]

# By suffix: a file, and the catalog entry that is asked for where there is one. Other suffixes are manifests.
READERS: Mapping[str, Callable[[Path, Entry | None], Dataset]] = {".csv": csv.read, ".lst": seed_tts.read}

# By the `layout` of a catalog entry: what turns a row into one with the columns of the entry, or drops it (None).
Prepare = Callable[[HubRow], HubRow | None]
LAYOUTS: Mapping[str, Callable[[Entry], Prepare]] = {"open-asr": open_asr.layout}

# The files that describe a folder, in order of preference.
LISTS = ("manifest.jsonl", "metadata.jsonl", "metadata.csv", "meta.lst")


def read(path: Path, entry: Entry | None = None) -> Dataset:
    """The dataset of a file. Raises `BadInput` naming file and line for what cannot be used."""
    return READERS.get(path.suffix, manifest.read)(path, entry)


def list_of(folder: Path, entry: Entry | None = None) -> Path:
    """The file that describes the samples of a folder: where `entry` says, else one of `LISTS`."""
    names = (LISTS[0], *(entry.lists if entry else ()), *LISTS[1:])
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise BadInput(
        f"{folder} holds no {', '.join(names[:-1])} or {names[-1]}.",
        'Add a metadata.jsonl with one line per file: {"file_name": "a.wav", "text": "what is said"}.',
    )


def row_layout(entry: Entry) -> Prepare:
    """What prepares the rows of a hub dataset. Raises `UnknownName` for a layout that no module has."""
    if entry.layout is None:
        return lambda row: row
    if entry.layout not in LAYOUTS:
        raise UnknownName(f"No layout is named '{entry.layout}'.", f"Use one of: {', '.join(LAYOUTS)}.")
    return LAYOUTS[entry.layout](entry)

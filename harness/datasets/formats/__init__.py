"""One module per layout of data. `read` takes a file or a folder; `LAYOUTS` prepare the rows of a hub dataset."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from speech_eval.datasets.catalog import Entry
from speech_eval.datasets.dataset import Dataset
from speech_eval.datasets.formats import (
    audiobench,
    choice,
    csv,
    emergent_tts,
    hub_files,
    instruct_tts,
    kaldi,
    librispeech,
    ljspeech,
    manifest,
    open_asr,
    recordings,
    seed_tts,
    webdataset,
)
from speech_eval.datasets.formats.splits import chosen, is_split
from speech_eval.errors import BadInput, UnknownName

HubRow = Mapping[str, Any]
Reader = Callable[[Path, Entry | None], Dataset]
FolderReader = Callable[[Path, Sequence[Path]], Dataset]

# By suffix: a file, and the catalog entry that is asked for where there is one. Other suffixes are manifests.
READERS: Mapping[str, Reader] = {
    ".csv": csv.read,
    ".tsv": csv.read,
    ".lst": seed_tts.read,
    ".scp": kaldi.read,
    ".parquet": hub_files.read,
    ".tar": webdataset.read,
}

# By the `layout` of a catalog entry: what turns a row into one with the columns of the entry, or drops it (None).
Prepare = Callable[[HubRow], HubRow | None]
LAYOUTS: Mapping[str, Callable[[Entry], Prepare]] = {
    "open-asr": open_asr.layout,
    "audiobench": audiobench.layout,
    "emergent-tts": emergent_tts.layout,
    "instruct-tts": instruct_tts.layout,
}

# The files that describe a folder, in order of preference.
LISTS = ("manifest.jsonl", "metadata.jsonl", "metadata.csv", "metadata.tsv", "metadata.parquet", "meta.lst", kaldi.LIST)

# What else tells the layout of a folder: files that match, and what reads them.
FOLDERS: Sequence[tuple[tuple[str, ...], FolderReader]] = (
    ((hub_files.SAVED, hub_files.SAVED_SPLITS), lambda folder, files: hub_files.read_saved(folder)),
    (("*cuts*.jsonl", "*cuts*.jsonl.gz"), lambda folder, files: _of_split(files)),
    (("*supervisions*.jsonl", "*supervisions*.jsonl.gz"), lambda folder, files: _of_split(files)),
    (("*.parquet", "data/*.parquet"), hub_files.read_folder),
    (("*.tar",), webdataset.read_folder),
    (("*.tsv", "*.jsonl", "*.jsonl.gz", "*manifest*.json", "*.csv"), lambda folder, files: _of_split(files)),
    ((librispeech.PATTERN,), librispeech.read_folder),
)

# The patterns that describe a folder for certain, wherever it lies, and the levels of folders that are looked through.
_STRONG = tuple(pattern for patterns, _ in FOLDERS[:5] for pattern in patterns)
DEEPEST = 3


def read(path: Path, entry: Entry | None = None) -> Dataset:
    """The dataset of a file or folder. Raises `BadInput` naming file and line for what cannot be used."""
    if path.is_dir():
        return read_folder(path, entry)
    if path.suffix.lower() == ".txt":
        return (manifest if _is_json(path) else ljspeech).read(path, entry)
    return READERS.get(path.suffix.lower(), manifest.read)(path, entry)


def read_folder(folder: Path, entry: Entry | None = None) -> Dataset:
    """The dataset of a folder: by its list, by the layout that its files tell, of the best of its splits, or of all its
    recordings. Raises `BadInput` where it holds none of these."""
    if described := list_of(folder, entry):
        return read(described, entry)
    for patterns, reader in FOLDERS:
        if files := sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()}):
            return reader(folder, files)
    if splits := [path.name for path in folder.iterdir() if path.is_dir() and is_split(path.name)]:
        split, note = chosen(splits)
        found = read_folder(folder / split, entry)
        info = found.info.model_copy(update={"name": f"{folder.resolve().name}-{split}"})
        return dataclasses.replace(found, info=info, note=_noted(found.note, note))
    if inner := _described_inside(folder):
        return read_folder(inner, entry)
    if files := recordings.files_of(folder):
        return recordings.read_folder(folder, files)
    raise BadInput(
        f"{folder} holds no recordings, and no list such as {', '.join(LISTS[:3])}.",
        'Add a metadata.jsonl with one line per file: {"file_name": "a.wav", "text": "what is said"}.',
    )


def _described_inside(folder: Path) -> Path | None:
    """The only folder at the least depth below `folder` that a list or its files describe, as in a clone of a hub
    repository or an unpacked archive; None for none. Raises `BadInput` for several, of which no split is meant."""
    level = [folder]
    for _ in range(DEEPEST):
        level = sorted(path for place in level for path in place.iterdir() if path.is_dir() and _visible(path))
        found = [path for path in level if list_of(path) or any(any(path.glob(pattern)) for pattern in _STRONG)]
        parents = {path.parent if is_split(path.name) else path for path in found}
        if len(parents) > 1:
            names = ", ".join(path.relative_to(folder).as_posix() for path in sorted(parents)[:5])
            raise BadInput(f"{folder} holds {len(parents)} datasets: {names}.", "Give the path of one.")
        if parents:
            return parents.pop()
    return None


def _visible(path: Path) -> bool:
    return not path.name.startswith((".", "_")) and not path.is_symlink()


def list_of(folder: Path, entry: Entry | None = None) -> Path | None:
    """The file that describes the samples of a folder: where `entry` says, else one of `LISTS`. None for none."""
    names = (LISTS[0], *(entry.lists if entry else ()), *LISTS[1:])
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _of_split(files: Sequence[Path]) -> Dataset:
    """The dataset of one of several lists: that of the split to evaluate."""
    by_name = {file.name.split(".")[0]: file for file in files}
    name, note = chosen(by_name)
    found = read(by_name[name])
    return dataclasses.replace(found, note=_noted(found.note, note))


def _noted(note: str, split: str) -> str:
    return f"{note} It is the {split}.".strip() if split else note


def _is_json(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(64).lstrip(b"\xef\xbb\xbf \r\n").startswith((b"{", b"["))


def row_layout(entry: Entry) -> Prepare:
    """What prepares the rows of a hub dataset. Raises `UnknownName` for a layout that no module has."""
    if entry.choice is not None:
        return choice.layout(entry.choice)
    if entry.layout is None:
        return lambda row: row
    if entry.layout not in LAYOUTS:
        raise UnknownName(f"No layout is named '{entry.layout}'.", f"Use one of: {', '.join(LAYOUTS)}.")
    return LAYOUTS[entry.layout](entry)

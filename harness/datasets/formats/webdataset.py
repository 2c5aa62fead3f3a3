"""Shards of webdataset: tar files in which the files of one sample share a name and differ in their suffix.

A name ends at its first dot, and the last part of what follows tells what a file is: `7.audio.flac`, `7.text.txt`.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from speech_eval.datasets.catalog import Entry
from speech_eval.datasets.dataset import AUDIO_SUFFIXES, Dataset
from speech_eval.datasets.formats import imported
from speech_eval.datasets.formats.splits import chosen, split_of
from speech_eval.errors import BadInput

LARGEST = 1 << 30  # bytes of one file in a shard
_TEXTS = (".txt", ".text", ".transcript", ".lab")


def read(path: Path, entry: Entry | None = None) -> Dataset:
    """The dataset of one shard."""
    return read_shards(path, [path])


def read_folder(folder: Path, files: Sequence[Path]) -> Dataset:
    """The dataset of the shards in a folder, of one split where their names have it."""
    by_split: dict[str, list[Path]] = {}
    for file in files:
        by_split.setdefault(split_of(file.name.split(".")[0]), []).append(file)
    split, note = chosen(by_split)
    return read_shards(folder, by_split[split], note)


def read_shards(source: Path, files: Sequence[Path], note: str = "") -> Dataset:
    """The dataset of shards that belong together: recordings, `.txt` as texts, the fields of `.json` as columns."""
    taken_for = f"webdataset ({note})" if note else "webdataset"
    return imported.read(
        source, files, lambda: _rows(files), taken_for=taken_for, name=source.resolve().name.split(".")[0]
    )


def _rows(files: Iterable[Path]) -> Iterator[Mapping[str, Any]]:
    for path in files:
        key, row = "", dict[str, Any]()
        for name, data in _members(path):
            stem, dot, suffix = name.rpartition("/")[2].partition(".")
            whole = f"{name.rpartition('/')[0]}/{stem}".lstrip("/")
            if whole != key and "audio" in row:
                yield row
            if whole != key:
                key, row = whole, {"id": whole.replace("/", "-")}
            _add(row, f".{suffix.lower().rpartition('.')[2]}" if dot else "", data, f"{path}, {name}")
        if "audio" in row:
            yield row


def _add(row: dict[str, Any], suffix: str, data: bytes, where: str) -> None:
    if suffix in AUDIO_SUFFIXES:
        row["audio"] = data
    elif suffix in _TEXTS:
        row["text"] = _decoded(data, where).strip()
    elif suffix == ".json":
        try:
            found = json.loads(_decoded(data, where))
        except (ValueError, RecursionError) as error:
            raise BadInput(f"{where}: not JSON ({error}).", "Make the shard again.") from None
        row |= {key: value for key, value in found.items() if key != "audio"} if isinstance(found, dict) else {}


def _decoded(data: bytes, where: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadInput(f"{where}: the text is not UTF-8.", "Make the shard again with texts in UTF-8.") from None


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    """The regular files of an archive in its order; links and devices are left out."""
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                if member.isfile() and member.size <= LARGEST and (stream := archive.extractfile(member)):
                    yield member.name, stream.read()
    except (tarfile.TarError, OSError, EOFError) as error:
        raise BadInput(f"{path}: not a readable tar file ({error}).", "Download it again.") from None

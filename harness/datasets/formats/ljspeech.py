"""LJSpeech (`ID|TEXT`, `ID|TEXT|NORMALIZED`), and the file lists of many recipes (`PATH|TEXT`, `PATH|SPEAKER|TEXT`)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from speech_eval.datasets.catalog import Entry
from speech_eval.datasets.dataset import AUDIO_SUFFIXES, Dataset
from speech_eval.datasets.formats.rows import Row, dataset, lines_of
from speech_eval.errors import BadInput

_FOLDERS = ("wavs", "wav", "")  # where `ID.wav` is looked for


def read(path: Path, entry: Entry | None = None) -> Dataset:
    """The dataset of a list without a header. Of the two texts of LJSpeech, the last is read: the normalized one."""
    return dataset(path, _rows(path), taken_for="LJSpeech")


def _rows(path: Path) -> Iterator[Row]:
    for number, line in lines_of(path):
        parts = [part.strip() for part in line.split("|")]
        if not 2 <= len(parts) <= 3:
            raise BadInput(f"{path}:{number}: {len(parts)} fields, not 2 or 3.", "Write ID|TEXT or ID|TEXT|NORMALIZED.")
        if Path(parts[0].replace("\\", "/")).suffix.lower() in AUDIO_SUFFIXES:
            named = {"file_name": parts[0], "text": parts[-1]}
            yield number, {**named, "speaker": parts[1]} if len(parts) == 3 else named
        else:
            spoken = parts[-1] or parts[1] or None
            yield number, {"id": parts[0], "file_name": _recording(path.parent, parts[0]), "text": spoken}


def _recording(folder: Path, name: str) -> str:
    candidates = [
        f"{place}/{name}{suffix}".lstrip("/") for place in _FOLDERS for suffix in (".wav", ".flac", ".ogg", ".mp3")
    ]
    return next((found for found in candidates if (folder / found).is_file()), candidates[0])

"""LibriSpeech: folders `SPEAKER/CHAPTER` with recordings and a `*.trans.txt` of lines `ID TEXT`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from speech_eval.datasets.dataset import Dataset
from speech_eval.datasets.formats.rows import Row, dataset, lines_of

PATTERN = "**/*.trans.txt"
_SUFFIXES = (".flac", ".wav", ".mp3", ".ogg", ".opus")


def read_folder(folder: Path, files: Sequence[Path]) -> Dataset:
    """The dataset of a subset (`test-clean`), or of all subsets in the folder."""
    rows = list(_rows(folder, files))
    return dataset(folder / folder.name, rows, taken_for="LibriSpeech", name=folder.resolve().name, root=folder)


def _rows(folder: Path, files: Sequence[Path]) -> Iterator[Row]:
    for file in files:
        place = file.parent.relative_to(folder)
        for number, line in lines_of(file):
            key, _, text = line.strip().partition(" ")
            found = next((s for s in _SUFFIXES if (file.parent / f"{key}{s}").is_file()), _SUFFIXES[0])
            row = {"id": key, "audio": (place / f"{key}{found}").as_posix(), "text": text.strip(), "language": "en"}
            yield number, {**row, "speaker": key.split("-")[0]}

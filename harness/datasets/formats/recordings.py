"""Folders of recordings without a list: `a.wav` with `a.txt` beside it or in a folder of texts, LibriTTS, VCTK, or
recordings alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from speech_eval.datasets.dataset import AUDIO_SUFFIXES, Dataset
from speech_eval.datasets.formats.rows import Row, dataset, text_of

_TEXTS = (".normalized.txt", ".txt", ".lab", ".original.txt", ".TXT")
_TEXT_FOLDERS = ("txt", "text", "texts", "transcripts", "transcript", "transcriptions", "lab", "labels")
_VCTK = re.compile(r"(p\d+|s5)_(\d+)(_mic(\d))?")


def files_of(folder: Path) -> list[Path]:
    """The recordings of a folder and of the folders in it."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES and path.is_file())


def read_folder(folder: Path, files: Sequence[Path]) -> Dataset:
    """The dataset of the recordings `files`, each with the text that lies beside it where there is one.

    Of the two microphones of VCTK, the first is taken.
    """
    vctk = (folder / "txt").is_dir() and any(_VCTK.fullmatch(file.stem) for file in files)
    rows = list(_vctk(folder, files) if vctk else _pairs(folder, files))
    texts = any("text" in row for _, row in rows)
    kind = "VCTK" if vctk else "recordings with texts beside them" if texts else "recordings without texts"
    return dataset(folder / folder.name, rows, taken_for=kind, name=folder.resolve().name, root=folder)


def _pairs(folder: Path, files: Sequence[Path]) -> Iterator[Row]:
    for number, file in enumerate(files, 1):
        row = {"audio": file.relative_to(folder).as_posix()}
        text = next((path for path in _places(folder, file) if path.is_file()), None)
        yield number, row if text is None else {**row, "text": text_of(text).strip()}


def _places(folder: Path, file: Path) -> Iterator[Path]:
    """Where the text of a recording may lie: beside it, or at its place in a folder of texts (`txt/a.txt` for `a.wav`
    and for `wav/a.wav`)."""
    inner = file.relative_to(folder)
    below = {inner, Path(*inner.parts[1:])} if len(inner.parts) > 1 else {inner}
    for place in (file, *(folder / name / path for name in _TEXT_FOLDERS for path in sorted(below))):
        yield from (place.with_name(file.stem + suffix) for suffix in _TEXTS)


def _vctk(folder: Path, files: Sequence[Path]) -> Iterator[Row]:
    for number, file in enumerate(files, 1):
        name = _VCTK.fullmatch(file.stem)
        if name is None or name[4] not in (None, "1"):
            continue
        speaker, utterance = name[1], f"{name[1]}_{name[2]}"
        row = {"id": utterance, "audio": file.relative_to(folder).as_posix(), "speaker": speaker, "language": "en"}
        text = folder / "txt" / speaker / f"{utterance}.txt"
        yield number, {**row, "text": text_of(text).strip()} if text.is_file() else row

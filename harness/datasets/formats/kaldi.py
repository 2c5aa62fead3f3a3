"""Data folders of Kaldi and ESPnet: `wav.scp`, `text`, and `segments`, `utt2spk`, `utt2lang` where they exist.

A line of `wav.scp` may be a command. None is run: the file that `flac` or `cat` would write out is read itself, and
other commands are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from speech_eval.datasets.catalog import Entry
from speech_eval.datasets.dataset import Dataset
from speech_eval.datasets.formats import segments
from speech_eval.datasets.formats.rows import Row, lines_of
from speech_eval.errors import BadInput

LIST = "wav.scp"
_TABLES = {"text": "text", "speaker": "utt2spk", "language": "utt2lang"}
_COMMAND = re.compile(r"(?:\S*/)?(?:flac(?: +-\w+| +--\w[\w-]*)*|cat) +(?P<file>[^\s|]+) *\|")


def read(path: Path, entry: Entry | None = None) -> Dataset:
    """The dataset of the folder of `wav.scp`. Raises `BadInput` naming file and line for commands and broken lines."""
    folder = path.parent
    recordings = {key: (number, _file(path, number, value)) for number, key, value in _table(path)}
    tables = {field: {k: v for _, k, v in _table(folder / name)} for field, name in _TABLES.items()}
    rows: list[Row] = []
    segmented = folder / "segments"
    if segmented.is_file():
        for number, key, value in _table(segmented):
            recording, start, end = _segment(segmented, number, value)
            if recording not in recordings:
                raise BadInput(
                    f"{segmented}:{number}: wav.scp has no recording '{recording}'.", "Correct the segments."
                )
            rows.append(
                (number, {"id": key, "audio": recordings[recording][1], segments.SPAN: segments.Span(start, end)})
            )
    else:
        rows = [(number, {"id": key, "audio": file}) for key, (number, file) in recordings.items()]
    for _, row in rows:
        row |= {field: table[row["id"]] for field, table in tables.items() if row["id"] in table}
    files = [folder / name for name in ("segments", *_TABLES.values()) if (folder / name).is_file()]
    return segments.read(path, rows, taken_for="a data folder of Kaldi", name=path.resolve().parent.name, files=files)


def _table(path: Path) -> Iterator[tuple[int, str, str]]:
    """Number, key and value of each line; nothing where there is no such file."""
    if path.is_file():
        for number, line in lines_of(path):
            key, _, value = line.strip().partition(" ")
            if not value and "\t" in key:
                key, _, value = key.partition("\t")
            yield number, key, value.strip()


def _segment(path: Path, number: int, value: str) -> tuple[str, float, float | None]:
    fields = value.split()
    try:
        recording, start, end = fields
        return recording, segments.number(start), None if float(end) < 0 else segments.number(end)
    except ValueError as error:
        raise BadInput(f"{path}:{number}: not a segment ({error}).", "Write UTTERANCE RECORDING START END.") from None


def _file(path: Path, number: int, value: str) -> str:
    if not value.endswith("|"):
        if re.search(r"\.ark:\d+", value):
            raise BadInput(
                f"{path}:{number}: '{value}' lies in an archive of Kaldi.", "Write audio files with wav-copy."
            )
        return value
    found = _COMMAND.fullmatch(value)
    if not found:
        raise BadInput(
            f"{path}:{number}: the recording is a command, and no command of the data is run: {value[:80]}",
            "Run the commands yourself, and list the files that they write.",
        )
    return found["file"]

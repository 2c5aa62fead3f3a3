"""Recordings without a file of their own: bytes in a table or archive, and parts of longer recordings.

They are written once to the cache, with a manifest, and read from there while the files they come from are unchanged.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speech_eval.assets.store import cache_dir
from speech_eval.audio import Audio, check_header, check_waveform, flac_bytes
from speech_eval.cache import make_once
from speech_eval.datasets.dataset import Dataset
from speech_eval.datasets.formats import columns
from speech_eval.datasets.formats.rows import Row, dataset, lines_of
from speech_eval.errors import BadAudio, BadInput

VERSION = 1  # of what is written; a change makes every import anew
_SUFFIXES = {b"RIFF": ".wav", b"fLaC": ".flac", b"OggS": ".ogg", b"ID3": ".mp3", b"\x1aE\xdf\xa3": ".webm"}
_ROUNDING = 0.01  # seconds by which a part may end after the recording


@dataclass(frozen=True)
class Part:
    """Seconds `start` to `end` (None: to the end) of one channel of a recording."""

    file: Path
    start: float = 0.0
    end: float | None = None
    channel: int = 0

    def read(self) -> Audio:
        """Raises `BadAudio` naming the file where the part cannot be read."""
        import soundfile

        where = f"{self.file}, {self.start:g} s to {'the end' if self.end is None else f'{self.end:g} s'}"
        try:
            with soundfile.SoundFile(self.file) as file:
                first = round(self.start * file.samplerate)
                last = file.frames if self.end is None else round(self.end * file.samplerate)
                if not 0 <= first < last <= file.frames + _ROUNDING * file.samplerate:
                    raise BadAudio(f"{where}: not a part of {file.frames / file.samplerate:g} s.", "Correct the list.")
                if not 0 <= self.channel < file.channels:
                    raise BadAudio(f"{where}: there is no channel {self.channel}.", "Correct the list.")
                check_header(file.samplerate, file.channels, last - first, where)
                file.seek(first)
                samples = file.read(min(last, file.frames) - first, dtype="float32", always_2d=True)
                return check_waveform(samples[:, self.channel], file.samplerate, where)
        except soundfile.LibsndfileError as error:
            raise BadAudio(
                f"{self.file}: not a readable audio file ({error}).", "Convert it to WAV or FLAC."
            ) from error

    @property
    def whole(self) -> bool:
        """Whether the part is the whole recording, which has one channel. Reads the header alone."""
        import soundfile

        if self.start == 0.0 and self.end is None and self.channel == 0:
            return True
        try:
            info = soundfile.info(str(self.file))
        except soundfile.LibsndfileError:
            return False
        ends = self.end is None or abs(info.duration - self.end) <= _ROUNDING
        return self.start == 0.0 and ends and info.channels == 1


def read(
    source: Path, files: Iterable[Path], rows: Callable[[], Iterable[Mapping[str, Any]]], *, taken_for: str, name: str
) -> Dataset:
    """The dataset of rows whose column `audio` is a `Part` or the bytes of a file; other columns are as in any table.

    `files` are what the rows come from: the import is made anew where one of them changes. `rows` are asked for only
    then.
    """
    key = hashlib.sha256(f"{VERSION}\n".encode())
    for file in sorted({source, *files}):
        state = file.stat()
        key.update(f"{file.resolve()}\n{state.st_size} {state.st_mtime_ns}\n".encode())

    def make(work: Path) -> None:
        lines = [json.dumps(_line(number, row, work), ensure_ascii=False) for number, row in enumerate(rows(), 1)]
        if not lines:
            raise BadInput(f"{source}: {taken_for} without a sample.", "Check how it was made.")
        (work / "rows.jsonl").write_text("".join(line + "\n" for line in lines), encoding="utf-8")

    folder = make_once(cache_dir() / "imported" / f"{name}-{key.hexdigest()[:16]}", make)
    found = dataset(folder / "rows.jsonl", _stored(folder / "rows.jsonl"), name=name)
    note = f"{source.name} is read as {taken_for}. {found.note}".strip()
    info = found.info.model_copy(update={"description": f"Read from {source.name}."})
    return dataclasses.replace(found, info=info, note=note)


def _stored(path: Path) -> Iterator[Row]:
    for number, line in lines_of(path):  # which texts with other line breaks do not end
        yield number, json.loads(line)


def _line(number: int, row: Mapping[str, Any], work: Path) -> dict[str, Any]:
    """A row with the path of its recording, written to `work`, in place of the recording."""
    plain = {key: stored for key, value in row.items() if (stored := _plain(value)) is not None}
    recording = row.get("audio")
    if isinstance(recording, Part):
        recording = flac_bytes(recording.read())
    if isinstance(recording, bytes):
        suffix = next((suffix for head, suffix in _SUFFIXES.items() if recording.startswith(head)), ".mp3")
        plain["audio"] = f"{number:06}{suffix}"
        (work / plain["audio"]).write_bytes(recording)
    if "id" not in columns.which(plain):
        plain["id"] = str(number)
    return plain


def _plain(value: Any) -> Any:
    """The value as JSON can state it; None where it cannot."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str | int):
        return value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return None

"""Reads every recording of training data once and keeps what was found.

OUTPUT/data.json    the digest of samples and recordings; of each its length and rate, or what is wrong with it
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from speech_eval.audio import audio_sha256, load
from speech_eval.cache import make_folder, write_atomically
from speech_eval.datasets import Dataset
from speech_eval.errors import BadAudio, BadInput, SpeechEvalError
from speech_eval.progress import Progress
from speech_eval.records import Sample
from speech_eval.text.files import read_record

KEPT = "data.json"
SHORTEST = 0.1  # seconds
SILENT_PEAK = 1e-3  # of full scale
_SEEKABLE = {"WAV", "WAVEX", "W64", "FLAC", "AIFF", "OGG"}  # formats of which libsndfile reads any part exactly
_VERSION = 1  # of the checks
_READERS = 4


@dataclass(frozen=True)
class Row:
    """A sample, the dataset that knows its files, and the split it belongs to."""

    dataset: Dataset
    sample: Sample
    split: str


@dataclass(frozen=True)
class Facts:
    """What is known of a recording: its length in seconds, its rate in Hz, and whether a part of it can be read alone;
    or the `kind` of problem and the `reason`. All of it is empty where a sample has no recording."""

    seconds: float | None = None
    rate: int | None = None
    seekable: bool = False
    kind: str = ""
    reason: str = ""


def inspected(rows: Sequence[Row], output: Path | None, progress: Progress) -> tuple[str, list[Facts]]:
    """The digest of the rows, and the facts of each, which are kept in `output`. Of several processes, one reads."""
    digest = _digest(rows)
    if output is not None:
        make_folder(output)
    lock: AbstractContextManager[Any] = nullcontext() if output is None else FileLock(output / f".{KEPT}.lock")
    with lock:
        kept = None if output is None else _kept(output / KEPT, digest)
        if kept is not None:
            return digest, kept
        found = list(_inspected(rows, progress))
        if output is not None:
            lines = [{"id": row.sample.id, **_stated(facts)} for row, facts in zip(rows, found, strict=True)]
            stored = {"version": _VERSION, "sha256": digest, "samples": lines}
            write_atomically(output / KEPT, (json.dumps(stored, indent=1, ensure_ascii=False) + "\n").encode())
    return digest, found


def _kept(file: Path, digest: str) -> list[Facts] | None:
    """What an earlier check of the same samples and recordings found."""
    try:
        stored = read_record(file, "", "version", "sha256", "samples", largest=1 << 30)
        if (stored["version"], stored["sha256"]) != (_VERSION, digest):
            return None
        return [Facts(**{key: value for key, value in line.items() if key != "id"}) for line in stored["samples"]]
    except (BadInput, KeyError, TypeError, AttributeError):
        return None


def _stated(facts: Facts) -> dict[str, Any]:
    return {key: value for key, value in asdict(facts).items() if value not in (None, "", False)}


def _digest(rows: Sequence[Row]) -> str:
    """Of samples, splits, and the bytes that their files have now."""
    found = hashlib.sha256()
    for line in sorted(f"{row.split} {row.sample.line()} {_bytes_of(row)}\n" for row in rows):
        found.update(line.encode())
    return found.hexdigest()


def _bytes_of(row: Row) -> str:
    if row.sample.audio is None:
        return ""
    file = row.dataset.located(row.sample.audio)
    try:
        return audio_sha256(file) if file.is_file() else "missing"
    except BadAudio:
        return "too large"


def _inspected(rows: Sequence[Row], progress: Progress) -> Iterator[Facts]:
    with ThreadPoolExecutor(_READERS) as pool:
        for number, facts in enumerate(pool.map(_facts, rows), 1):
            progress("check the recordings", number, len(rows))
            yield facts


def _facts(row: Row) -> Facts:
    if row.sample.audio is None:
        return Facts()
    try:
        path = row.dataset.audio_path(row.sample.audio)
        audio = load(path)
    except SpeechEvalError as error:
        return Facts(kind="unreadable", reason=_within(row.dataset, error.problem))
    if audio.seconds < SHORTEST:
        return Facts(kind="short", reason=f"it lasts {audio.seconds:.3f} s, less than {SHORTEST:g} s")
    peak = float(abs(audio.samples).max())
    if peak < SILENT_PEAK:
        return Facts(kind="silent", reason=f"its peak is {peak:.1e} of full scale")
    return Facts(audio.seconds, audio.rate, _seekable(path, len(audio.samples), audio.rate))


def _within(dataset: Dataset, problem: str) -> str:
    """A problem with the path of a file as the data states it."""
    return problem.rstrip(".") if dataset.root is None else problem.replace(f"{dataset.root}/", "").rstrip(".")


def _seekable(path: Path, frames: int, rate: int) -> bool:
    import soundfile

    try:
        with soundfile.SoundFile(path) as file:
            return bool(
                file.seekable() and file.format in _SEEKABLE and (file.frames, file.samplerate) == (frames, rate)
            )
    except (soundfile.LibsndfileError, OSError):
        return False

"""The run directory: the only database. Append-only JSON lines, one per sample, flushed and fsynced; audio as FLAC.

    RUN/manifest.json              what makes the numbers comparable, and what depends on time and machine
    RUN/samples/<task>.jsonl       the dataset samples the task used
    RUN/outputs/<task>.jsonl       the model's raw answers
    RUN/audio/<task>/*.flac        speech the model made
    RUN/transcripts/<task>.jsonl   what the scoring recognizer heard in that speech
    RUN/scores/<task>.jsonl        one line per sample and metric
    RUN/results.json               the numbers; depends on the stored lines alone

One process writes at a time. A line cut short by a kill is dropped when the directory is next opened for writing.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from speech_eval.audio import Audio, flac_bytes
from speech_eval.cache import disk_errors, write_atomically
from speech_eval.errors import BadInput, RunLocked
from speech_eval.records import (
    Manifest,
    Output,
    Record,
    Results,
    Sample,
    Score,
    StoredAudio,
    Transcript,
)

R = TypeVar("R", bound=Record)

KINDS: dict[str, type[Record]] = {"samples": Sample, "outputs": Output, "transcripts": Transcript, "scores": Score}


class RunDirectory:
    """One run on disk. Reading needs no lock; `writing()` takes it."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    # -------------------------------------------------------------------------------------------- locking

    @contextlib.contextmanager
    def writing(self) -> Iterator[RunDirectory]:
        """Hold the run for writing, and drop lines that a killed writer cut short."""
        from filelock import FileLock, Timeout

        with disk_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise RunLocked(
                f"{self.path} is being written by another process.",
                "Wait for it to end, or choose another --output.",
            ) from error
        try:
            for kind in KINDS:
                for file in sorted((self.path / kind).glob("*.jsonl")):
                    _drop_torn_line(file)
            for leftover in self.path.rglob("*.tmp"):
                leftover.unlink()
            yield self
        finally:
            lock.release()

    # -------------------------------------------------------------------------------------------- records

    def file(self, kind: str, task: str) -> Path:
        return self.path.joinpath(kind, f"{safe_name(task)}.jsonl")

    def append(self, kind: str, task: str, records: Sequence[Record]) -> None:
        """Add lines at the end of a file and wait until they are on disk."""
        if not records:
            return
        file = self.file(kind, task)
        data = "".join(record.line() + "\n" for record in records).encode()
        with disk_errors(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("ab") as handle:
                handle.write(data)
                handle.flush()
                os.fsync(handle.fileno())

    def replace(self, kind: str, task: str, records: Iterable[Record]) -> None:
        """Write a whole file of lines at once, in one step."""
        write_atomically(self.file(kind, task), "".join(record.line() + "\n" for record in records).encode())

    def samples(self, task: str) -> list[Sample]:
        return read_lines(self.file("samples", task), Sample)

    def outputs(self, task: str) -> dict[str, Output]:
        """The newest output of each sample id."""
        return {output.id: output for output in read_lines(self.file("outputs", task), Output)}

    def transcripts(self, task: str) -> dict[str, Transcript]:
        return {line.id: line for line in read_lines(self.file("transcripts", task), Transcript)}

    def scores(self, task: str) -> dict[tuple[str, str], Score]:
        """The newest score of each (sample id, metric id)."""
        return {(line.id, line.metric): line for line in read_lines(self.file("scores", task), Score)}

    # ---------------------------------------------------------------------------------------------- audio

    def write_audio(self, task: str, sample_id: str, audio: Audio) -> StoredAudio:
        """Store speech as 24-bit FLAC under a name that no sample id can lead out of the run."""
        name = f"{safe_name(sample_id)[:60]}-{hashlib.sha256(sample_id.encode()).hexdigest()[:10]}.flac"
        relative = f"audio/{safe_name(task)}/{name}"
        data = flac_bytes(audio)
        write_atomically(self.path / relative, data)
        peak = float(abs(audio.samples).max())
        return StoredAudio(
            path=relative,
            sha256=hashlib.sha256(data).hexdigest(),
            rate=audio.rate,
            frames=len(audio.samples),
            peak=round(peak, 6),
        )

    def audio_path(self, stored: StoredAudio) -> Path:
        """The file of a stored waveform; raises `BadInput` if its path leads out of the run directory."""
        path = (self.path / stored.path).resolve()
        if not path.is_relative_to(self.path.resolve()):
            raise BadInput(f"{self.path}: audio path '{stored.path}' leads out of the run.", "Do not use this run.")
        return path

    # --------------------------------------------------------------------------------------- single files

    def manifest(self) -> Manifest:
        return read_json(self.path / "manifest.json", Manifest)

    def has_manifest(self) -> bool:
        return (self.path / "manifest.json").is_file()

    def write_manifest(self, manifest: Manifest) -> None:
        write_json(self.path / "manifest.json", manifest)

    def results(self) -> Results:
        return read_json(self.path / "results.json", Results)

    def write_results(self, results: Results) -> None:
        write_json(self.path / "results.json", results)


def safe_name(text: str) -> str:
    """A file name of letters, digits, `.`, `_`, `+` and `-`; never empty, never starting with a dot."""
    return re.sub(r"[^A-Za-z0-9._+-]+", "_", text).lstrip(".") or "_"


def read_lines(path: Path, model: type[R]) -> list[R]:
    """Parse a JSONL file. A missing file has no lines, a torn last line is skipped, any other bad line is an error."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    lines = data[: data.rfind(b"\n") + 1].splitlines()
    try:  # all at once is twice as fast as one by one, which tells where an error is
        records: list[R] = _many(model).validate_json(b"[" + b",".join(lines) + b"]")
        if len(records) == len(lines):
            return records
    except ValidationError:
        pass
    records = []
    for number, line in enumerate(lines, 1):
        try:
            records.append(model.model_validate_json(line))
        except ValidationError as error:
            first = error.errors()[0]
            raise BadInput(
                f"{path}, line {number}: not a {model.__name__} record ({first['loc']}: {first['msg']}).",
                "Remove the line to have that sample done again.",
            ) from error
    return records


@cache
def _many(model: type[R]) -> TypeAdapter[list[R]]:
    return TypeAdapter(list[model])  # type: ignore[valid-type]


def read_json(path: Path, model: type[R]) -> R:
    """Parse a JSON file of a run as one record. Raises `BadInput` for another schema version or another content."""
    if not path.is_file():
        raise BadInput(f"{path}: no such file.", "Give a run directory made by: speech-eval run")
    data, expected = path.read_bytes(), model.model_fields["schema_version"].default
    if (version := _schema_version(data, expected)) != expected:
        raise BadInput(
            f"{path}: written in schema version {version}, and this speech-eval reads {expected}.",
            "Make the run again with `speech-eval run`, or use the speech-eval that made it.",
        )
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        raise BadInput(
            f"{path}: not a {model.__name__} record of this version ({first['loc']}: {first['msg']}).",
            "Run `speech-eval report` on the run directory to write it again.",
        ) from error


def _schema_version(data: bytes, default: object) -> object:
    """The `schema_version` that a JSON object states; `default` where there is none."""
    try:
        return json.loads(data).get("schema_version", default)
    except (ValueError, AttributeError, RecursionError):
        return default


def write_json(path: Path, record: Record) -> None:
    """Write one record as indented JSON with sorted keys, in one step."""
    data: dict[str, Any] = record.model_dump(mode="json")
    text = json.dumps(data, sort_keys=True, ensure_ascii=False, indent=2, allow_nan=False)
    write_atomically(path, (text + "\n").encode())


def _drop_torn_line(path: Path) -> None:
    """Cut a last line that has no end, the trace of a writer killed in the middle of it."""
    data = path.read_bytes()
    if data and not data.endswith(b"\n"):
        with path.open("r+b") as handle:
            handle.truncate(data.rfind(b"\n") + 1)

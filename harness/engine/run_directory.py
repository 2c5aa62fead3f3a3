"""The run directory: the only database. Append-only JSON lines, one per sample; audio as FLAC.

    RUN/manifest.json              what makes the numbers comparable, and what depends on time and machine
    RUN/samples/<task>.jsonl       the dataset samples the task used
    RUN/outputs/<task>.jsonl       the model's raw answers
    RUN/audio/<task>/*.flac        speech the model made
    RUN/transcripts/<task>.jsonl   what the scoring recognizer heard in that speech
    RUN/ratings/<task>.jsonl       what people said of outputs in listening tests
    RUN/scores/<task>.jsonl        one line per sample and metric
    RUN/results.json               the numbers; depends on the stored lines alone

One process writes at a time. A line cut short by a kill is dropped when the directory is next opened for writing.

A run may come from a stranger: only regular files below the directory are read, and only the files above are written.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from sys import intern
from time import monotonic
from typing import Any, ParamSpec, TypeVar

from pydantic import TypeAdapter, ValidationError

from speech_eval.audio import Audio, flac_bytes, largest_bytes
from speech_eval.cache import TEMPORARY, disk_errors, write_atomically
from speech_eval.engine import run_files
from speech_eval.engine.ratings import Rating, newest
from speech_eval.engine.run_files import brief
from speech_eval.errors import BadInput, RunLocked, SpeechEvalError
from speech_eval.records import (
    Manifest,
    Output,
    Record,
    Results,
    Sample,
    Score,
    ScoreStatus,
    Status,
    StoredAudio,
    TaskRecord,
    TaskResult,
    Transcript,
)
from speech_eval.text.files import LARGEST_RECORD

_HEADER, _LARGEST_FRAME = 1 << 20, 8  # bytes of a stored waveform before its samples, and of one sample
logger = logging.getLogger(__name__)
R = TypeVar("R", bound=Record)
P = ParamSpec("P")
T = TypeVar("T")

KINDS: dict[str, type[Record]] = {
    "samples": Sample,
    "outputs": Output,
    "transcripts": Transcript,
    "ratings": Rating,
    "scores": Score,
}
MANIFEST, RESULTS = "manifest.json", "results.json"
SYNC_SECONDS = 0.2
_BATCH = 2000  # lines that are parsed at once
_LOCK = ".lock"
_HARMLESS = frozenset({_LOCK, ".gitkeep", ".gitignore", ".DS_Store"})  # in a folder that counts as empty
_LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class Answer:
    """An output without its content: its status, the digest of its line, and whether it is speech without text."""

    status: Status
    sha256: str
    wordless: bool

    def digest(self) -> str:
        """sha256 of the output's canonical line."""
        return self.sha256


@dataclass(frozen=True, slots=True)
class Parts:
    """A score without its names: a tenth of the memory of a `Score`."""

    scorer: str
    output: str
    status: ScoreStatus
    parts: dict[str, float]
    compat: dict[str, float] | None
    detail: dict[str, Any]

    def compat_parts(self) -> dict[str, float] | None:
        """The parts that count in `compat`; None where the sample is left out."""
        if self.compat is not None:
            return self.compat
        return self.parts if self.status == "ok" else None


class RunDirectory:
    """One run on disk. Reading needs no lock and writes nothing; `writing()` takes the lock.

    `path` is absolute from the start, so that it stays the same where a model changes the working directory. `origin`
    is the run that this is a copy of, in which the audio is; the run itself where it is not a copy.
    """

    def __init__(self, path: str | os.PathLike[str], copy_of: RunDirectory | None = None) -> None:
        self.path = Path(path).absolute()
        self.origin: Path = self.path if copy_of is None else copy_of.origin
        self._synced: dict[str, float] = {}  # file to the time it was last known to be on disk
        self._waiting: set[str] = set()  # files with lines that may not be on disk yet

    # -------------------------------------------------------------------------------------------- locking

    @contextlib.contextmanager
    def writing(self) -> Iterator[RunDirectory]:
        """Hold the run for writing, and mend lines that a killed writer cut short.

        Raises `BadInput` for a folder that holds other files than a run, `RunLocked` while another process writes.
        """
        from filelock import FileLock, Timeout

        self._claim()
        run_files.inside(self.path, _LOCK)
        with disk_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path / _LOCK)
            try:
                lock.acquire(timeout=0)
            except Timeout as error:
                raise RunLocked(
                    f"{self.path} is being written by another process.",
                    "Wait for it to end, or choose another --output.",
                ) from error
        try:
            self._mend()
            yield self
            self._sync()
        finally:
            lock.release()

    def _claim(self) -> None:
        """Raise `BadInput` unless this is a run, an empty folder or nothing yet."""
        try:
            names = {entry.name for entry in os.scandir(self.path)}
        except FileNotFoundError:
            return
        except OSError as error:
            raise BadInput(f"{self.path}: cannot be written ({error.strerror}).", "Choose another --output.") from error
        if MANIFEST in names:
            self.manifest()
        elif foreign := sorted(name for name in names - _HARMLESS if not TEMPORARY.fullmatch(name)):
            shown = brief(", ".join(foreign[:3])) + (", …" if len(foreign) > 3 else "")
            raise BadInput(f"{self.path} is not a run and holds other files ({shown}).", "Choose a new --output.")

    def _mend(self) -> None:
        """Finish what a killed writer left: torn lines, and temporary files, of this run's own files only."""
        tasks = sorted(self.manifest().tasks) if self.has_manifest() else []
        for kind in KINDS:
            for task in tasks:
                run_files.drop_torn_line(self.path, _lines_file(kind, task))
        for folder in (".", *KINDS, *(f"audio/{safe_name(task)}" for task in tasks)):
            place = self.path if folder == "." else run_files.inside(self.path, folder)
            for entry in os.scandir(place) if place.is_dir() else ():
                if TEMPORARY.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                    Path(entry.path).unlink(missing_ok=True)

    def copy_to(self, target: RunDirectory, kinds: Collection[str] = tuple(KINDS), *, audio: bool = False) -> None:
        """Copy the manifest, the results and the lines of `kinds` into the new folder `target`, and with `audio` the
        speech that outputs name. Nothing else that lies in the run is copied, and no link is followed."""
        tasks = self.manifest().tasks
        for name in [MANIFEST, RESULTS, *(_lines_file(kind, task) for kind in kinds for task in tasks)]:
            if run_files.exists(self.path, name):
                run_files.replace(target.path, name, run_files.read(self.path, name))
        for stored in [output.audio for task in tasks for output in self.outputs(task).values()] if audio else []:
            if stored is not None and (source := self.audio_path(stored)).is_file():
                copy = run_files.inside(target.path, stored.path)
                with disk_errors(copy):
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(source, copy)

    # -------------------------------------------------------------------------------------------- records

    def file(self, kind: str, task: str) -> Path:
        """Where the lines of a task are."""
        return self.path / _lines_file(kind, task)

    def append(self, kind: str, task: str, records: Sequence[Record]) -> None:
        """Add lines at the end of a file.

        Every `SYNC_SECONDS`, and at the end of `writing`, it waits until they are on disk. Waiting for each line would
        take longer than a quick model.
        """
        if records:
            self._append(_lines_file(kind, task), _encoded(records))

    def _append(self, name: str, data: bytes) -> None:
        now = monotonic()
        wait = now - self._synced.get(name, -SYNC_SECONDS) >= SYNC_SECONDS
        run_files.append(self.path, name, data, wait=wait)
        if wait:
            self._synced[name] = now
            self._waiting.discard(name)
        else:
            self._waiting.add(name)

    def _sync(self) -> None:
        while self._waiting:
            run_files.append(self.path, self._waiting.pop(), b"")

    def replace(self, kind: str, task: str, records: Iterable[Record]) -> None:
        """Write a whole file of lines at once, in one step."""
        run_files.replace(self.path, _lines_file(kind, task), _encoded(records))

    def forget(self, task: str) -> None:
        """Drop the answers of a task and what was made of them: transcripts, scores, and the files of its strategy."""
        for kind in ("outputs", "transcripts", "scores"):
            if run_files.exists(self.path, _lines_file(kind, task)):
                self.replace(kind, task, [])
        shutil.rmtree(run_files.inside(self.path, f"work/{task}"), ignore_errors=True)

    def samples(self, task: str) -> list[Sample]:
        return read_lines(self.path, _lines_file("samples", task), Sample)

    def outputs(self, task: str) -> dict[str, Output]:
        """The newest output of each sample id."""
        return {output.id: output for output in read_lines(self.path, _lines_file("outputs", task), Output)}

    def transcripts(self, task: str) -> dict[str, Transcript]:
        return {line.id: line for line in read_lines(self.path, _lines_file("transcripts", task), Transcript)}

    def ratings(self, task: str) -> list[Rating]:
        """The newest rating of each (test, metric, rater, sample id), in the order of their lines."""
        return newest(each_line(self.path, _lines_file("ratings", task), Rating))

    def scores(self, task: str) -> dict[tuple[str, str], Score]:
        """The newest score of each (sample id, metric id)."""
        return {(line.id, line.metric): line for line in read_lines(self.path, _lines_file("scores", task), Score)}

    def each_score(self, task: str) -> Iterator[Score]:
        """All stored scores in the order of the file, one in memory at a time; a later one replaces an earlier one."""
        return each_line(self.path, _lines_file("scores", task), Score)

    def each_output(self, task: str) -> Iterator[Output]:
        """All stored outputs in the order of the file, likewise."""
        return each_line(self.path, _lines_file("outputs", task), Output)

    def each_sample(self, task: str) -> Iterator[Sample]:
        """All stored samples in the order of the file, likewise."""
        return each_line(self.path, _lines_file("samples", task), Sample)

    def each_transcript(self, task: str) -> Iterator[Transcript]:
        """All stored transcripts in the order of the file, likewise."""
        return each_line(self.path, _lines_file("transcripts", task), Transcript)

    def answers(self, task: str) -> dict[str, Answer]:
        """What aggregates read of the newest output of each sample id."""
        return {
            output.id: Answer(output.status, output.digest(), output.audio is not None and output.text is None)
            for output in self.each_output(task)
        }

    def statuses(self, task: str) -> dict[str, Status]:
        """The status of the newest output of each sample id."""
        return {output.id: output.status for output in self.each_output(task)}

    def raw_lines(self, kind: str, task: str) -> Iterator[bytes]:
        """The whole lines of a file as they are stored; none where there is no file."""
        with contextlib.suppress(FileNotFoundError):
            yield from run_files.lines(self.path, _lines_file(kind, task))

    def parts(self, task: str, detailed: Collection[str] = ()) -> dict[tuple[str, str], Parts]:
        """What aggregates read of the newest score of each (sample id, metric id). `detailed` names the metrics whose
        `detail`, which is large, is kept of every score, not only of those without a value."""
        kept: dict[tuple[str, str], Parts] = {}
        for line in self.each_score(task):
            detail = line.detail if line.metric in detailed or line.status != "ok" else {}
            numbers = {intern(name): value for name, value in line.parts.items()}
            texts = intern(line.scorer), intern(line.output)
            kept[intern(line.id), intern(line.metric)] = Parts(*texts, line.status, numbers, line.compat, detail)
        return kept

    # ---------------------------------------------------------------------------------------------- audio

    def write_audio(self, task: str, sample_id: str, audio: Audio) -> StoredAudio:
        """Store speech as 24-bit FLAC under a name that no sample id can lead out of the run."""
        name = f"{safe_name(sample_id)[:60]}-{hashlib.sha256(sample_id.encode()).hexdigest()[:10]}.flac"
        relative = f"audio/{safe_name(task)}/{name}"
        data = flac_bytes(audio)
        run_files.replace(self.path, relative, data)
        peak = float(abs(audio.samples).max())
        return StoredAudio(
            path=relative,
            sha256=hashlib.sha256(data).hexdigest(),
            rate=audio.rate,
            frames=len(audio.samples),
            peak=round(peak, 6),
        )

    def audio_path(self, stored: StoredAudio) -> Path:
        """The file of a stored waveform. Raises `BadInput` for a path that leads out of the run, a link or a device,
        and for a file that is larger than the stated `frames` take, such as one with a hole."""
        path = run_files.inside(self.origin, stored.path)
        largest = min(largest_bytes(), _HEADER + _LARGEST_FRAME * max(0, stored.frames))
        if path.is_file() and (size := path.stat().st_size) > largest:
            raise BadInput(
                f"{path} has {size / run_files.MIB:.0f} MiB, more than {stored.frames} frames take.",
                "Do not use this run.",
            )
        return path

    # --------------------------------------------------------------------------------------- single files

    def manifest(self) -> Manifest:
        found = read_json(self.path, MANIFEST, Manifest)
        _check_conditions(self.path / MANIFEST, found.tasks.items())
        return found

    def has_manifest(self) -> bool:
        return run_files.exists(self.path, MANIFEST)

    def write_manifest(self, manifest: Manifest) -> None:
        run_files.replace(self.path, MANIFEST, _indented(manifest))

    def results(self) -> Results:
        found = read_json(self.path, RESULTS, Results)
        _check_conditions(self.path / RESULTS, [(result.task, result) for result in found.tasks])
        return found

    def has_results(self) -> bool:
        return run_files.exists(self.path, RESULTS)

    def states(self, results: Results) -> bool:
        """Whether `results.json` says exactly this."""
        return self.has_results() and run_files.read(self.path, RESULTS) == _indented(results)

    def write_results(self, results: Results) -> None:
        run_files.replace(self.path, RESULTS, _indented(results))


def safe_name(text: str) -> str:
    """A file name of letters, digits, `.`, `_`, `+` and `-`; never empty, never starting with a dot, never long."""
    name = re.sub(r"[^A-Za-z0-9._+-]+", "_", text).lstrip(".") or "_"
    if len(name) <= _LONGEST_NAME:
        return name
    return f"{name[: _LONGEST_NAME - 11]}-{hashlib.sha256(text.encode(errors='replace')).hexdigest()[:10]}"


def _lines_file(kind: str, task: str) -> str:
    return f"{kind}/{safe_name(task)}.jsonl"


def _encoded(records: Iterable[Record]) -> bytes:
    return "".join(record.line() + "\n" for record in records).encode()


def charged_to_runs(function: Callable[P, T]) -> Callable[P, T]:
    """Decorator for what only reads runs: an exception that nobody foresaw becomes `BadInput` naming the runs.

    The runs are the arguments of type `RunDirectory`, alone or in sequences. The traceback is logged for debugging.
    """

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except SpeechEvalError:
            raise
        except Exception as error:
            given = [item for value in (*args, *kwargs.values()) for item in _each(value)]
            paths = ", ".join(str(item.path) for item in given if isinstance(item, RunDirectory))
            logger.debug("unusable records", exc_info=True)
            raise BadInput(
                f"{paths}: the stored records cannot be used ({type(error).__name__}: {brief(str(error))}).",
                "Do not use this run; if it is your own, score it again: speech-eval score RUN",
            ) from error

    return guarded


def _each(value: object) -> Sequence[object]:
    return value if isinstance(value, list | tuple) else (value,)


def read_lines(root: Path, relative: str, model: type[R]) -> list[R]:
    """Parse a JSONL file; a missing file counts as empty, a torn last line is left out, others raise."""
    return list(each_line(root, relative, model))


def each_line(root: Path, relative: str, model: type[R]) -> Iterator[R]:
    """`read_lines`, a batch of lines in memory at a time."""
    lines, first = run_files.lines(root, relative), 1
    try:
        while batch := list(islice(lines, _BATCH)):
            yield from _parsed(root / relative, batch, first, model)
            first += len(batch)
    except FileNotFoundError:
        return


def _parsed(path: Path, lines: list[bytes], first: int, model: type[R]) -> list[R]:
    run_files.check_lines(path, lines, first)
    try:  # all at once is twice as fast as one by one, which tells where an error is
        records: list[R] = _many(model).validate_json(b"[" + b",".join(lines) + b"]")
        if len(records) == len(lines):
            return records
    except ValidationError:
        pass
    records = []
    for number, line in enumerate(lines, first):
        try:
            records.append(model.model_validate_json(line))
        except ValidationError as error:
            raise BadInput(
                f"{path}, line {number}: not a {model.__name__} record ({_first(error)}).",
                "Remove the line to have that sample done again.",
            ) from error
    return records


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{brief(str(first['loc']))}: {brief(first['msg'])}"


@cache
def _many(model: type[R]) -> TypeAdapter[list[R]]:
    return TypeAdapter(list[model])  # type: ignore[valid-type]


def read_json(root: Path, relative: str, model: type[R]) -> R:
    """Parse a JSON file of a run as one record. Raises `BadInput` for a missing file, another schema version, and what
    is not such a record."""
    path, expected = root / relative, model.model_fields["schema_version"].default
    try:
        data = run_files.read(root, relative, LARGEST_RECORD)
    except FileNotFoundError as error:
        raise BadInput(
            f"{path}: no such file.", "Give a run directory made by `speech-eval run`; a half-written one, again."
        ) from error
    run_files.check_numbers(str(path), data)
    if (version := _schema_version(data, expected)) != expected:
        raise BadInput(
            f"{path}: written in schema version {brief(str(version), 20)}, and this speech-eval reads {expected}.",
            "Make the run again with `speech-eval run`, or use the speech-eval that made it.",
        )
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        raise BadInput(
            f"{path}: not a {model.__name__} record of this version ({_first(error)}).",
            "Write it again with `speech-eval report RUN`."
            if relative == RESULTS
            else "Make the run again with `speech-eval run`.",
        ) from error


def _check_conditions(path: Path, tasks: Iterable[tuple[str, TaskRecord | TaskResult]]) -> None:
    """Raise `BadInput` where a task under a condition does not stand under the name that says so."""
    for name, task in tasks:
        if task.under and (task.sweep is None or name != f"{task.sweep.task}@{task.under}"):
            raise BadInput(
                f"{path}: the condition '{brief(task.under, 60)}' is not that of the task '{brief(name, 60)}'.",
                "Make the run again with `speech-eval run`.",
            )


def _schema_version(data: bytes, default: object) -> object:
    """The `schema_version` that a JSON object states; `default` where there is none."""
    try:
        return json.loads(data).get("schema_version", default)
    except (ValueError, AttributeError, RecursionError):
        return default


def _indented(record: Record) -> bytes:
    """One record as indented JSON with sorted keys."""
    data: dict[str, Any] = record.model_dump(mode="json")
    return (json.dumps(data, sort_keys=True, ensure_ascii=False, indent=2, allow_nan=False) + "\n").encode()


def write_json(path: Path, record: Record) -> None:
    """Write one record as indented JSON with sorted keys, in one step."""
    write_atomically(path, _indented(record))

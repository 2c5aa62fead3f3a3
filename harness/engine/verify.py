"""Proof that a run's numbers follow from its stored outputs: score them again elsewhere and compare byte by byte."""

from __future__ import annotations

import contextlib
import hashlib
import json
import signal
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from speech_eval.audio import audio_sha256
from speech_eval.engine import session as runner
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.engine.settings import Settings
from speech_eval.errors import BadInput
from speech_eval.progress import Progress, silent
from speech_eval.records import Record, Results


class Verification(Record):
    """The outcome of verifying. `differences` is empty where every published number was found again."""

    schema_version: int = 1
    run: str
    numbers: int
    published_sha256: str
    recomputed_sha256: str
    differences: list[str]

    @property
    def exit_code(self) -> int:
        return 1 if self.differences else 0


def verify(path: Path, settings: Settings, progress: Progress = silent) -> Verification:
    """Recompute every number of `path` from its stored outputs, in a copy, and compare it with `results.json`. The
    replies of a judge are those that the run stores.

    Also checks that each stored waveform is the one its output line names. The run itself is not touched. The copy has
    no audio, and is removed at the end, also where a signal ends the process. Raises `BadInput` where the run names a
    recognizer or data that only the user may name, in `settings`.
    """
    directory = RunDirectory(path)
    published = directory.results()
    differences = list(_changed_audio(directory))
    with _ended_by_signals(), tempfile.TemporaryDirectory(prefix="speech-eval-", ignore_cleanup_errors=True) as folder:
        copy = RunDirectory(Path(folder) / "run", copy_of=directory)
        directory.copy_to(copy, ("samples", "outputs", "ratings", "scores"))
        try:
            recomputed = runner.rescore(copy, settings, progress)
        except BadInput as error:  # names the copy, which is gone when it is read
            problem = error.problem.replace(str(copy.path), str(directory.path))
            raise type(error)(problem, error.remedy) from error
    differences += _differences(published, recomputed)
    return Verification(
        run=str(path),
        numbers=sum(1 for _ in _numbers(published)),
        published_sha256=_digest(published),
        recomputed_sha256=_digest(recomputed),
        differences=differences,
    )


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the process as an exception, so that what is cleaned up at the end is."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, _: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    numbers = [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _changed_audio(directory: RunDirectory) -> Iterator[str]:
    for name in directory.manifest().tasks:
        for output in directory.outputs(name).values():
            if output.audio is None:
                continue
            file = directory.audio_path(output.audio)
            if not file.is_file():
                yield f"{name}: the audio of sample {output.id} is missing ({output.audio.path})"
            elif audio_sha256(file) != output.audio.sha256:
                yield f"{name}: the audio of sample {output.id} is not what was stored ({output.audio.path})"


def _numbers(results: Results) -> Iterator[tuple[str, Any]]:
    for task in results.tasks:
        yield f"{task.task}: counts", task.counts.model_dump()
        for metric in task.metrics:
            for kind in ("strict", "compat"):
                yield f"{task.task}: {metric.metric}/{metric.name} {kind}", getattr(metric, kind).model_dump()


def _differences(published: Results, recomputed: Results) -> Iterator[str]:
    before, after = dict(_numbers(published)), dict(_numbers(recomputed))
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            yield f"{name}: published {before.get(name)}, recomputed {after.get(name)}"
    if not (before.keys() ^ after.keys()) and before == after and _digest(published) != _digest(recomputed):
        yield "results.json differs outside its numbers (protocol, dataset or scorer)"


def _digest(results: Results) -> str:
    return hashlib.sha256(json.dumps(results.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()

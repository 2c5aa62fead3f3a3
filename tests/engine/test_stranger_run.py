"""A run directory from a stranger: only its own regular files are read and written, and nothing else is touched."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speech_eval.analysis.compare import compare
from speech_eval.api.evaluate import evaluate_all
from speech_eval.api.scoring import refresh
from speech_eval.audio import Audio
from speech_eval.engine import session
from speech_eval.engine.run_directory import RunDirectory, safe_name
from speech_eval.engine.settings import Settings
from speech_eval.engine.verify import verify
from speech_eval.errors import BadInput, SpeechEvalError
from speech_eval.leaderboard.build import build
from speech_eval.records import Output, StoredAudio

ASR = "asr"


def finished(folder: Path, model: str = "noisy", tasks: tuple[str, ...] = (ASR,)) -> Path:
    """A finished run on three sentences, `folder/run`."""
    folder.mkdir(exist_ok=True)
    lines = [json.dumps({"id": f"s{i}", "text": f"a sentence with the number {i}"}) for i in range(3)]
    (folder / "set.jsonl").write_text("\n".join(lines) + "\n")
    session.run(model, tasks, folder / "run", Settings(data=str(folder / "set.jsonl")))
    return folder / "run"


def state(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Kind and content of all that lies below a folder; links are not followed."""
    found = {}
    for path in sorted(folder.rglob("*")):
        mode = path.lstat().st_mode
        content = str(path.readlink()).encode() if stat.S_ISLNK(mode) else path.read_bytes() if path.is_file() else b""
        found[str(path.relative_to(folder))] = (stat.S_IFMT(mode), content)
    return found


# ------------------------------------------------------------------------------------------- other folders


@pytest.mark.parametrize(
    "files",
    [
        ["thesis.tmp"],
        ["src/thesis.tmp", "outputs/mine.jsonl"],
        ["outputs/asr.jsonl"],
        [".git/HEAD"],
        ["manifest.json"],  # of a browser extension, say
        ["package.json", "scores/x.jsonl"],
    ],
)
def test_a_folder_that_is_not_a_run_is_refused_and_stays_as_it_is(tmp_path: Path, files: list[str]) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text('{"name": "other"}\nno newline at the end')
    before = state(tmp_path)
    with pytest.raises(BadInput), RunDirectory(tmp_path).writing():
        pass
    assert state(tmp_path) == before


@pytest.mark.parametrize("given", [".", ""])
def test_the_current_folder_is_refused_if_it_holds_other_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match=r"not a run and holds other files \(notes.txt\)"):
        session.run("noisy", ["asr"], Path(given), Settings(limit=1))
    assert state(tmp_path) == {"notes.txt": (stat.S_IFREG, b"mine")}


def test_an_empty_folder_and_the_start_of_a_run_are_taken(tmp_path: Path) -> None:
    for name in (".lock", ".gitkeep", ".speech-eval-0123456789abcdef.tmp"):
        (tmp_path / name).touch()
        with RunDirectory(tmp_path).writing():
            pass
    assert not (tmp_path / ".speech-eval-0123456789abcdef.tmp").exists()


def test_files_of_others_inside_a_run_are_left_alone(tmp_path: Path) -> None:
    run = RunDirectory(finished(tmp_path))
    for name in ("notes.tmp", "outputs/mine.jsonl", "outputs/mine.jsonl.tmp", "audio/deep/draft.tmp"):
        (run.path / name).parent.mkdir(parents=True, exist_ok=True)
        (run.path / name).write_text("a line\nno newline")
    before = state(run.path)
    with run.writing():
        pass
    assert state(run.path) == before


def test_the_directory_stays_where_it_was_when_the_working_directory_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = RunDirectory("run")
    monkeypatch.chdir("/")
    assert run.path == tmp_path / "run"


MOVES = """
import os
from speech_eval import ModelInfo, SpeechRecognizer

class Moves(SpeechRecognizer):
    def __init__(self):
        os.chdir("/")

    def info(self):
        return ModelInfo(name="moves", revision="1")

    def transcribe(self, requests):
        os.chdir("/")
        return [f"{len(request.audio.samples)} samples" for request in requests]
"""


def test_a_model_that_changes_the_working_directory_moves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "moves.py").write_text(MOVES)
    soundfile.write(tmp_path / "a.wav", np.full(800, 0.1, np.float32), 16000)
    (tmp_path / "set.jsonl").write_text(json.dumps({"id": "a", "text": "some words", "audio": "a.wav"}) + "\n")
    runs = evaluate_all(["moves.py:Moves", "noisy"], "asr", data="set.jsonl", output="runs")
    assert [run.path.parent for run in runs] == [tmp_path / "runs"] * 2 and [run.failed for run in runs] == [0, 0]
    assert runs[0].directory.outputs(ASR)["a"].text == "800 samples"


# ------------------------------------------------------------------------------------ links, pipes, devices

FILES = ["manifest.json", "results.json", f"samples/{ASR}.jsonl", f"outputs/{ASR}.jsonl", f"scores/{ASR}.jsonl"]


def _link(path: Path, outside: Path) -> None:
    path.symlink_to(outside)


def _pipe(path: Path, _: Path) -> None:
    os.mkfifo(path)


def _device(path: Path, _: Path) -> None:
    path.symlink_to("/dev/zero")


def _hard_link(path: Path, outside: Path) -> None:
    os.link(outside, path)


@pytest.mark.parametrize("plant", [_link, _pipe, _device])
@pytest.mark.parametrize("name", FILES)
def test_what_is_not_a_regular_file_is_refused_at_once(
    tmp_path: Path, name: str, plant: Callable[[Path, Path], None]
) -> None:
    path = finished(tmp_path / "runs")
    outside = tmp_path / "victim"
    outside.write_bytes((path / name).read_bytes()[:-1])  # torn, as a writer would mend it
    before = outside.read_bytes()
    (path / name).unlink()
    plant(path / name, outside)
    start = time.perf_counter()
    for use in (lambda: session.report(path), lambda: session.rescore(path, Settings()), lambda: refresh([path])):
        with pytest.raises(BadInput, match=r"is a (symbolic link|named pipe), which a run does not hold"):
            use()
    assert time.perf_counter() - start < 10 and outside.read_bytes() == before


@pytest.mark.parametrize("folder", ["outputs", "samples", "scores"])
def test_a_folder_behind_a_link_is_refused(tmp_path: Path, folder: str) -> None:
    path = finished(tmp_path / "runs")
    (path / folder).rename(tmp_path / "elsewhere")
    (path / folder).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BadInput, match="is a symbolic link"):
        session.report(path)


@pytest.mark.parametrize("plant", [_link, _pipe, _device])
def test_a_planted_lock_is_refused(tmp_path: Path, plant: Callable[[Path, Path], None]) -> None:
    path = finished(tmp_path / "runs")
    (tmp_path / "victim").write_text("content")
    (path / ".lock").unlink()
    plant(path / ".lock", tmp_path / "victim")
    with pytest.raises(BadInput, match="which a run does not hold"), RunDirectory(path).writing():
        pass
    assert (tmp_path / "victim").read_text() == "content"


def test_a_second_name_of_a_file_is_never_written_through(tmp_path: Path) -> None:
    path = finished(tmp_path / "runs")
    run = RunDirectory(path)
    for name in FILES:
        (tmp_path / Path(name).name).write_bytes((path / name).read_bytes())
    outside = tmp_path / "scores"
    outside.write_bytes(run.file("scores", ASR).read_bytes() + b'{"torn')
    run.file("scores", ASR).unlink()
    _hard_link(run.file("scores", ASR), outside)
    before = outside.read_bytes()
    with pytest.raises(BadInput, match=r"has 2 names \(hard links\)"), run.writing():
        pass
    assert outside.read_bytes() == before


@pytest.mark.parametrize("path", ["../secret.flac", "/etc/passwd", "a/../../b", "", "\0", "audio\\x.flac"])
def test_a_stored_path_stays_in_the_run(tmp_path: Path, path: str) -> None:
    stored = StoredAudio(path=path, sha256="0", rate=16000, frames=1, peak=0.0)
    with pytest.raises(BadInput, match="leads out of the run"):
        RunDirectory(tmp_path).audio_path(stored)


def test_audio_behind_a_link_is_refused(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    stored = run.write_audio("t", "a", Audio(np.ones(9, np.float32), 16000))
    (tmp_path / "secret.flac").write_bytes(run.audio_path(stored).read_bytes())
    run.audio_path(stored).unlink()
    (run.path / stored.path).symlink_to(tmp_path / "secret.flac")
    with pytest.raises(BadInput, match="is a symbolic link"):
        run.audio_path(stored)


def test_audio_that_is_larger_than_its_record_states_is_not_read(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    stored = run.write_audio("t", "a", Audio(np.ones(9, np.float32), 16000))
    with run.audio_path(stored).open("r+b") as file:
        file.truncate(1 << 36)
    with pytest.raises(BadInput, match="has 65536 MiB, more than 9 frames take"):
        run.audio_path(stored)
    with pytest.raises(BadInput, match="65536 MiB"):
        run.audio_path(stored.model_copy(update={"frames": 1 << 60}))


def test_an_unknown_metric_of_a_run_is_one_short_line(tmp_path: Path) -> None:
    path = finished(tmp_path)
    for name in ("", "x" * 10_000, "werr[whisper-normalizer@20250625]"):
        text = (path / "manifest.json").read_text()
        (path / "manifest.json").write_text(text.replace("wer[whisper-normalizer@20250625]", name))
        with pytest.raises(BadInput) as refusal:
            verify(path, Settings())
        assert len(str(refusal.value)) < 600 and "speech-eval list metrics" in str(refusal.value)
        (path / "manifest.json").write_text(text)


# --------------------------------------------------------------------------------------------- read-only


def test_reading_writes_nothing_and_needs_no_lock(tmp_path: Path) -> None:
    path = finished(tmp_path, tasks=(ASR, "latency"))
    (path / ".lock").unlink()
    before = {file: file.stat().st_mtime_ns for file in path.rglob("*")}
    session.report(path)
    assert verify(path, Settings()).differences == []
    compare(RunDirectory(path), RunDirectory(path))
    build([path], tmp_path / "site")
    assert {file: file.stat().st_mtime_ns for file in path.rglob("*")} == before


def test_numbers_that_must_be_written_are_written(tmp_path: Path) -> None:
    path = finished(tmp_path)
    before = (path / "results.json").read_bytes()
    (path / "results.json").unlink()
    session.report(path)
    assert (path / "results.json").read_bytes() == before


# ----------------------------------------------------------------------------------------------- contents


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("results.json", '"value": ', '"value": NaN, "x": '),
        ("results.json", '"seed": 0', '"seed": 1e999'),
        ("results.json", '"seed": 0', f'"seed": {"9" * 5000}'),
        ("manifest.json", '"options": {', '"options": {"a": -Infinity,'),
        ("manifest.json", '"tasks": {', '"tasks": {"x": 3,'),
        ("manifest.json", '"tasks": {', '"tasks": [], "t": {'),
        ("manifest.json", '"options": {', '"options": {"a": ' + "[" * 5000 + "]" * 5000 + ","),
        ("manifest.json", '"name": "', '"name": "\\ud800'),
        (f"outputs/{ASR}.jsonl", '"metadata":{}', '"metadata":{"a":NaN}'),
        (f"outputs/{ASR}.jsonl", '"metadata":{}', '"metadata":{"a":1e400}'),
        (f"scores/{ASR}.jsonl", '"errors":', '"errors":Infinity,"x":'),
    ],
)
def test_records_that_cannot_be_are_one_line_with_the_file(tmp_path: Path, name: str, old: str, new: str) -> None:
    path = finished(tmp_path)
    text = (path / name).read_text()
    assert old in text
    (path / name).write_text(text.replace(old, new, 1))
    with pytest.raises(BadInput) as caught:
        RunDirectory(path).results()
        refresh([path])
    assert str(path / name) in caught.value.problem and "\n" not in str(caught.value) and len(str(caught.value)) < 900


def test_a_line_of_fifty_megabytes_is_refused(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.append("outputs", "t", [Output(id="a", task="t", status="ok", seed=1, text="x" * 50_000_000)])
    with pytest.raises(BadInput, match="line 1: over 16 MiB, the most that a line has"):
        run.outputs("t")


def test_a_text_with_the_word_nan_is_a_text(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    line = Output(id="a", task="t", status="ok", seed=1, text="NaN, 1e999, Infinity: " + "1" * 60)
    run.append("outputs", "t", [line])
    assert run.outputs("t") == {"a": line}


@pytest.mark.parametrize("length", [99, 100, 101, 10_000])
def test_long_names_give_names_that_a_file_system_takes(tmp_path: Path, length: int) -> None:
    one, other = "é" * 3 + "x" * length, "è" * 3 + "x" * length
    assert len(safe_name(one)) <= 100 and (length < 97 or safe_name("a" * 200) != safe_name("a" * 201))
    run = RunDirectory(tmp_path)
    run.append("outputs", other, [Output(id="a", task=other, status="ok", seed=1)])
    assert list(run.outputs(other)) == ["a"]


# ------------------------------------------------------------------------------------------------- verify


def test_verify_removes_its_copy_when_it_is_ended(tmp_path: Path) -> None:
    path = finished(tmp_path / "runs")
    (tmp_path / "temporary").mkdir()
    script = (
        "import os, signal, sys; from pathlib import Path; from speech_eval.engine import session, verify\n"
        "from speech_eval.engine.settings import Settings\n"
        "session.rescore = lambda *_: os.kill(os.getpid(), int(sys.argv[2]))\n"
        "verify.verify(Path(sys.argv[1]), Settings())\n"
    )
    for number in (signal.SIGTERM, signal.SIGHUP):
        done = subprocess.run(
            [sys.executable, "-c", script, str(path), str(int(number))],
            env={**os.environ, "TMPDIR": str(tmp_path / "temporary")},
            timeout=120,
        )
        assert done.returncode == 128 + number
    assert list((tmp_path / "temporary").iterdir()) == []


def test_verify_copies_nothing_that_is_not_the_run_s(tmp_path: Path) -> None:
    finished(tmp_path)
    (tmp_path / "run" / "everything").symlink_to("/")
    os.mkfifo(tmp_path / "run" / "pipe")
    assert verify(tmp_path / "run", Settings()).differences == []


def test_an_unwritable_place_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(SpeechEvalError, match=r"not a folder|cannot be written"),
        RunDirectory(tmp_path / "file" / "run").writing(),
    ):
        pass

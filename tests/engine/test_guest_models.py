"""Adapters of one's own that print, exit, hang, crash, change, or answer what no file can hold."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speech_eval.adapters import spec as modelspec
from speech_eval.engine import session
from speech_eval.engine.generate import guest as guests
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.engine.settings import Settings
from speech_eval.errors import BadInput, SpeechEvalError
from speech_eval.progress import Say, unsaid
from speech_eval.safety import guest as safety

MODEL = """
import os, subprocess, sys, time
sys.path.insert(0, os.path.dirname(__file__))
import words
import numpy as np
from speech_eval import Audio, ModelInfo, SpeechRecognizer, SpeechSynthesizer

print("module"); os.write(1, b"descriptor\\n"); subprocess.run(["echo", "child"])

class Text(SpeechRecognizer):
    loads = 0
    def __init__(self, mode="ok", batch=1):
        self.mode, self.batch_size, self.asked = mode, batch, 0
        Text.loads += 1
        if mode == "exit-in-constructor": sys.exit(0)
    def info(self):
        if self.mode == "exit-in-info": sys.exit(0)
        if self.mode == "bad-info": return {"name": "x"}
        if self.mode == "info-without-json": return ModelInfo(name="x", metadata={"rate": object()})
        return ModelInfo(name="text")
    def transcribe(self, requests):
        print("asked")
        self.asked += 1
        if self.mode == "exit": sys.exit(0)
        if self.mode == "at-once": os._exit(0)
        if self.mode == "at-once-in-thread":
            import threading
            threading.Thread(target=lambda: os._exit(0)).start(); time.sleep(30)
        if self.mode == "in-child" and not os.fork(): os._exit(0)
        if self.mode == "close-streams": sys.stdout.close(); sys.stderr.close(); sys.__stdout__.buffer.close()
        if self.mode == "crash": raise RuntimeError("boom at http://u:pa55@h/x")
        if self.mode == "hang": time.sleep(60)
        if self.mode == "hang-first" and Text.loads == 1: time.sleep(60)
        if self.mode == "swallow":
            while True:
                try: time.sleep(60)
                except: pass
        whole = {"a text": "a", "too many": ["a", "b", "c"], "nothing": None, "a mapping": {"a": "b"}}
        if self.mode in whole: return whole[self.mode]
        odd = {"surrogate": "\\ud800", "number": 5, "none": None}
        return [odd.get(self.mode, words.WORD) for _ in requests]
    def close(self):
        if self.mode == "bad-close": raise ValueError("cannot close")
        if self.mode == "exit-in-close": sys.exit(0)

class Sound(SpeechSynthesizer):
    def __init__(self, mode="ok"): self.mode = mode
    def info(self): return ModelInfo(name="sound")
    def synthesize(self, requests):
        odd = {"complex": np.zeros(100, complex), "huge": np.full(100, 1e39), "shape": np.zeros((3, 4, 5)),
               "stereo": np.zeros((2, 100)), "text": "sound", "rate": np.zeros(100)}[self.mode]
        return [Audio(odd, "fast" if self.mode == "rate" else 16000) for _ in requests]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delitem(sys.modules, "words", raising=False)  # of another test's folder
    (tmp_path / "model.py").write_text(MODEL)
    (tmp_path / "words.py").write_text("WORD = 'hello'\n")
    soundfile.write(tmp_path / "a.wav", np.sin(np.arange(8000) / 9) / 2, 16000)
    lines = [json.dumps({"id": f"s{number}", "text": "hello", "audio": "a.wav"}) for number in range(6)]
    (tmp_path / "set.jsonl").write_text("\n".join(lines) + "\n")
    return tmp_path


def run(folder: Path, model: str, task: str = "asr", say: Say = unsaid, **settings: object) -> RunDirectory:
    chosen = Settings(data=str(folder / "set.jsonl"), workers=1, **settings)  # type: ignore[arg-type]
    session.run(modelspec.parse(f"{folder}/model.py:{model}"), [task], folder / "run", chosen, say=say)
    return RunDirectory(folder / "run")


def cli(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "speech_eval", "run", "-t", "asr", "--data", "set.jsonl", "-o", "run", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


def errors(directory: RunDirectory, task: str = "asr") -> set[str]:
    return {output.error or "" for output in directory.outputs(task).values() if output.status == "failed"}


# ------------------------------------------------------------------------------------- printing and exits


def test_what_a_model_prints_never_reaches_the_json(folder: Path) -> None:
    done = cli(folder, "-m", "model.py:Text", "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["failed"] == 0
    assert all(text in done.stderr for text in ("module", "descriptor", "child", "asked"))


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["exit", "exit-in-constructor", "exit-in-info", "exit-in-close"])
def test_a_model_that_exits_does_not_end_the_command_with_success(folder: Path, mode: str) -> None:
    done = cli(folder, "-m", f"model.py:Text,mode={mode}")
    assert done.returncode in (2, 3) and "tried to end the program (SystemExit: 0)" in done.stderr + done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "codes", "message"),
    [
        ("at-once", (2, 3), "tried to end the program (SystemExit: 0)"),
        ("at-once-in-thread", (2,), "a thread of a model, plug-in or library tried to end the program (0)"),
        ("in-child", (0,), ""),
        ("close-streams", (0,), ""),
    ],
)
def test_a_model_cannot_end_the_program_silently(folder: Path, mode: str, codes: tuple[int, ...], message: str) -> None:
    done = cli(folder, "-m", f"model.py:Text,mode={mode}")
    assert done.returncode in codes and message in done.stderr + done.stdout
    assert "Traceback" not in done.stderr and (done.returncode or "wer" in done.stdout)


def test_a_file_that_exits_when_it_is_loaded_is_named(folder: Path) -> None:
    (folder / "model.py").write_text("import sys\nsys.exit(0)\n")
    done = cli(folder, "-m", "model.py:Text")
    assert done.returncode == 2 and "model.py" in done.stderr and "tried to end the program" in done.stderr


@pytest.mark.parametrize("mode", ["bad-close", "exit-in-close"])
def test_a_model_that_cannot_be_closed_is_scored_first(folder: Path, mode: str) -> None:
    with pytest.raises(SpeechEvalError, match=r"Text\.close\(\)"):
        run(folder, f"Text,mode={mode}")
    assert RunDirectory(folder / "run").results().tasks[0].counts.ok == 6


@pytest.mark.parametrize("mode", ["bad-info", "info-without-json"])
def test_information_that_cannot_be_stored_is_named(folder: Path, mode: str) -> None:
    with pytest.raises(SpeechEvalError, match=r"Text\.info\(\) failed"):
        run(folder, f"Text,mode={mode}")


# ------------------------------------------------------------------------------------------------ answers


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("surrogate", "cannot be stored"),
        ("number", "int, not a transcript"),
        ("none", "NoneType, not a transcript"),
        ("a text", "str, not a list with one answer per request"),
        ("a mapping", "dict, not a list"),
        ("nothing", "NoneType, not a list"),
        ("too many", "3 answers to 1 requests"),
    ],
)
def test_an_answer_that_is_no_text_is_a_failure_by_name(folder: Path, mode: str, message: str) -> None:
    found = errors(run(folder, f"Text,mode={mode}"))
    assert found and all(message in error for error in found)


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("complex", "samples are complex128, not floats"),
        ("huge", "float64 numbers beyond float32"),
        ("shape", r"(3, 4, 5) is not one channel"),
        ("stereo", r"(2, 100) is not one channel"),
        ("text", "() is not one channel"),
        ("rate", "a sample rate of 'fast' Hz"),
    ],
)
def test_sound_that_is_none_is_a_failure_by_name(folder: Path, mode: str, message: str) -> None:
    found = errors(run(folder, f"Sound,mode={mode}", "latency"), "latency")
    assert found and all(message in error for error in found)


# ------------------------------------------------------------------------------------------------- time


def test_a_model_that_hangs_is_given_up_and_its_samples_are_not_asked_again(folder: Path) -> None:
    with pytest.raises(guests.GivenUp, match="3 answers in a row were out of time"):
        run(folder, "Text,mode=hang", timeout=0.2)
    directory = RunDirectory(folder / "run")
    assert len(directory.outputs("asr")) == 3 and all("within 0.2 s" in error for error in errors(directory))
    with pytest.raises(guests.GivenUp):
        run(folder, "Text,mode=hang", timeout=0.2)
    assert len(directory.outputs("asr")) == 6
    assert run(folder, "Text,mode=hang", timeout=0.2).results().tasks[0].counts.failed == 6


def test_a_model_is_loaded_anew_after_an_answer_out_of_time(folder: Path) -> None:
    directory = run(folder, "Text,mode=hang-first", timeout=0.3)
    assert [output.status for output in directory.outputs("asr").values()] == ["failed", *["ok"] * 5]


def test_a_model_that_cannot_be_interrupted_ends_the_command_with_its_samples_named(folder: Path) -> None:
    code = (
        "from speech_eval.safety import guest; guest.GRACE_SECONDS = 1.0\nfrom speech_eval.cli.main import main; main()"
    )
    arguments = ["run", "-m", "model.py:Text,mode=swallow", "-t", "asr", "--data", "set.jsonl", "-o", "run"]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments, "--timeout", "0.2"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2 and "sample s0 did not answer within 0.2 s, and cannot be interrupted" in done.stderr
    assert set(RunDirectory(folder / "run").outputs("asr")) == {"s0"}


def test_a_process_that_is_not_the_command_line_is_never_ended() -> None:
    assert safety.may_end_process is False


# ------------------------------------------------------------------------------------------------ crashes


def test_a_crash_keeps_its_traceback_without_credentials(folder: Path) -> None:
    outputs = list(run(folder, "Text,mode=crash").outputs("asr").values())
    assert {output.error for output in outputs} == {"RuntimeError: boom at http://h/x"}
    kept = [output.traceback for output in outputs if output.traceback]
    assert len(kept) == 3 and all("model.py" in text and "in transcribe" in text for text in kept)
    assert all("pa55" not in text for text in kept)


def test_verbose_shows_the_traceback_once(folder: Path) -> None:
    done = cli(folder, "-m", "model.py:Text,mode=crash", "-v")
    assert done.returncode == 3 and done.stderr.count("in transcribe") == 1


def test_after_a_crash_is_mended_the_same_command_asks_again(folder: Path) -> None:
    run(folder, "Text,mode=crash")
    (folder / "model.py").write_text(MODEL.replace("raise RuntimeError", "RuntimeError"))
    done = cli(folder, "-m", f"{folder}/model.py:Text,mode=crash")
    assert done.returncode == 0 and "code has changed (model.py)" in " ".join(done.stderr.split())
    assert RunDirectory(folder / "run").results().tasks[0].counts.ok == 6


def test_failures_that_stay_are_said_with_the_way_to_ask_again(folder: Path) -> None:
    run(folder, "Text,mode=crash")
    said: list[str] = []
    run(folder, "Text,mode=crash", say=said.append)
    assert "Failed answers of an earlier call are kept: 6 of asr. --retry-failed asks for them again." in said


# ------------------------------------------------------------------------------------------------ changes


def test_a_changed_helper_is_refused_by_name_and_regenerated_when_asked_for(folder: Path) -> None:
    held = run(folder, "Text").manifest().model.code
    assert set(held) == {"model.py", "words.py"}
    (folder / "words.py").write_text("WORD = 'goodbye'\n")
    # A module is loaded once per process, so the changed file needs another one.
    refused = cli(folder, "-m", f"{folder}/model.py:Text")
    assert refused.returncode == 2 and "has changed since this run began: words.py" in " ".join(refused.stderr.split())
    assert "--regenerate" in refused.stderr
    anew = cli(folder, "-m", f"{folder}/model.py:Text", "--regenerate", "--json")
    assert json.loads(anew.stdout)["failed"] == 0
    assert {output.text for output in RunDirectory(folder / "run").outputs("asr").values()} == {"goodbye"}
    events = [event.event for event in RunDirectory(folder / "run").manifest().events]
    assert "regenerated" in events and cli(folder, "-m", f"{folder}/model.py:Text").returncode == 0


def test_regenerating_keeps_to_the_model_of_the_run(folder: Path) -> None:
    run(folder, "Text")
    with pytest.raises(BadInput, match="holds a run of"):
        run(folder, "Text,mode=crash", regenerate=True)
    assert RunDirectory(folder / "run").results().tasks[0].counts.ok == 6

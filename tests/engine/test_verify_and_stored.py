"""Numbers that follow from stored outputs, and outputs that were made elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speech_eval.adapters import spec as modelspec
from speech_eval.engine import session as runner
from speech_eval.engine.plan import plan
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.engine.session import Settings
from speech_eval.engine.task import TASKS, Task
from speech_eval.engine.verify import verify
from speech_eval.errors import BadInput
from speech_eval.progress import Say, unsaid


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three recordings with texts, as a manifest."""
    tone = (0.3 * np.sin(np.arange(16000) / 7)).astype(np.float32)
    lines = []
    for i in range(3):
        soundfile.write(tmp_path / f"s{i}.wav", tone * (i + 1) / 3, 16000)
        lines.append(json.dumps({"id": f"s{i}", "text": f"words number {i}", "audio": f"s{i}.wav"}))
    (tmp_path / "set.jsonl").write_text("\n".join(lines) + "\n")
    return tmp_path


SPOKEN = "spoken"  # a task of synthesizers that measures no time


@pytest.fixture(autouse=True)
def spoken() -> None:
    metric = "rtf[answer@1]"
    task = Task(
        name=SPOKEN,
        version=1,
        protocol="spoken@1",
        description="",
        interface="SpeechSynthesizer",
        dataset="asterisk-en",
        metrics=(metric,),
        primary=metric,
    )
    TASKS.replace(SPOKEN, lambda: task)


def run(folder: Path, model: str, task: str, say: Say = unsaid) -> RunDirectory:
    settings = Settings(data=str(folder / "set.jsonl"))
    runner.run(modelspec.parse(model), [task], folder / "run", settings, say=say)
    return RunDirectory(folder / "run")


def test_an_untouched_run_verifies(folder: Path) -> None:
    found = verify(run(folder, "noisy", "asr").path, Settings())
    assert found.differences == [] and found.exit_code == 0 and found.numbers > 4
    assert found.published_sha256 == found.recomputed_sha256


def test_a_number_edited_by_hand_is_found(folder: Path) -> None:
    directory = run(folder, "noisy", "asr")
    data = json.loads((directory.path / "results.json").read_text())
    data["tasks"][0]["metrics"][0]["strict"]["value"] = 0.0001
    (directory.path / "results.json").write_text(json.dumps(data))
    found = verify(directory.path, Settings())
    assert found.exit_code == 1 and "wer[whisper-normalizer@20250625]/wer strict" in found.differences[0]


def test_an_output_edited_by_hand_is_found_even_with_its_scores_left_alone(folder: Path) -> None:
    directory = run(folder, "oracle", "asr")
    file = directory.file("outputs", "asr")
    file.write_text(file.read_text().replace("words number 1", "other words"))
    assert verify(directory.path, Settings()).exit_code == 1


def test_audio_changed_on_disk_is_found(folder: Path) -> None:
    directory = run(folder, "oracle", "latency")
    stored = next(iter(directory.outputs("latency").values())).audio
    assert stored is not None
    soundfile.write(directory.audio_path(stored), np.zeros(100, np.float32), 16000)
    assert any("is not what was stored" in line for line in verify(directory.path, Settings()).differences)


def test_verifying_does_not_touch_the_run(folder: Path) -> None:
    directory = run(folder, "noisy", "asr")
    before = {p: p.read_bytes() for p in directory.path.rglob("*") if p.is_file()}
    verify(directory.path, Settings())
    assert {p: p.read_bytes() for p in directory.path.rglob("*") if p.is_file()} == before


def test_ground_truth_answers_with_the_recordings(folder: Path) -> None:
    outputs = run(folder, "ground-truth", SPOKEN).outputs(SPOKEN)
    assert {key: output.status for key, output in outputs.items()} == {"s0": "ok", "s1": "ok", "s2": "ok"}
    peaks = {key: output.audio.peak for key, output in outputs.items() if output.audio}
    assert peaks == pytest.approx({"s0": 0.1, "s1": 0.2, "s2": 0.3}, abs=1e-3)


def test_ground_truth_without_recordings_is_refused(folder: Path) -> None:
    (folder / "set.jsonl").write_text('{"id": "a", "text": "some words"}\n')
    with pytest.raises(BadInput, match="needs a recording, and no sample has one"):
        run(folder, "ground-truth", SPOKEN)
    assert not (folder / "run" / "results.json").exists()


def test_ground_truth_does_not_count_samples_without_a_recording(folder: Path) -> None:
    with (folder / "set.jsonl").open("a") as file:
        file.write('{"id": "a", "text": "some words"}\n')
    said: list[str] = []
    output = run(folder, "ground-truth", SPOKEN, said.append).outputs(SPOKEN)["a"]
    assert output.status == "invalid" and "no recording" in (output.error or "")
    assert any("1 of 4 samples have no recording" in line for line in said)


@pytest.mark.parametrize("metric", ["rtf[answer@1]", "rtfx[open-asr]", "response[first-text@1]"])
def test_the_reading_of_a_file_is_not_timed(folder: Path, metric: str) -> None:
    (folder / "texts").mkdir()
    for name in ("s0", "s1", "s2"):
        (folder / "texts" / f"{name}.txt").write_text("some words")
    with pytest.raises(BadInput, match="the answers exist already"):
        plan(f"outputs:{folder / 'texts'}", ["asr"], Settings(data=str(folder / "set.jsonl"), metrics=(metric,)))
    (item,) = plan(f"outputs:{folder / 'texts'}", ["open-asr"], Settings(data=str(folder / "set.jsonl"))).items
    assert "rtfx[open-asr]" not in item.metrics and "without rtfx[open-asr]" in item.note


@pytest.mark.parametrize("task", ["latency", "latency-load"])
@pytest.mark.parametrize("kind", ["ground-truth", "speech", "texts"])
def test_answers_that_exist_already_have_no_latency(folder: Path, kind: str, task: str) -> None:
    for name, file in (("speech", "s0.wav"), ("texts", "s0.txt")):
        (folder / name).mkdir()
        (folder / name / file).write_bytes(b"")
    model = kind if kind == "ground-truth" else f"outputs:{folder / kind}"
    with pytest.raises(BadInput, match="measures time"):
        run(folder, model, task)


@pytest.mark.parametrize("names", [["0.txt", "1.txt"], ["S0.txt"], ["set/s0.txt"]])
def test_outputs_that_are_named_otherwise_are_refused(folder: Path, names: list[str]) -> None:
    for name in names:
        (folder / "texts" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "texts" / name).write_text("words")
    with pytest.raises(
        BadInput, match=r"no answer to 3 of 3 samples, such as 's0', 's1', 's2'; . answers belong to no"
    ):
        run(folder, f"outputs:{folder / 'texts'}", "asr")


def test_outputs_that_are_missing_are_named_and_count_as_failures(folder: Path) -> None:
    (folder / "texts").mkdir()
    (folder / "texts" / "s0.txt").write_text("words number 0")
    (folder / "texts" / "s9.txt").write_text("words number 9")
    said: list[str] = []
    directory = run(folder, f"outputs:{folder / 'texts'}", "asr", said.append)
    assert directory.results().tasks[0].counts.failed == 2
    assert "no answer to 2 of 3 samples, such as 's1', 's2'; 1 answers belong to no sample, such as 's9'" in said[0]


def test_transcripts_made_elsewhere_are_scored(folder: Path) -> None:
    (folder / "texts").mkdir()
    (folder / "texts" / "s0.txt").write_text("words number 0")
    (folder / "texts" / "more.jsonl").write_text('{"id": "s1", "text": "words number 7"}\n')
    directory = run(folder, f"outputs:{folder / 'texts'}", "asr")
    assert {k: o.status for k, o in directory.outputs("asr").items()} == {"s0": "ok", "s1": "ok", "s2": "failed"}
    wer = directory.results().tasks[0].metrics[0]
    assert wer.strict.value == pytest.approx(100 * 4 / 9, abs=1e-4)
    assert wer.compat.value == pytest.approx(100 * 1 / 6, abs=1e-4)


def test_speech_made_elsewhere_is_taken_in(folder: Path) -> None:
    (folder / "speech").mkdir()
    soundfile.write(folder / "speech" / "s1.wav", np.full(2400, 0.2, np.float32), 24000)
    outputs = run(folder, f"outputs:{folder / 'speech'}", SPOKEN).outputs(SPOKEN)
    assert {k: o.status for k, o in outputs.items()} == {"s0": "failed", "s1": "ok", "s2": "failed"}
    assert outputs["s1"].audio is not None and outputs["s1"].audio.rate == 24000


@pytest.mark.parametrize(("names", "message"), [([], "neither audio nor text"), (["a.wav", "a.txt"], "audio and text")])
def test_a_folder_of_no_or_two_kinds_is_refused(tmp_path: Path, names: list[str], message: str) -> None:
    for name in names:
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(BadInput, match=message):
        modelspec.resolve(f"outputs:{tmp_path}").build()

"""Tasks under conditions: what the model hears, how results are named and kept apart, what cannot be asked."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from support.task_worlds import recordings
from typer.testing import CliRunner

from speech_eval import load_run, score
from speech_eval.analysis.aligned import obstacles
from speech_eval.cli.main import app
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.errors import BadInput
from speech_eval.leaderboard.boards import boards
from speech_eval.leaderboard.charts import charts
from speech_eval.leaderboard.load import find

# A recognizer that is right about quiet recordings only, and a voice; both note what they hear in a file beside them.
MODEL = """
import json, pathlib
import numpy as np
from speech_eval import ModelInfo, SpeechRecognizer, SpeechSynthesizer

HEARD = pathlib.Path(__file__).with_name("heard.jsonl")

def note(key, audio):
    loud = float(20 * np.log10(np.sqrt(np.mean(audio.samples.astype(float) ** 2))))
    with HEARD.open("a") as file:
        file.write(json.dumps([key, len(audio.samples), round(loud, 3)]) + "\\n")
    return loud

class Ear(SpeechRecognizer):
    def info(self):
        return ModelInfo(name="ear")

    def transcribe(self, requests):
        return ["he was not" if note(r.id, r.audio) < -25 else "louder than it was" for r in requests]

class Voice(SpeechSynthesizer):
    def info(self):
        return ModelInfo(name="voice")

    def synthesize(self, requests):
        for request in requests:
            note(request.id, request.load_prompt())
        return [request.load_prompt() for request in requests]
"""
SIMILARITY = "sim[cam++@zh-en-common]"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    recordings(tmp_path / "data")
    rows = [
        {"id": f"s{n}", "file_name": f"{n}.wav", "prompt_audio": f"{n}.wav", "text": "he was not", "prompt_text": "he"}
        for n in range(4)
    ]
    (tmp_path / "data" / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "model.py").write_text(MODEL)
    return tmp_path


def run(folder: Path, *words: str, model: str = "Ear", to: str = "run", refused: bool = False) -> str:
    spec = f"{folder / 'model.py'}:{model}" if model in ("Ear", "Voice") else model
    command = ["run", "-m", spec, "--data", str(folder / "data"), "-o", str(folder / to), "--workers", "1", *words]
    done = CliRunner().invoke(app, command)
    assert (done.exit_code != 0) == refused, done.output
    return f"{done.output} {done.exception}"


def heard(folder: Path) -> list[tuple[str, int, float]]:
    lines = (folder / "heard.jsonl").read_text().splitlines()
    (folder / "heard.jsonl").unlink()
    return [tuple(json.loads(line)) for line in lines]


def test_each_condition_is_a_result_of_its_own_and_the_change_is_paired(folder: Path) -> None:
    said = run(folder, "--tasks", "asr", "--under", "clean,level=-50,level=-6,telephone")
    results = {task.task: task for task in load_run(folder / "run").results.tasks}
    assert list(results) == ["asr", "asr@level=-50", "asr@level=-6", "asr@telephone"]
    assert [results[name].under for name in results] == ["", "level=-50", "level=-6", "telephone"]
    assert len({task.dataset_sha256 for task in results.values()}) == 1
    record = load_run(folder / "run").manifest.tasks["asr@level=-50"]
    assert (record.under, record.sweep and record.sweep.value) == ("level=-50", -50)
    changes = {change.under: change for change in load_run(folder / "run").changes()}
    assert changes["level=-50"].change.value == -changes["level=-50"].clean.value  # type: ignore[operator]
    assert changes["level=-6"].n == 4 and changes["telephone"].adjusted is not None
    assert "under conditions" in said and "so heard" in said


def test_the_model_gets_the_changed_recording_and_the_same_one_each_time(folder: Path) -> None:
    words = ("--tasks", "asr", "--under", "babble=0,room=0.6,speed=2")
    run(folder, *words)
    first = heard(folder)
    run(folder, *words, "--batch-size", "3", to="again")
    assert sorted(first) == sorted(heard(folder)) and len(first) == 12
    run(folder, "--tasks", "asr", to="plain")
    plain = {key: (frames, loud) for key, frames, loud in heard(folder)}
    for key, frames, loud in first[:4]:
        assert frames == plain[key][0] and loud > plain[key][1] + 1  # as much babble as speech
    assert all(abs(frames - plain[key][0] / 2) <= 1 for key, frames, _ in first[8:])
    run(folder, *words, "--seed", "1", to="other")
    assert np.abs(np.array([one[2] for one in first[:4]]) - [one[2] for one in heard(folder)[:4]]).max() > 0.01


def test_the_samples_keep_their_seeds_under_every_condition(folder: Path) -> None:
    run(folder, "--tasks", "asr", "--under", "clean,noise=5")
    outputs = [RunDirectory(folder / "run").outputs(name) for name in ("asr", "asr@noise=5")]
    assert {key: o.seed for key, o in outputs[0].items()} == {key: o.seed for key, o in outputs[1].items()}


@pytest.mark.slow
def test_a_voice_prompt_is_changed_and_the_likeness_is_to_the_clean_one(folder: Path) -> None:
    """The voice speaks its prompt."""
    run(folder, "--tasks", "seed-tts", "--metrics", SIMILARITY, "--under", "clean,telephone", model="Voice")
    assert len(heard(folder)) == 8
    (change,) = load_run(folder / "run").changes()
    assert change.clean.value == pytest.approx(1.0, abs=1e-4) and change.change.value < -0.02


def test_a_stored_run_is_scored_again_under_its_names(folder: Path) -> None:
    run(folder, "--tasks", "asr", "--under", "clean,room=0.6+opus=6")
    before = load_run(folder / "run").results
    score(folder / "run")
    assert load_run(folder / "run").results == before
    assert before.tasks[1].sweep is not None and before.tasks[1].sweep.axis == "room=0.6+opus"


def test_conditions_never_share_a_board_with_clean_recordings_or_with_each_other(folder: Path) -> None:
    run(folder, "--tasks", "asr", "--under", "clean,level=-50,level=-6,telephone")
    made = boards(find([folder / "run"])[0])
    assert {(board.task, board.sweep, len(board.rows)) for board in made} == {
        ("asr", "", 1),
        ("asr under level", "level", 2),
        ("asr under telephone", "", 1),
    }
    (chart,) = (chart for chart in charts(made, {}) if chart["kind"] == "sweep")
    (curve,) = chart["curves"]
    assert (chart["axis"], chart["unit"], chart["log"]) == ("level", "dBFS", False)
    assert [point["x"] for point in curve["points"]] == [-50, -6]
    clean = next(board for board in made if board.task == "asr").rows[0].result.metrics[0].strict
    assert curve["clean"][0] == [clean.value, clean.low, clean.high]


def test_runs_under_different_conditions_are_not_compared(folder: Path) -> None:
    run(folder, "--tasks", "asr", "--under", "level=-50")
    run(folder, "--tasks", "asr", "--under", "level=-6", to="other")
    said = CliRunner().invoke(app, ["compare", str(folder / "run"), str(folder / "other")])
    assert said.exit_code != 0 and "no task in common" in f"{said.output} {said.exception}"
    assert obstacles(RunDirectory(folder / "run"), RunDirectory(folder / "run")) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--tasks", "asr", "--under", "babel=3"), "no condition 'babel=3'"),
        (("--tasks", "latency", "--under", "babble=3"), "recordings of latency are not changed"),
        (("--tasks", "asr", "--under", "babble=3", "--limit", "2"), "too few recordings"),
    ],
)
def test_what_cannot_be_asked_so_is_said(folder: Path, words: tuple[str, ...], message: str) -> None:
    assert message in run(folder, *words, refused=True)


def test_a_model_that_does_not_hear_has_no_conditions(folder: Path) -> None:
    said = run(folder, "--tasks", "asr", "--under", "telephone", model="oracle", refused=True)
    assert "given no recording" in said


def test_recordings_that_are_defects_of_the_data_make_no_babble_and_no_failure(folder: Path) -> None:
    for number in (1, 2):
        soundfile.write(folder / "data" / f"{number}.wav", np.zeros(16_000), 16_000)
    told = run(folder, "--tasks", "asr", "--under", "clean,babble=5", refused=True)
    assert "too few recordings to make babble of: 2 of 4 samples have sound data" in told
    assert not (folder / "heard.jsonl").exists()


def rename(path: Path, under: str) -> None:
    """Let the run say that its only task was asked under another condition."""
    for name in ("manifest.json", "results.json"):
        data = json.loads((path / name).read_text())
        tasks = data["tasks"] if isinstance(data["tasks"], list) else list(data["tasks"].values())
        tasks[0]["under"] = under
        (path / name).write_text(json.dumps(data))


@pytest.mark.parametrize("under", ["noise=6", "<b>\u202e", "x" * 5000])
def test_a_run_whose_condition_is_not_that_of_its_task_is_left_out(folder: Path, under: str) -> None:
    run(folder, "--tasks", "asr", "--under", "noise=5")
    run(folder, "--tasks", "asr", to="sound")
    rename(folder / "run", under)
    for command in ("verify", "score", "report"):
        with pytest.raises(BadInput, match=r"run/(manifest|results)\.json: .*condition") as caught:
            CliRunner().invoke(app, [command, str(folder / "run")], catch_exceptions=False)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 600
    words = ["leaderboard", "build", str(folder / "run"), str(folder / "sound"), "-o", str(folder / "site")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0 and "left out: run" in done.output


def test_a_condition_that_does_not_exist_here_names_the_run(folder: Path) -> None:
    run(folder, "--tasks", "asr", "--under", "noise=5")
    for file in ("manifest.json", "results.json"):
        path = folder / "run" / file
        path.write_text(path.read_text().replace("noise=5", "nose=5"))
    for kind in ("samples", "outputs", "scores"):
        (file,) = (folder / "run" / kind).glob("*.jsonl")
        text = file.read_text().replace("noise=5", "nose=5")
        file.with_name(file.name.replace("noise", "nose")).write_text(text)
    with pytest.raises(BadInput, match=r"no condition 'nose=5'") as caught:
        CliRunner().invoke(app, ["verify", str(folder / "run")], catch_exceptions=False)
    assert str(folder / "run") in str(caught.value)

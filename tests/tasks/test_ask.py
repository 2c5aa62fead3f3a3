"""The same items asked as speech, as text and by a transcript, and the gap between these."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from support.task_worlds import recordings
from typer.testing import CliRunner

from speech_eval import load_run, report, score
from speech_eval.analysis.modality_gap import Gap
from speech_eval.cli.main import app
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.errors import BadInput
from speech_eval.leaderboard.build import build

# Answers with the letter that a text ends in; of the recordings it knows the first two, by their length.
MODEL = """
from speech_eval import AudioLanguageModel, ChatReply, ModelInfo

class Hearer(AudioLanguageModel):
    def info(self):
        return ModelInfo(name="hearer")

    def reply(self, requests):
        return [ChatReply(text=self.answer(r.messages[0]["content"])) for r in requests]

    def answer(self, parts):
        assert len(parts) == 1, parts
        if parts[0]["type"] == "text":
            return parts[0]["text"][-1] if parts[0]["text"].startswith("Say") else "heard: " + parts[0]["text"]
        seconds = len(parts[0]["audio"].samples) / parts[0]["audio"].rate
        return {1.6: "A", 1.5: "B"}.get(round(seconds, 2), "I cannot tell")
"""
RECOGNIZER = """
from speech_eval import ModelInfo, SpeechRecognizer

class Ear(SpeechRecognizer):
    def info(self):
        return ModelInfo(name="ear")

    def transcribe(self, requests):
        return [f"Say {'ABCD'[0 if request.language == 'en' else 1]}" for request in requests]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four spoken questions, keys A to D, and the two models above."""
    recordings(tmp_path / "data")
    rows = [
        {"id": f"q{n}", "file_name": f"{n}.wav", "text": letter, "prompt_text": f"Say {letter}", "language": "en"}
        for n, letter in enumerate("ABCD")
    ]
    (tmp_path / "data" / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "model.py").write_text(MODEL)
    (tmp_path / "ear.py").write_text(RECOGNIZER)
    return tmp_path


def run(folder: Path, model: str, *words: str, refused: bool = False) -> str:
    command = ["run", "-m", model, "--data", str(folder / "data"), "-o", str(folder / "run"), "--workers", "1", *words]
    done = CliRunner().invoke(app, command)
    assert (done.exit_code != 0) == refused, done.output
    return f"{done.output} {done.exception}"


def ask(folder: Path, ways: str) -> list[Gap]:
    words = ["--tasks", "voicebench-mmsu", "--ask", ways, "--recognizer", f"{folder / 'ear.py'}:Ear"]
    run(folder, f"{folder / 'model.py'}:Hearer", *words)
    return load_run(folder / "run").gaps()


def test_every_way_is_a_result_and_the_gap_is_paired_by_item(folder: Path) -> None:
    text, transcript = ask(folder, "speech,text,transcript")
    tasks = {task.task: task for task in load_run(folder / "run").results.tasks}
    assert set(tasks) == {"voicebench-mmsu", "voicebench-mmsu@text", "voicebench-mmsu@transcript"}
    assert tasks["voicebench-mmsu@text"].dataset_sha256 == tasks["voicebench-mmsu"].dataset_sha256
    assert (text.speech.value, text.other.value, text.gap.value) == (50.0, 100.0, 50.0)
    assert (transcript.other.value, transcript.gap.value, transcript.n) == (25.0, -25.0, 4)  # it always hears "Say A"
    assert text.p_value == pytest.approx(0.5) and text.adjusted == pytest.approx(1.0)
    assert text.gap.low is not None and text.gap.high is not None and text.gap.low <= 50 <= text.gap.high


def test_the_ways_share_seeds_and_what_was_heard_is_kept(folder: Path) -> None:
    ask(folder, "speech,transcript")
    directory = RunDirectory(folder / "run")
    plain, heard = directory.outputs("voicebench-mmsu"), directory.outputs("voicebench-mmsu@transcript")
    assert {key: output.seed for key, output in plain.items()} == {key: output.seed for key, output in heard.items()}
    assert {output.metadata["transcript"] for output in heard.values()} == {"Say A"}


def test_the_gap_is_printed_written_and_drawn(folder: Path) -> None:
    ask(folder, "speech,text")
    shown = CliRunner().invoke(app, ["report", str(folder / "run")]).output
    assert "modality gap" in shown and "50" in shown
    assert "| voicebench-mmsu | text |" in report(folder / "run", "gap")
    picture = ElementTree.fromstring(report(folder / "run", "gap-svg"))
    words = " ".join(element.text or "" for element in picture.iter() if element.text)
    assert "voicebench-mmsu" in words and "text: 50" in words


def test_each_set_of_the_data_has_its_number_and_its_gap(folder: Path) -> None:
    path = folder / "data" / "metadata.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    sets = ["near", "far", "near", "far"]  # it hears the first two
    path.write_text("".join(json.dumps({**row, "set": name}) + "\n" for row, name in zip(rows, sets, strict=True)))
    whole, far, near = ask(folder, "speech,text")
    assert [(gap.subset, gap.gap.value, gap.n) for gap in (whole, far, near)] == [
        ("", 50, 4),
        ("far", 50, 2),
        ("near", 50, 2),
    ]
    shown = CliRunner().invoke(app, ["report", str(folder / "run")]).output
    assert "within each set of the data" in shown and "voicebench-mmsu near" in shown
    site = build([folder / "run"], folder / "site").index.parent
    (page,) = (site / "runs").glob("*.html")
    text = page.read_text("utf-8")
    assert "<h3>By set</h3>" in text and text.count("<svg") == 1 and "voicebench-mmsu far" in text
    assert "<style" not in text  # which the page's policy forbids


def test_a_run_of_one_way_has_no_gap(folder: Path) -> None:
    assert ask(folder, "text") == []
    with pytest.raises(BadInput, match="--ask speech,text,transcript"):
        report(folder / "run", "gap")


def test_a_run_that_is_scored_again_keeps_its_ways(folder: Path) -> None:
    before = ask(folder, "speech,text")
    score(folder / "run", recognizer=f"{folder / 'ear.py'}:Ear")
    assert load_run(folder / "run").gaps() == before
    assert load_run(folder / "run").manifest.tasks["voicebench-mmsu@text"].ask == "text"


def test_what_cannot_be_asked_so_is_said(folder: Path) -> None:
    said = run(folder, "oracle", "--tasks", "asr", "--ask", "text", refused=True)
    assert "asr can only be asked as speech" in said
    said = run(folder, "smollm2", "--tasks", "voicebench-mmsu", "--ask", "speech", refused=True)
    assert "smollm2 does not hear" in said
    assert "Nothing can be asked as 'song'" in run(folder, "oracle", "--tasks", "asr", "--ask", "song", refused=True)


def test_without_the_question_in_text_a_sample_is_not_asked(folder: Path) -> None:
    path = folder / "data" / "metadata.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    del rows[3]["prompt_text"]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (gap,) = ask(folder, "speech,text")
    assert (gap.n, gap.other.value, gap.other.n) == (3, 100.0, 3)  # the reference is never asked in its place


@pytest.mark.slow
def test_a_cascade_says_the_same_to_speech_and_to_its_own_transcript(folder: Path) -> None:
    pytest.importorskip("torch")
    model = "cascade:whisper-tiny.en+smollm2,max_new_tokens=12"
    run(folder, model, "--tasks", "voicebench-mmsu", "--ask", "speech,transcript,text")
    directory = RunDirectory(folder / "run")
    texts = [
        {key: output.text for key, output in directory.outputs(name).items()}
        for name in ("voicebench-mmsu", "voicebench-mmsu@transcript", "voicebench-mmsu@text")
    ]
    assert texts[0] == texts[1] != texts[2] and len(set(texts[0].values())) > 1
    gaps = {gap.ask: gap for gap in load_run(folder / "run").gaps()}
    assert gaps["transcript"].gap.value == 0.0 and gaps["transcript"].p_value == 1.0

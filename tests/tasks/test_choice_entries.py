"""A benchmark of questions with options is one entry of a catalog and no code; what its models are asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
from support.task_worlds import recordings

from speech_eval import Question, load_run
from speech_eval.datasets.catalog import catalog
from speech_eval.engine.task import TASKS
from speech_eval.errors import BadInput
from speech_eval.records import Sample

ENTRY = """
datasets:
  bird-quiz:
    manifest: quiz.jsonl
    language: en
    choice:
      prompt: "{question}\\n{options}"
      protocol: bird-quiz@1
      description: Which bird sings
"""


def test_every_entry_with_options_is_a_task() -> None:
    entries = {name: entry.choice for name, entry in catalog().datasets.items() if entry.choice}
    assert {"mmau-mini", "air-bench-foundation", "audiobench-dream", "meld-emotion"} <= entries.keys()
    for name, choice in entries.items():
        task = TASKS.get(name)()
        assert choice is not None and task.protocol == choice.protocol and task.metrics[0] == choice.metric


def test_an_entry_of_an_installed_package_is_a_task_that_runs(tmp_path: Path) -> None:
    package, about = tmp_path / "birds" / "data", tmp_path / "birds-1.dist-info"
    recordings(package)
    header = {
        "name": "bird-quiz",
        "version": "1",
        "description": "",
        "languages": ["en"],
        "license": "x",
        "source": "x",
    }
    options = {"question": "Which bird is it?", "choices": ["a wren", "a robin"]}
    rows = [{"id": f"q{n}", "audio": f"{n}.wav", "text": "a robin", "metadata": options} for n in range(4)]
    (package / "quiz.jsonl").write_text("".join(json.dumps(row) + "\n" for row in (header, *rows)))
    (package / "birds.yaml").write_text(ENTRY)
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: birds\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[speech_eval.datasets]\nbirds = birds.data\n")
    (tmp_path / "birds" / "__init__.py").touch()
    (package / "__init__.py").touch()
    words = ["run", "--model", "oracle", "--tasks", "bird-quiz", "-o", str(tmp_path / "run"), "--workers", "1"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "speech_eval", *words], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    (task,) = load_run(tmp_path / "run").results.tasks
    assert (task.protocol, task.metrics[0].name, task.metrics[0].strict.value) == ("bird-quiz@1", "accuracy", 100.0)


SAMPLE = Sample(id="a", metadata={"question": "Which?", "choices": ["a wren", "a robin"], "place": "Kew"})


@pytest.mark.parametrize(
    ("question", "asked"),
    [
        (Question("{question}\n{options}"), "Which?\nA. a wren\nB. a robin"),
        (Question("{options}", option="({letter}) {text}", between=" "), "(A) a wren (B) a robin"),
        (Question("{options}", least=4), "A. a wren\nB. a robin\nC. None\nD. None"),
        (Question("In {place}: {question}"), "In Kew: Which?"),
    ],
)
def test_a_question_is_written_from_the_sample(question: Question, asked: str) -> None:
    assert question.of(SAMPLE) == asked


def test_options_in_one_text_or_in_columns_are_written_too() -> None:
    as_text = Sample(id="b", metadata={"choices": "(A) x\n(B) y"})
    in_columns = Sample(id="c", metadata={"choice_a": "x {question}", "choice_b": "y", "choice_c": None})
    assert Question("{options}").of(as_text) == "(A) x\n(B) y"
    assert Question("{options}").of(in_columns) == "A. x {question}\nB. y"  # what the data says is not a template
    with pytest.raises(BadInput, match="no 'place'"):
        Question("{place}").of(as_text)


MODEL = """
from speech_eval import AudioLanguageModel, ChatReply, ModelInfo

class Seen(AudioLanguageModel):
    def info(self):
        return ModelInfo(name="seen")

    def reply(self, requests):
        kinds = [[part["type"] for part in request.messages[0]["content"]] for request in requests]
        assert all(kind == ["audio", "text"] for kind in kinds), kinds
        return [ChatReply(text=request.messages[0]["content"][1]["text"]) for request in requests]
"""


def test_the_model_hears_the_recording_and_is_then_asked(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", [0.1, -0.1] * 4000, 16_000)
    row = {"file_name": "a.wav", "text": "dog", "question": "What barks?", "choices": ["dog", "cat"]}
    (tmp_path / "metadata.jsonl").write_text(json.dumps(row) + "\n")
    (tmp_path / "model.py").write_text(MODEL)
    words = ["run", "--model", f"{tmp_path / 'model.py'}:Seen", "--tasks", "mmau-pro", "--data", str(tmp_path)]
    words += ["-o", str(tmp_path / "run"), "--workers", "1"]
    done = subprocess.run([sys.executable, "-m", "speech_eval", *words], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (output,) = load_run(tmp_path / "run").directory.outputs("mmau-pro").values()
    assert output.text == "What barks?\nAnswer with the letter of one option.\nA. dog\nB. cat"

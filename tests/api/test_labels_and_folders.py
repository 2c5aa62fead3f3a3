"""What `output` and `label` mean: one run directory, or the folder around several; names of rows."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from speech_eval.api.evaluate import evaluate, evaluate_all, plan
from speech_eval.cli.main import app
from speech_eval.errors import BadInput

ADAPTER = """
from speech_eval import ModelInfo, SpeechRecognizer


class Mine(SpeechRecognizer):
    reads_audio = False

    def __init__(self, word="hello"):
        self.word = word

    def info(self):
        return ModelInfo(name="my-recognizer")

    def transcribe(self, requests):
        return [self.word for _ in requests]
"""


def test_a_label_names_the_row_and_the_folder(tmp_path: Path) -> None:
    runs = evaluate_all(["noisy", "oracle"], "asr", output=tmp_path, labels=["before", "after"], limit=10)
    assert [run.path.name for run in runs] == ["before", "after"]
    assert [run.results.name for run in runs] == ["before", "after"]
    assert [run.results.model for run in runs] == ["noisy", "oracle"]
    again = evaluate("noisy", "asr", output=tmp_path / "before", limit=10)
    assert again.results.name == "before", "a run that goes on keeps its label"
    done = CliRunner().invoke(app, ["compare", str(runs[0].path), str(runs[1].path)])
    assert done.exit_code == 0 and "A: before" in done.output and "B: after" in done.output


def test_every_model_has_its_label(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="1 labels are given for 2 models"):
        plan(["noisy", "oracle"], "asr", output=tmp_path, labels=["one"], limit=10)


def test_a_model_of_ones_own_is_called_by_the_name_it_states(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(ADAPTER, "utf-8")
    spec = f"{tmp_path / 'mine.py'}:Mine,word=hi"
    run = evaluate(spec, "asr", output=tmp_path / "run", limit=10)
    assert run.results.name == "my-recognizer,word=hi" and run.results.model == spec


def test_runs_do_not_nest(tmp_path: Path) -> None:
    evaluate("noisy", "asr", output=tmp_path / "runs" / "one", limit=10)
    for models, output, message in (
        (["noisy"], tmp_path / "runs" / "one" / "inner", "lies inside the run"),
        (["noisy", "oracle"], tmp_path / "runs" / "one", "lies inside the run"),
        (["noisy"], tmp_path / "runs", "is a folder of runs"),
    ):
        with pytest.raises(BadInput, match=message):
            plan(models, "asr", output=output, limit=10)

"""The stored baseline: saved without audio, judged against, replaced only by what passes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from speech_eval.api.evaluate import evaluate
from speech_eval.api.judging import save_baseline, show_baseline
from speech_eval.cli.main import app
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.errors import BadInput

RULES = "- {task: asr, metric: 'wer[whisper-normalizer@20250625]/wer', margin: 2}\n"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gates.yaml").write_text(RULES)
    for name, rate in (("first", 0.1), ("better", 0.02), ("worse", 0.4)):
        evaluate(f"noisy,error_rate={rate}", "asr", output=f"runs/{name}", limit=60)
    return tmp_path


def gate(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["gate", *words])
    return done.exit_code, done.output


def test_save_show_and_update(repository: Path) -> None:
    with pytest.raises(BadInput, match="no such baseline"):
        show_baseline()
    assert gate("baseline", "save", "runs/first")[0] == 0
    saved = RunDirectory(repository / "baselines" / "main")
    first = RunDirectory(repository / "runs" / "first")
    assert saved.results() == first.results() and saved.scores("asr") == first.scores("asr")
    assert not (saved.path / "audio").exists()
    with pytest.raises(BadInput, match="exists already"):
        save_baseline("runs/better")

    code, said = gate("baseline", "update", "runs/worse", "--rules", "gates.yaml")
    assert code == 1 and "regression" in said and saved.results() == first.results()
    assert gate("baseline", "update", "runs/better", "--rules", "gates.yaml")[0] == 0
    assert saved.results() == RunDirectory(repository / "runs" / "better").results()
    assert gate("baseline", "update", "runs/worse", "--rules", "gates.yaml", "--force")[0] == 0
    record = json.loads((saved.path / "baseline.json").read_text())
    assert record["run"] == "worse" and record["outcome"] == "forced, regression"
    code, said = gate("baseline", "show")
    assert code == 0 and "noisy,error_rate=0.4" in said and "forced, regression" in said


def test_a_run_is_judged_against_it(repository: Path) -> None:
    gate("baseline", "save", "runs/first")
    for run, code in (("better", 0), ("worse", 1)):
        assert gate(f"runs/{run}", "--baseline", "baselines/main", "--rules", "gates.yaml")[0] == code


def test_a_name_leads_nowhere_else(repository: Path) -> None:
    with pytest.raises(BadInput, match="not a name"):
        save_baseline("runs/first", name="../elsewhere")
    assert not (repository / "elsewhere").exists()

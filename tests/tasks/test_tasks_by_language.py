"""Tasks with error rates score by the rules of the data's language."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.data_files import lines, tone
from typer.testing import CliRunner

from speech_eval.cli.main import app
from speech_eval.engine.task import TASKS

WHISPER = "[whisper-normalizer@20250625]"


@pytest.mark.parametrize(
    ("languages", "primary"),
    [
        ({"en", "en-GB"}, f"wer{WHISPER}/wer"),
        ({"de"}, "wer[unicode@1]/wer"),
        ({"en", "hi"}, "wer[unicode@1]/wer"),
        ({"ko"}, "wer[unicode@1]/wer"),
        ({"zh-TW"}, "cer[unicode@1]/cer"),
        ({"th", "de"}, "cer[unicode@1]/cer"),
        ({"ja-Latn"}, "wer[unicode@1]/wer"),
    ],
)
def test_recognition_is_ranked_by_words_where_spaces_separate_them_and_else_by_characters(
    languages: set[str], primary: str
) -> None:
    task = TASKS.get("asr")().for_languages(languages)
    variant = task.variants["SpeechRecognizer"]
    assert variant.primary == primary and variant.metrics[0] == primary.split("/")[0]


@pytest.mark.parametrize("name", ["asr", "seed-tts", "codec-reconstruction", "codec-depth"])
def test_no_task_scores_other_languages_by_the_rules_of_english(name: str) -> None:
    task = TASKS.get(name)().for_languages({"hi"})
    (variant,) = task.variants.values()
    assert any("[unicode@1]" in metric for metric in variant.metrics)
    assert not any(WHISPER in metric for metric in (*variant.metrics, *sum(task.axes.values(), ())))
    assert {metric for metrics in task.axes.values() for metric in metrics} <= {*variant.metrics}


def run(folder: Path, *options: str) -> dict[str, object]:
    out = folder / "run"
    arguments = ["run", "-m", "oracle", "-t", "asr", "--data", str(folder), "-o", str(out), "--json", *options]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    found: dict[str, object] = json.loads((out / "manifest.json").read_text())["tasks"]["asr"]
    return found


def test_a_run_on_thai_reports_characters_first(tmp_path: Path) -> None:
    tone(tmp_path / "a.wav")
    lines(tmp_path / "metadata.jsonl", {"file_name": "a.wav", "text": "น้ำมีรสดี", "language": "thai"})
    assert run(tmp_path)["primary"] == "cer[unicode@1]/cer"


def test_the_language_of_data_that_states_none_is_an_option(tmp_path: Path) -> None:
    tone(tmp_path / "a.wav")
    lines(tmp_path / "metadata.jsonl", {"file_name": "a.wav", "text": "мир"})
    refused = CliRunner().invoke(app, ["run", "-m", "oracle", "-t", "asr", "--data", str(tmp_path), "--dry-run"])
    assert refused.exit_code != 0
    assert run(tmp_path, "--language", "bulgarian")["primary"] == "wer[unicode@1]/wer"


def test_a_metric_that_misreads_the_script_says_so_in_the_plan(tmp_path: Path) -> None:
    tone(tmp_path / "a.wav")
    lines(tmp_path / "metadata.jsonl", {"file_name": "a.wav", "text": "नदी है", "language": "hi"})
    record = run(tmp_path, "--metrics", "wer[whisper-normalizer]")
    assert record["metrics"] == [f"wer{WHISPER}"]
    assert "Hindi (hi): use wer[unicode@1]" in str(record["note"])

"""`speech-eval metric`: one metric over records, with the accounting of the tasks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from speech_eval.cli.main import app, main
from speech_eval.errors import BadInput
from speech_eval.metrics.records_file import evaluate


def records(path: Path, *items: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items))
    return path


def test_missing_answers_are_wrong_in_strict_and_left_out_in_compat(tmp_path: Path) -> None:
    file = records(
        tmp_path / "r.jsonl",
        {"id": "a", "hypothesis": "one two", "reference": "one two"},
        {"id": "b", "hypothesis": "one", "reference": "one two"},
        {"id": "c", "hypothesis": None, "reference": "one two"},
        {"id": "d", "hypothesis": "", "reference": "one two"},
    )
    found = evaluate("wer[seed-tts-eval@2024-06]", file)
    assert [s["value"] for s in found["samples"]] == [0.0, 0.5, 1.0, 1.0]
    assert [s["status"] for s in found["samples"]] == ["ok", "ok", "failed", "ok"]
    assert found["aggregate"]["strict"]["wer"] == pytest.approx(62.5)
    assert found["aggregate"]["compat"]["wer"] == pytest.approx(50.0)


def test_json_output_is_one_object(tmp_path: Path) -> None:
    file = records(tmp_path / "r.jsonl", {"id": 1, "hypothesis": "Hello, world!", "reference": "hello world"})
    done = CliRunner().invoke(app, ["metric", "wer[whisper-normalizer@20250625]", "--input", str(file), "--json"])
    said = json.loads(done.stdout)
    assert (said["metric"], said["n"], said["aggregate"]["strict"]["wer"]) == (
        "wer[whisper-normalizer@20250625]",
        1,
        0.0,
    )


def test_the_command_agrees_with_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = records(tmp_path / "r.jsonl", {"id": "a", "hypothesis": "x", "reference": "y"})
    monkeypatch.setattr("sys.argv", ["speech-eval", "metric", "cer[whisper-normalizer@20250625]", "--input", str(file)])
    with pytest.raises(SystemExit) as done:
        main()
    assert done.value.code == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no records"),
        ("{", "line 1: not JSON"),
        ("[1]", "line 1: not an object"),
        ('{"hypothesis": "a"}', "line 1: not an object with an `id`"),
        ('{"id": "a", "reference": "x"}\n{"id": "a", "reference": "x"}', "line 2: the id 'a' occurs twice"),
        ('{"id": "a", "hypothesis": 3, "reference": "x"}', "`hypothesis` is not text"),
        ('{"id": "a", "reference": 3}', "line 1"),
        ('{"id": "a", "hypothesis": "x"}', "has no reference text"),
    ],
)
def test_malformed_records_are_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "r.jsonl").write_text(text)
    with pytest.raises(BadInput, match=message.replace("[", r"\[")):
        evaluate("wer[whisper-normalizer@20250625]", tmp_path / "r.jsonl")

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


BOOK = {"frames": 100, "frame_rate": 50, "size": 1024, "histogram": [[1, 100]]}


@pytest.mark.parametrize(
    ("metric", "record", "number", "value"),
    [
        ("throughput[closed-loop@1]", {"hypothesis": "yes", "duration": 4.0, "wall_seconds": 0.5}, "throughput", 8.0),
        ("rtfx[open-asr]", {"duration": 4.0, "time": 0.5}, "rtfx", 8.0),
        ("token-bill[layouts@1]", {"seconds": 2.0, "codebooks": [BOOK]}, "flattened", 50.0),
        (
            "modelability[flattened@smoke-1]",
            {"seconds": 2.0, "codebooks": [BOOK], "lm_bits": 500, "lm_bits_given_text": 400, "ended": True},
            "bits-per-token",
            5.0,
        ),
        (
            "modelability[flattened@smoke-2]",
            {
                "seconds": 2.0,
                "codebooks": [BOOK],
                "lm_bits": 500,
                "lm_bits_given_text": 400,
                "lm": {"unigram_bits": 1000, "bigram_bits": 800},
            },
            "of-unigram",
            50.0,
        ),
    ],
)
def test_the_measurements_of_a_record_are_those_of_its_answer(
    tmp_path: Path, metric: str, record: dict[str, object], number: str, value: float
) -> None:
    (tmp_path / "records.jsonl").write_text(json.dumps({"id": "1", **record}) + "\n")
    assert evaluate(metric, tmp_path / "records.jsonl")["aggregate"]["strict"][number] == value


def test_a_measurement_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    record = {"id": "1", "hypothesis": "yes", "wall_seconds": "soon"}
    (tmp_path / "records.jsonl").write_text(json.dumps(record) + "\n")
    with pytest.raises(BadInput, match="line 1: `wall_seconds`"):
        evaluate("throughput[closed-loop@1]", tmp_path / "records.jsonl")


def test_the_language_of_records_that_state_none_is_told_by_their_references_or_said(tmp_path: Path) -> None:
    file = records(tmp_path / "r.jsonl", {"id": "a", "hypothesis": "мир", "reference": "мир"})
    with pytest.raises(BadInput, match="language of sample a is not known"):
        evaluate("wer[unicode@1]", file)
    assert evaluate("wer[unicode@1]", file, "bg")["notes"] == []
    file = records(tmp_path / "r.jsonl", {"id": "a", "hypothesis": "non lo so", "reference": "non lo so"})
    assert evaluate("wer[unicode@1]", file)["notes"] == ["No language is stated; by the references it is Italian (it)."]


def test_an_unknown_language_of_a_record_is_named(tmp_path: Path) -> None:
    file = records(tmp_path / "r.jsonl", {"id": "a", "hypothesis": "x", "reference": "x", "language": "klingon"})
    with pytest.raises(BadInput, match="line 1: 'klingon' is not a language"):
        evaluate("wer[unicode@1]", file)


def test_a_former_metric_id_is_taken_and_its_present_id_is_said(tmp_path: Path) -> None:
    file = records(tmp_path / "r.jsonl", {"id": "a", "hypothesis": "x", "reference": "x", "language": "en"})
    found = evaluate("wer[open-asr@B]", file)
    assert found["metric"] == "wer[open-asr@B-31c5b6f]"
    assert found["notes"] == ["wer[open-asr@B] is now called wer[open-asr@B-31c5b6f]."]

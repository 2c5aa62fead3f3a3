"""AudioBench's judge: what its replies are worth to the original and here, and how it is asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.judge_server import JudgeServer

from speech_eval.metrics import judge as judges
from speech_eval.metrics.records_file import evaluate

GRADED, BINARY = "judge[audiobench@e991641]", "judge[audiobench-binary@e991641]"


def scored(metric: str, folder: Path, *records: dict[str, Any]) -> dict[str, Any]:
    path = folder / "records.jsonl"
    path.write_text("".join(json.dumps({"id": str(n), **record}) + "\n" for n, record in enumerate(records)), "utf-8")
    found: dict[str, Any] = evaluate(metric, path)
    return found


@pytest.mark.parametrize(
    ("reply", "original", "ours"),
    [
        ("Explanation: close.\nRating: 4", 0.8, 0.8),
        ("Explanation: close.\nRating: 4.0", 0.8, 0.8),
        ("Rating: 4.", 0.8, 0.8),
        ("**Rating: 4**", 0.0, 0.8),
        ("Rating: 4/5", 0.0, 0.8),
        ("Rating:4", 0.0, 0.8),
        ("Rating: 10", 2.0, 0.0),
        ("Rating: +4", 0.8, 0.8),
        ("Rating: ٤", 0.8, 0.0),
        ("4", 0.8, 0.0),
        ("I cannot rate this", 0.0, 0.0),
        ("", 0.0, 0.0),
    ],
)
def test_a_reply_is_read_as_the_original_does_and_by_the_scale(
    reply: str, original: float, ours: float, tmp_path: Path
) -> None:
    record = {"reference": "x", "model_prediction": "y", "judge_response": reply}
    (sample,) = scored(GRADED, tmp_path, record)["samples"]
    assert (sample["compat"], sample["value"]) == (pytest.approx(original), pytest.approx(ours))


def test_a_reply_that_is_not_a_number_to_python_alone_makes_the_originals_mean_undefined(tmp_path: Path) -> None:
    rows = [{"reference": "x", "response": "y", "score": reply} for reply in ("Rating: nan", "Rating: 5")]
    found = scored(GRADED, tmp_path, *rows)["aggregate"]
    assert (found["strict"]["score"], found["compat"]["score"]) == (50.0, None)


def test_right_and_wrong_count_whole(tmp_path: Path) -> None:
    rows = [{"reference": "x", "response": "y", "score": reply} for reply in ("Rating: 1", "Rating: 0", "Rating: 5")]
    found = scored(BINARY, tmp_path, *rows)["aggregate"]
    assert found["strict"]["score"] == pytest.approx(100 / 3) and found["compat"]["score"] == pytest.approx(200.0)
    assert found["strict"]["success"] == pytest.approx(200 / 3)


def test_the_judge_is_asked_once_with_the_question_the_reference_and_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(judges.CACHE_VARIABLE, str(tmp_path / "replies"))
    with JudgeServer("Fine.\nRating: 1", choices=1) as server, judges.using(server.spec):
        row = {"reference": "a dog", "response": "the dog", "question": "What barks?"}
        assert scored(BINARY, tmp_path, row)["aggregate"]["strict"]["score"] == 100.0
        (body,) = server.bodies
    asked = body["messages"][0]["content"]
    assert len(body["messages"]) == 1 and body["n"] == 1
    assert "Question: What barks?\nRight answer: a dog\nAnswer to rate: the dog" in asked

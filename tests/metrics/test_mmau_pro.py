"""MMAU-Pro's instructions as the original checks them, and the scores of its judge."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from speech_eval.errors import BadInput
from speech_eval.metrics.mmau_pro.metrics import original_scores, overall
from speech_eval.metrics.mmau_pro.rules import RULES, follows
from speech_eval.metrics.records_file import evaluate

GOLDEN = json.loads((Path(__file__).parent / "golden" / "mmau_pro.json").read_text("utf-8"))


def scored(metric: str, folder: Path, *records: dict[str, Any]) -> dict[str, Any]:
    path = folder / "records.jsonl"
    path.write_text("".join(json.dumps({"id": str(n), **record}) + "\n" for n, record in enumerate(records)), "utf-8")
    return evaluate(metric, path)


@pytest.mark.parametrize("rule", sorted(RULES))
def test_every_instruction_is_followed_where_the_original_says_so(rule: str) -> None:
    """Random answers and arguments, judged by evaluate_aif_sample of sonalkum/MMAUPro at 960e93a, whose sentences are
    those of the same Punkt model."""
    pytest.importorskip("punkt")
    rows = [row for row in GOLDEN["instructions"] if row[0] == rule]
    assert len({row[3] for row in rows}) == 2, "golden records of both outcomes"
    found = [follows(rule, {**given, "question": "What is said?"}, answer) for _, given, answer, _ in rows]
    assert found == [kept for *_, kept in rows]


@pytest.mark.parametrize(("reply", "expected"), GOLDEN["replies"])
def test_a_reply_is_worth_to_compat_what_the_original_reads(reply: str, expected: float) -> None:
    assert original_scores(reply)["overall"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("CORRECTNESS: 4 - ok\nOVERALL: 4.5", 4.5),
        ("**OVERALL: [4]**", 4.0),
        ("CORRECTNESS: 5\nRELEVANCE: 4\nCOMPLETENESS: 3\nCLARITY: 4", 4.0),
        ("CORRECTNESS: 5\nCLARITY: 4", None),
        ("OVERALL: 10", None),
        ("", None),
    ],
)
def test_the_strict_reading_takes_the_scale_and_no_neutral_score(reply: str, expected: float | None) -> None:
    assert overall(reply) == expected


def test_a_silent_judge_gives_the_least_and_three_fifths_to_the_original(tmp_path: Path) -> None:
    row = {"response": "a dog", "reference": "a dog", "question": "What barks?", "judge_response": "no"}
    found = scored("judge[mmau-pro@960e93a]", tmp_path, row)["aggregate"]
    assert (found["strict"]["share"], found["compat"]["share"]) == (20.0, 60.0)


def test_an_empty_answer_follows_nothing(tmp_path: Path) -> None:
    pytest.importorskip("punkt")
    rows = [{"task_identifier": "No Commas", "response": answer} for answer in ("a dog", " ")]
    found = scored("instructions[mmau-pro@960e93a]", tmp_path, *rows)["aggregate"]
    assert (found["strict"]["followed"], found["compat"]["followed"]) == (50.0, 100.0)


@pytest.mark.parametrize("kwargs", ["not JSON", "[" * 50_000, "[1]", '{"N": "many"}', '{"N": [1]}'])
def test_arguments_that_are_none_are_a_fault_of_the_data(tmp_path: Path, kwargs: str) -> None:
    row = {"task_identifier": "Number Words (at least)", "response": "a dog", "kwargs": kwargs}
    with pytest.raises(BadInput, match="Sample 0"):
        scored("instructions[mmau-pro@960e93a]", tmp_path, row)

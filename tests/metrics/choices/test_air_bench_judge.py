"""AIR-Bench's chat part: pairs of ratings as the original reads them, groups, swapped places."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.judge_server import JudgeServer

from speech_eval.metrics import judge as judges
from speech_eval.metrics.base import BadData
from speech_eval.metrics.records_file import evaluate

METRIC = "judge[air-bench@9832476]"
GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "air_bench_chat.json").read_text("utf-8"))


def scored(folder: Path, *records: dict[str, Any]) -> dict[str, Any]:
    path = folder / "records.jsonl"
    rows = [{"reference": "x", "response": "y", "id": str(n), **record} for n, record in enumerate(records)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return evaluate(METRIC, path)


def test_groups_and_wins_are_those_of_the_originals_two_files(tmp_path: Path) -> None:
    """Replies of every odd form, read by cal_score.py of OFA-Sys/AIR-Bench at 9832476, once in each order."""
    found = scored(tmp_path, *GOLDEN["records"])["aggregate"]["compat"]
    normal, swapped = GOLDEN["original"]["normal"], GOLDEN["original"]["swapped"]
    scores = {name: (normal[name]["second"] + swapped[name]["first"]) / 2 for name in normal}
    mixed = (scores["speech_and_sound"] + scores["speech_and_music"]) / 2
    for name in ("speech", "sound", "music"):
        assert found[f"score {name}"] == pytest.approx(scores[name], abs=1e-12)
    assert found["score mixed"] == pytest.approx(mixed, abs=1e-12)
    assert found["average"] == pytest.approx((scores["speech"] + scores["sound"] + scores["music"] + mixed) / 4)
    files = [group for file in (normal, swapped) for group in file.values()]
    wins = sum(group["win"] * group["sum"] for group in files) / sum(group["sum"] for group in files)
    assert found["win rate"] == pytest.approx(100 * wins)


@pytest.mark.parametrize(
    ("replies", "original", "ours"),
    [
        (["8 6", "7 9"], 6.5, 6.5),
        (["8, 6", "7 9"], 7.0, 6.5),  # the original leaves an order out that it cannot read
        (["8.5 6", "7 9.5"], None, 6.5),
        (["0 0", "0 0"], 0.0, 1.0),
        (["I prefer the first.", "7 9"], 7.0, 4.0),
        (["8 11", "7 9"], 7.0, 4.0),
        (["8 6"], 6.0, 6.0),
    ],
)
def test_a_reply_is_two_numbers_on_the_scale(
    replies: list[str], original: float | None, ours: float, tmp_path: Path
) -> None:
    (sample,) = scored(tmp_path, {"task_name": "speech_QA", "scores": replies})["samples"]
    assert (sample["compat"], sample["value"]) == (original, ours)


def test_a_missing_answer_is_worth_the_least_and_nothing_to_the_original(tmp_path: Path) -> None:
    rows = [{"task_name": "sound_QA", "scores": ["5 5", "5 5"]}, {"task_name": "sound_QA", "response": None}]
    found = scored(tmp_path, *rows)["aggregate"]
    assert (found["strict"]["average"], found["compat"]["average"]) == (3.0, 5.0)
    assert (found["strict"]["unparsed"], found["compat"]["unparsed"]) == (50.0, 0.0)


def test_a_judge_that_likes_the_first_place_is_evened_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(judges.CACHE_VARIABLE, str(tmp_path / "replies"))
    row = {"task_name": "music_QA", "question": "Which key?", "meta_info": "A piece in C.", "reference": "C major"}
    with JudgeServer("9 1", choices=1) as server, judges.using(server.spec):
        found = scored(tmp_path, {**row, "response": "D minor {first}"})
        first, second = (body["messages"][0]["content"] for body in server.bodies)
        assert all(body["temperature"] == 1.0 and len(body["messages"]) == 1 for body in server.bodies)
    assert found["aggregate"]["strict"]["average"] == 5.0 and "not comparable" in found["scorer"]
    assert "Recording: A piece in C.\nQuestion: Which key?\nFirst answer: C major\nSecond answer: D minor" in first
    assert "First answer: D minor {first}\nSecond answer: C major" in second


def test_an_unknown_chat_task_is_a_fault_of_the_data(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="no chat task 'singing_QA'"):
        scored(tmp_path, {"task_name": "singing_QA", "scores": ["5 5", "5 5"]})

"""Full-Duplex-Bench v1.5 and v2 on records: overlap timing, behavior tags, before and after, rated conversations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from support.scored_records import Scored
from typer.testing import CliRunner

from speech_eval.cli.main import app
from speech_eval.errors import BadInput
from speech_eval.metrics.dialogue.behavior import TAGS
from speech_eval.metrics.dialogue.judged_events import Event, read
from speech_eval.metrics.dialogue.overlap import merged, response_intervals, stop_intervals

OVERLAP, BEHAVIOR = "overlap-timing[fdb@1.5]", "behavior[fdb@1.5]"
CHANGE, CONVERSATION = "before-after[fdb@1.5]", "conversation[fdb@2]"


# ---------------------------------------------------------------------------------------------- overlap timing


def test_segments_up_to_a_gap_apart_are_one() -> None:
    assert merged([(2.0, 3.0), (0.0, 1.0), (3.4, 4.0)], 0.5) == [(0.0, 1.0), (2.0, 4.0)]
    assert merged([(0.0, 3.0), (1.0, 2.0)], 0.5) == [(0.0, 3.0)]


def test_a_stop_is_an_overlap_and_a_response_begins_at_or_after_the_end_of_the_user() -> None:
    user, agent = [(0.0, 2.0), (5.0, 7.0)], [(2.5, 5.8), (7.9, 9.0)]
    assert stop_intervals(user, agent) == [(5.0, 5.8)]
    assert response_intervals(user, agent) == [(2.0, 2.5), (7.0, 7.9)]
    assert stop_intervals([(0.0, 2.0)], [(2.0, 3.0)]) == []
    assert response_intervals([(0.0, 2.0)], [(2.0, 3.0)]) == [(2.0, 2.0)]
    assert response_intervals([(0.0, 2.0)], [(1.0, 3.0)]) == []


def test_latencies_are_means_over_intervals_and_answered_over_samples(tmp_path: Path) -> None:
    both = {"user_segments": [[0.0, 2.0], [5.0, 7.0]], "segments": [[2.5, 5.8], [7.9, 9.0]]}
    silent = {"user_segments": [[0.0, 2.0]], "segments": []}
    found = Scored(OVERLAP, tmp_path, [both, silent])
    assert found.strict == pytest.approx({"stop": 0.8, "response": 0.7, "answered": 50.0}) == found.compat
    assert found.samples[0]["stop"] == [[5.0, 5.8]]
    assert found.samples[0]["response"] == [[2.0, 2.5], [7.0, 7.9]]


def test_a_gap_of_exactly_the_threshold_is_merged_in_strict_alone(tmp_path: Path) -> None:
    """1.6 - 1.0 is above 0.6 in floating point, so the original keeps two segments, and the second answers late."""
    record = {"user_segments": [[0.0, 1.0], [1.6, 2.0]], "segments": [[3.0, 4.0]]}
    found = Scored(OVERLAP, tmp_path, [record])
    assert found.strict["response"] == pytest.approx(1.0)
    assert found.compat["response"] == pytest.approx((2.0 + 1.0) / 2)


def test_the_agents_segments_merge_at_half_a_second(tmp_path: Path) -> None:
    agent = [[2.0, 3.0], [3.5, 4.0], [4.51, 5.0]]
    found = Scored(OVERLAP, tmp_path, [{"user_segments": [[0.0, 4.2]], "segments": agent}])
    assert found.samples[0]["stop"] == [[2.0, 4.0]]
    assert found.samples[0]["response"] == [[4.2, 4.51]]


def test_a_sample_without_audio_is_not_answered_and_left_out_by_the_original(tmp_path: Path) -> None:
    fine = {"user_segments": [[0.0, 1.0]], "segments": [[1.5, 3.0]]}
    found = Scored(OVERLAP, tmp_path, [fine, {"user_segments": [[0.0, 1.0]], "segments": None}])
    assert (found.strict["answered"], found.compat["answered"]) == (50.0, 100.0)
    assert found.strict["response"] == found.compat["response"] == 0.5


@pytest.mark.parametrize("agent", ["segments", "agent_segments", "model_segments", "output_segments"])
def test_segments_go_by_the_names_that_tools_write(agent: str, tmp_path: Path) -> None:
    spans = [{"start": 1.5, "end": 3.0}]
    record = {"user_vad": [{"start": 0.0, "end": 1.0}], agent: spans}
    assert Scored(OVERLAP, tmp_path, [record]).strict["response"] == 0.5


# ---------------------------------------------------------------------------------------------- behavior


def judged(*tags: str) -> dict[str, Any]:
    return {"judge": json.dumps({"reason": "because {it} does", "behaviour": list(tags)})}


def test_behavior_is_the_share_of_each_tag(tmp_path: Path) -> None:
    found = Scored(BEHAVIOR, tmp_path, [judged("C_RESPOND"), judged("C_RESUME"), judged("C_RESPOND")])
    assert found.strict["C_RESPOND"] == pytest.approx(2 / 3)
    assert found.compat["C_RESPOND"] == 0.67
    assert found.strict["C_UNKNOWN"] == found.compat["C_UNKNOWN"] == 0.0
    assert [sample["behavior"] for sample in found.samples] == ["C_RESPOND", "C_RESUME", "C_RESPOND"]


def test_two_tags_count_twice_in_the_original_and_are_unread_in_strict(tmp_path: Path) -> None:
    found = Scored(BEHAVIOR, tmp_path, [judged("C_RESPOND", "C_RESUME"), judged("C_RESPOND")])
    assert (found.strict["C_RESPOND"], found.strict["C_RESUME"], found.strict["unread"]) == (0.5, 0.0, 50.0)
    assert (found.compat["C_RESPOND"], found.compat["C_RESUME"]) == (0.67, 0.33)


@pytest.mark.parametrize(
    ("reply", "tag", "stops"),
    [
        ('Sure: {"behaviour": ["C_RESUME"]}', "C_RESUME", False),
        ('{"note": {"behaviour": ["C_UNKNOWN"]}} {"behaviour": ["C_RESPOND"]}', "C_UNKNOWN", False),
        ('{"a": 1} {"behaviour": ["C_RESPOND"]}', "C_RESPOND", False),
        ('{"behaviour": "C_RESPOND"}', "C_RESPOND", True),
        ('{"behavior": ["C_RESPOND"]}', "C_RESPOND", True),
        ('{"behaviour": ["C_OTHER"]}', None, True),
        ('{"behaviour": []}', None, False),
        ("C_RESPOND", None, True),
        ("", None, True),
    ],
)
def test_what_a_reply_states(reply: str, tag: str | None, stops: bool, tmp_path: Path) -> None:
    found = Scored(BEHAVIOR, tmp_path, [{"judge": reply}, judged("C_RESPOND")])
    assert found.samples[0]["behavior"] == tag
    assert (found.compat["C_RESPOND"] is None) == stops


def test_the_first_reply_that_can_be_read_counts(tmp_path: Path) -> None:
    replies = ["no", '{"behaviour": ["C_RESUME"]}', '{"behaviour": ["C_RESPOND"]}']
    found = Scored(BEHAVIOR, tmp_path, [{"judge": replies}])
    assert found.strict["C_RESUME"] == found.compat["C_RESUME"] == 1.0


def test_tags_may_be_given_without_a_reply_and_a_lost_sample_has_none(tmp_path: Path) -> None:
    found = Scored(BEHAVIOR, tmp_path, [{"behaviour": [TAGS[0]]}, {"tag": TAGS[1]}, {"judge": None}])
    assert (found.strict[TAGS[0]], found.strict["unread"]) == pytest.approx((1 / 3, 100 / 3))


# ---------------------------------------------------------------------------------------------- before and after


def pairs(before: list[float], after: list[float], **other: Any) -> list[dict[str, Any]]:
    return [{"before": b, "after": a, **other} for b, a in zip(before, after, strict=True)]


def test_the_change_is_a_paired_t_test_as_scipy_has_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    before = rng.normal(3.0, 0.4, 30)
    after = before + rng.normal(0.2, 0.3, 30)
    found = Scored(CHANGE, tmp_path, pairs(before.tolist(), after.tolist()))
    theirs = stats.ttest_rel(after, before)
    interval = theirs.confidence_interval()
    change = after - before
    assert found.strict == pytest.approx(
        {
            "difference": change.mean(),
            "before": before.mean(),
            "after": after.mean(),
            "t": theirs.statistic,
            "p": theirs.pvalue,
            "ci-low": interval.low,
            "ci-high": interval.high,
            "d-z": change.mean() / change.std(ddof=1),
            "n": 30,
        }
    )
    assert found.compat == pytest.approx(found.strict)


def test_outliers_by_the_median_absolute_deviation_are_left_out(tmp_path: Path) -> None:
    change = [0.0, 1.0, 2.0, 3.0, 4.0, 7.0, 13.3]  # the median is 3, the median deviation 2: up to 10.38 from 3
    found = Scored(CHANGE, tmp_path, pairs([0.0] * 7, change))
    assert found.strict["n"] == 7
    change[-1] = 13.5
    assert Scored(CHANGE, tmp_path, pairs([0.0] * 7, change)).strict["n"] == 6


def test_without_a_median_deviation_every_outlier_is_kept(tmp_path: Path) -> None:
    found = Scored(CHANGE, tmp_path, pairs([0.0] * 5, [1.0, 1.0, 1.0, 1.0, 90.0]))
    assert (found.strict["n"], found.strict["difference"]) == (5, pytest.approx(18.8))


def test_equal_differences_have_no_test_and_the_originals_p_is_zero(tmp_path: Path) -> None:
    found = Scored(CHANGE, tmp_path, pairs([1.0, 2.0, 3.0], [1.5, 2.5, 3.5]))
    assert found.strict["difference"] == 0.5
    assert [found.strict[name] for name in ("t", "p", "ci-low", "d-z")] == [None] * 4
    assert [found.compat[name] for name in ("t", "p", "ci-low", "ci-high", "d-z")] == [None, 0.0, 0.5, 0.5, None]


def test_only_agents_that_responded_count(tmp_path: Path) -> None:
    records = [*pairs([1.0, 1.0], [2.0, 2.5], behaviour="C_RESPOND"), *pairs([1.0], [9.0], behaviour="C_RESUME")]
    found = Scored(CHANGE, tmp_path, records)
    assert (found.strict["n"], found.strict["difference"]) == (2, 1.25)


def test_features_by_name_are_tested_each(tmp_path: Path) -> None:
    records: list[dict[str, Any]] = [
        {"before": {"wpm": 100, "utmosv2": 3.0}, "after": {"wpm": 110 + i, "utmosv2": 2.5 - i}} for i in range(3)
    ]
    found = Scored(CHANGE, tmp_path, [*records, {"before": None, "after": None}])
    assert found.strict["difference wpm"] == pytest.approx(11.0)
    assert found.strict["difference utmosv2"] == pytest.approx(-1.5)
    assert found.strict["n wpm"] == 3 and "difference" not in found.strict


# ---------------------------------------------------------------------------------------------- v2 conversations


def reply(events: Any, task: Any) -> str:
    return json.dumps({"turn_events": events, "task_score": task})


RATED = [[[0.0, 5.0], 4, 5], [[10.0, 20.0], 2, 3]]


@pytest.mark.parametrize(
    "times",
    [
        [[10.0, 20.0]],
        [10.0, 20.0],
        [{"start_time": 10, "end_time": 20}],
        [{"start": "10", "end": "0:20"}],
        ["[10, 20]"],
        ["{0:10, 0:00:20}"],
    ],
)
def test_intervals_are_read_in_every_spelling(times: list[Any]) -> None:
    assert read(reply([[*times, 2, "3"]], 4)).events == (Event(10.0, 20.0, 2.0, 3.0),)


def test_several_intervals_share_their_ratings_and_an_unreadable_one_is_dropped() -> None:
    judgment = read(reply([[[1, 2], [3, 4], 5, 4], [["5s", "6s"], 1, 1]], None))
    assert [(e.start, e.end) for e in judgment.events] == [(1.0, 2.0), (3.0, 4.0)]
    assert judgment.task is None


@pytest.mark.parametrize("nothing", [None, "N/A"])
def test_a_missing_rating_makes_no_scored_event(nothing: str | None, tmp_path: Path) -> None:
    found = Scored(CONVERSATION, tmp_path, [{"judge": reply([*RATED, [[21, 22], nothing, 1]], 3)}])
    assert found.strict["turn-taking"] == found.compat["turn-taking"] == 3.0


def test_text_that_is_not_json_is_searched(tmp_path: Path) -> None:
    text = 'Result: {"turn_events": [\n[0.0, 5.0]: 4, 5\n[10.0, 20.0]: 2, 3\n], "task_score": 4}'
    found = Scored(CONVERSATION, tmp_path, [{"judge": text}])
    assert found.samples[0]["events"] == [[0.0, 5.0, 4.0, 5.0], [10.0, 20.0, 2.0, 3.0]]
    assert found.strict["task"] == 4.0


def test_fenced_blocks_are_joined_and_the_last_task_score_counts() -> None:
    text = f"```json\n{reply(RATED[:1], 2)}\n```\nand\n```json\n{reply(RATED[1:], 5)}\n```"
    judgment = read(text)
    assert len(judgment.events) == 2 and judgment.task == 5


def test_means_are_over_events_and_tasks_over_conversations(tmp_path: Path) -> None:
    records = [{"judge": reply(RATED, 2)}, {"judge": reply([[[0, 15], 5, 1]], 5)}]
    found = Scored(CONVERSATION, tmp_path, records)
    assert found.strict["turn-taking"] == pytest.approx(11 / 3)
    assert found.strict["instruction"] == pytest.approx(9 / 3)
    assert found.strict["task"] == 3.5
    assert found.compat == pytest.approx(found.strict)


def test_bins_weight_events_by_the_seconds_they_share(tmp_path: Path) -> None:
    found = Scored(CONVERSATION, tmp_path, [{"judge": reply(RATED, 2)}])
    assert found.strict["turn-taking 0-15s"] == pytest.approx((5 * 4 + 5 * 2) / 10)
    assert found.strict["turn-taking 15-30s"] == pytest.approx(2.0)
    assert found.strict["turn-taking 30-45s"] is None
    assert found.strict["turn-taking-75s"] == pytest.approx((3.0 + 2.0) / 2)


def test_the_originals_ratings_are_whole_and_unbounded_and_its_task_is_a_number(tmp_path: Path) -> None:
    found = Scored(CONVERSATION, tmp_path, [{"judge": reply([[[0, 5], 4.5, 4], [[9, 5], 2, 2], [[6, 7], 9, 3]], "4")}])
    assert (found.strict["turn-taking"], found.strict["task"]) == (4.5, 4.0)
    assert (found.compat["turn-taking"], found.compat["task"]) == (pytest.approx((4 + 2 + 9) / 3), None)


def test_null_events_stop_the_original_and_a_reply_without_ratings_is_the_worst(tmp_path: Path) -> None:
    records = [{"judge": reply(RATED, 5)}, {"judge": reply(None, 5)}, {"judge": "I cannot."}]
    found = Scored(CONVERSATION, tmp_path, records)
    assert found.compat["turn-taking"] is None
    assert found.strict["turn-taking"] == pytest.approx((4 + 2 + 1) / 3)
    assert found.strict["task"] == pytest.approx((5 + 5 + 1) / 3)
    assert found.strict["unread"] == pytest.approx(100 / 3)


# ---------------------------------------------------------------------------------------------- the command


@pytest.mark.parametrize(
    ("metric", "record", "number"),
    [
        (OVERLAP, {"user_segments": [[0, 1]], "segments": [[2, 3]]}, "response"),
        (BEHAVIOR, judged("C_RESUME"), "C_RESUME"),
        (CONVERSATION, {"judge": reply(RATED, 3)}, "task"),
    ],
)
def test_the_metrics_are_reached_from_the_command_line(
    metric: str, record: dict[str, Any], number: str, tmp_path: Path
) -> None:
    (tmp_path / "r.jsonl").write_text(json.dumps({"id": "a", **record}) + "\n")
    done = CliRunner().invoke(app, ["metric", metric, "--input", str(tmp_path / "r.jsonl"), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["aggregate"]["strict"][number] is not None


@pytest.mark.parametrize(
    ("metric", "record", "named"),
    [
        (OVERLAP, {"segments": []}, "user_segments"),
        (OVERLAP, {"user_segments": [[2, 1]], "segments": []}, "segment"),
        (BEHAVIOR, {"words": []}, "judge"),
        (BEHAVIOR, {"judge": 4}, "judge"),
        (CHANGE, {"before": 1.0}, "after"),
        (CHANGE, {"before": "low", "after": 1.0}, "before"),
        (CHANGE, {"before": {"a": 1}, "after": {"b": 1}}, "features"),
        (CONVERSATION, {"words": []}, "judge"),
    ],
)
def test_what_cannot_be_read_is_named(metric: str, record: dict[str, Any], named: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=named):
        Scored(metric, tmp_path, [record])

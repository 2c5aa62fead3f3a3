"""Turn-taking metrics on records, ours and Full-Duplex-Bench's accounting, in cases small enough to check by hand."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from support.scored_records import Scored

from speech_eval.errors import BadInput
from speech_eval.metrics.dialogue.backchannel import is_turn
from speech_eval.metrics.dialogue.turn_taking import original_rating, parse_rating, takes_turn

SMOOTH, PAUSE = "turn-taking[fdb@1.0]", "pause-handling[fdb@1.0]"
INTERRUPTION, BACKCHANNEL = "interruption[fdb@1.0]", "backchannel[fdb@1.0]"
GOOD_REPLY = "Analysis: it fits.\nI would rate the AI's response as 4."


def speech(start: float, words: int, span: float) -> list[list[Any]]:
    """Time-aligned words that fill `span` seconds from `start`."""
    edges = np.linspace(start, start + span, words + 1)
    return [["word", float(a), float(b)] for a, b in pairwise(edges)]


TURN = speech(2.5, 5, 2.0)


# ------------------------------------------------------------------------------------- smooth turn taking


@pytest.mark.parametrize(
    ("span", "words", "turn"),
    [(0.0, 0, False), (0.99, 3, False), (0.5, 1, False), (1.0, 1, True), (0.5, 4, True), (5.0, 12, True)],
)
def test_a_turn_spans_a_second_or_has_more_than_three_words(span: float, words: int, turn: bool) -> None:
    assert takes_turn(span, words) is turn


def test_latency_runs_from_the_end_of_the_users_turn_to_the_first_word(tmp_path: Path) -> None:
    found = Scored(SMOOTH, tmp_path, [{"words": TURN, "turn_end": 2.0}, {"words": [], "turn_end": 2.0}])
    assert found.strict == pytest.approx({"tor": 0.5, "latency": 0.5}) == found.compat
    assert [sample["latency"] for sample in found.samples] == [0.5, None]


def test_words_may_be_objects(tmp_path: Path) -> None:
    words = [{"text": text, "start": start, "end": end} for text, start, end in TURN]
    assert Scored(SMOOTH, tmp_path, [{"words": words, "turn_end": 2.0}]).strict == {"tor": 1.0, "latency": 0.5}


def test_an_early_start_is_negative_and_the_original_makes_it_zero(tmp_path: Path) -> None:
    found = Scored(SMOOTH, tmp_path, [{"words": TURN, "turn_end": 3.5}, {"words": TURN, "turn_end": 2.0}])
    assert found.strict["latency"] == pytest.approx((-1.0 + 0.5) / 2)
    assert found.compat["latency"] == pytest.approx((0.0 + 0.5) / 2)


def test_where_nobody_takes_the_turn_the_original_divides_by_zero(tmp_path: Path) -> None:
    found = Scored(SMOOTH, tmp_path, [{"words": speech(1, 2, 0.4), "turn_end": 0.5}] * 2)
    assert found.strict == {"tor": 0.0, "latency": None}
    assert found.compat == {"tor": None, "latency": None}


def test_a_last_word_without_an_end_stops_the_original_but_not_us(tmp_path: Path) -> None:
    open_end = [*TURN[:-1], ["word", TURN[-1][1], None]]
    found = Scored(SMOOTH, tmp_path, [{"words": open_end, "turn_end": 2.0}, {"words": TURN, "turn_end": 2.0}])
    assert found.strict == pytest.approx({"tor": 1.0, "latency": 0.5})
    assert found.compat == {"tor": None, "latency": None}
    assert Scored(PAUSE, tmp_path, [{"words": open_end}]).compat == {"tor": 1.0}


def test_a_missing_end_shifts_the_originals_later_ends_by_one(tmp_path: Path) -> None:
    ends = {3.0: 2.0, 4.0: None, 5.0: 1.5, 6.0: 0.5}
    found = Scored(SMOOTH, tmp_path, [{"words": speech(at, 5, 2.0), "turn_end": end} for at, end in ends.items()])
    assert found.strict == pytest.approx({"tor": 1.0, "latency": (1.0 + 3.5 + 5.5) / 3})
    assert found.compat == pytest.approx({"tor": 1.0, "latency": ((3.0 - 2.0) + (4.0 - 1.5) + (5.0 - 0.5)) / 3})


@pytest.mark.parametrize(("metric", "worst"), [(SMOOTH, 0.0), (PAUSE, 1.0)])
def test_a_missing_transcript_is_the_worst_and_the_original_skips_it(tmp_path: Path, metric: str, worst: float) -> None:
    found = Scored(metric, tmp_path, [{"words": TURN, "turn_end": 2.0}, {"words": None, "turn_end": 2.0}])
    assert found.strict["tor"] == (1.0 + worst) / 2
    assert found.compat["tor"] == 1.0


# ------------------------------------------------------------------------------------------- interruption


@pytest.mark.parametrize(
    ("reply", "ours", "originals"),
    [
        (GOOD_REPLY, 4.0, 4),
        ("Analysis: a.\nI would rate the AI's response as [5].", 5.0, None),
        ("Analysis: a.\nI would rate the AI's response as **3**", 3.0, None),
        ("Analysis: a.\nI would rate the AI’s response as 2.", 2.0, None),
        ("Analysis: a. I would rate the AI's response as 1.", 1.0, None),
        ("Analysis: a.\nI would rate the AI's response as 4.5", 4.5, 4),
        ("Analysis: a.\nI would rate the AI's response as 10", None, 10),
        ("4", None, None),
        ("", None, None),
    ],
)
def test_ratings_as_we_and_as_the_original_read_them(reply: str, ours: float | None, originals: int | None) -> None:
    assert parse_rating(reply) == ours
    assert original_rating(reply) == originals


def test_an_interruption_has_a_rating_a_take_over_and_a_latency(tmp_path: Path) -> None:
    records = [{"words": TURN, "turn_end": 2.0, "judge": GOOD_REPLY}, {"words": [], "turn_end": 2.0}]
    found = Scored(INTERRUPTION, tmp_path, records)
    assert found.strict == pytest.approx({"rating": 4.0, "tor": 0.5, "latency": 0.5}) == found.compat


def test_every_unread_reply_counts_the_turn_once_more_in_the_original(tmp_path: Path) -> None:
    records = [
        {"words": TURN, "turn_end": 2.0, "judge": ["no rating", "none here", GOOD_REPLY]},
        {"words": [], "turn_end": 2.0},
    ]
    found = Scored(INTERRUPTION, tmp_path, records)
    assert found.strict["tor"] == 0.5
    assert found.compat["tor"] == pytest.approx(3 / 4)
    assert found.strict["rating"] == found.compat["rating"] == 4.0


def test_a_turn_without_a_readable_rating_is_rated_zero_and_the_original_never_ends(tmp_path: Path) -> None:
    records = [{"words": TURN, "turn_end": 2.0, "judge": reply} for reply in (GOOD_REPLY, ["four"])]
    found = Scored(INTERRUPTION, tmp_path, records)
    assert found.strict["rating"] == 2.0
    assert found.compat == {"rating": None, "tor": None, "latency": None}


def test_a_missing_transcript_stops_the_original(tmp_path: Path) -> None:
    records = [{"words": TURN, "turn_end": 2.0, "judge": GOOD_REPLY}, {"words": None, "turn_end": 2.0}]
    found = Scored(INTERRUPTION, tmp_path, records)
    assert found.strict == pytest.approx({"rating": 2.0, "tor": 0.5, "latency": 0.5})
    assert found.compat == {"rating": None, "tor": None, "latency": None}


# -------------------------------------------------------------------------------------------- backchannel


def listener(segments: list[list[float]], words: list[list[Any]] | None, **other: Any) -> dict[str, Any]:
    return {"segments": segments, "words": words, "duration": 10.0, "distribution": [0.2, 0.5, 0.3], **other}


@pytest.mark.parametrize(
    ("duration", "words", "turn"),
    [(0.5, 0, False), (0.9, 2, False), (0.9, 3, True), (1.0, 1, True), (2.0, 0, False), (3.1, 0, True), (0.9, 4, True)],
)
def test_what_tells_a_turn_from_a_backchannel(duration: float, words: int, turn: bool) -> None:
    assert is_turn(duration, words) is turn


def test_a_later_backchannel_wipes_the_turn_in_the_original(tmp_path: Path) -> None:
    words = [*speech(1.0, 6, 2.0), ["mhm", 5.1, 5.4]]
    found = Scored(BACKCHANNEL, tmp_path, [listener([[1.0, 3.0], [5.0, 5.5]], words)])
    assert (found.strict["tor"], found.compat["tor"]) == (1.0, 0.0)
    assert found.strict["frequency"] == found.compat["frequency"] == 0.2


def test_the_original_stops_looking_at_a_long_segment(tmp_path: Path) -> None:
    words = [["mhm", 0.6, 0.9], *speech(2.0, 10, 3.5), ["yes", 7.1, 7.4]]
    found = Scored(BACKCHANNEL, tmp_path, [listener([[0.5, 1.0], [2.0, 5.5], [7.0, 7.5]], words)])
    assert found.strict["tor"] == found.compat["tor"] == 1.0
    assert found.strict["frequency"] == pytest.approx(0.2)
    assert found.compat["frequency"] == pytest.approx(0.1)


def test_a_breath_of_a_second_without_words_is_a_turn_only_in_the_original(tmp_path: Path) -> None:
    found = Scored(BACKCHANNEL, tmp_path, [listener([[1.0, 2.5]], [])])
    assert (found.strict["tor"], found.compat["tor"]) == (0.0, 1.0)


def test_a_word_on_the_border_counts_once_for_us_and_twice_in_the_original(tmp_path: Path) -> None:
    words = [["a", 1.0, 1.2], ["b", 1.2, 1.4], ["c", 1.45, 2.1]]
    found = Scored(BACKCHANNEL, tmp_path, [listener([[1.0, 1.5], [1.8, 2.3]], words)])
    assert found.samples[0]["words"] == [2, 1]
    assert (found.strict["tor"], found.compat["tor"]) == (0.0, 0.0)
    found = Scored(BACKCHANNEL, tmp_path, [listener([[1.0, 1.5]], words)])
    assert found.compat["tor"] == 1.0


def test_segments_may_bring_their_own_words(tmp_path: Path) -> None:
    counted = [{"start": 1.0, "end": 1.8, "words": ["oh", "i", "see"]}, {"start": 3.0, "end": 3.4, "words": 1}]
    found = Scored(BACKCHANNEL, tmp_path, [listener(counted, None)])  # type: ignore[arg-type]
    assert (found.strict["tor"], found.compat["tor"]) == (1.0, 0.0)


def test_a_missing_transcript_repeats_the_turn_of_the_sample_before_in_the_original(tmp_path: Path) -> None:
    turn, missing = listener([[1.0, 5.0]], speech(1.0, 9, 4.0)), listener([[1.0, 1.4]], None)
    silent = listener([], [])
    found = Scored(BACKCHANNEL, tmp_path, [turn, missing, silent, missing])
    assert found.compat["tor"] == pytest.approx(2 / 4)
    assert found.strict["tor"] == pytest.approx(3 / 4)
    assert Scored(BACKCHANNEL, tmp_path, [missing, turn]).compat == {"jsd": None, "tor": None, "frequency": None}


def test_timing_is_the_jensen_shannon_distance_to_the_stretched_reference(tmp_path: Path) -> None:
    counts = np.full(51, 1e-10)
    counts[[5, 6, 7, 8]] += 1  # 1.0 s to 1.6 s touches the windows from 5 to 8
    stretched = np.interp(np.linspace(0, 1, 51), [0, 0.5, 1], [0.2, 0.5, 0.3])
    found = Scored(BACKCHANNEL, tmp_path, [listener([[1.0, 1.6]], [])])
    assert found.strict["jsd"] == pytest.approx(float(jensenshannon(counts, stretched)), abs=1e-12)
    assert 0 < found.strict["jsd"] < math.sqrt(math.log(2))


def test_a_window_border_is_not_missed_by_rounding(tmp_path: Path) -> None:
    found = Scored(BACKCHANNEL, tmp_path, [listener([[0.6, 0.7]], [])])  # 0.6 / 0.2 is 2.9999… in floating point
    counts = np.full(51, 1e-10)
    stretched = np.interp(np.linspace(0, 1, 51), [0, 0.5, 1], [0.2, 0.5, 0.3])
    ours, originals = counts.copy(), counts.copy()
    ours[3] += 1
    originals[[2, 3]] += 1
    assert found.strict["jsd"] == pytest.approx(float(jensenshannon(ours, stretched)), abs=1e-12)
    assert found.compat["jsd"] == pytest.approx(float(jensenshannon(originals, stretched)), abs=1e-12)


def test_no_response_is_a_distance_of_one(tmp_path: Path) -> None:
    found = Scored(BACKCHANNEL, tmp_path, [listener([], [])])
    assert found.strict == {"jsd": 1.0, "tor": 0.0, "frequency": 0.0} == found.compat


def test_a_reference_without_mass_leaves_no_number_in_the_original(tmp_path: Path) -> None:
    records = [listener([[1.0, 1.5]], [], distribution=[0.0, 0.0]), listener([], [])]
    found = Scored(BACKCHANNEL, tmp_path, records)
    assert found.strict["jsd"] == 1.0
    assert found.compat["jsd"] is None and found.compat["tor"] == 0.0


# ---------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("metric", "record", "named"),
    [
        (SMOOTH, {"turn_end": 2.0}, "words"),
        (SMOOTH, {"words": TURN}, "turn_end"),
        (SMOOTH, {"words": TURN, "turn_end": "two"}, "turn_end"),
        (SMOOTH, {"words": [["a"]], "turn_end": 2.0}, "word"),
        (SMOOTH, {"words": "a b", "turn_end": 2.0}, "words"),
        (PAUSE, {"turn_end": 2.0}, "words"),
        (INTERRUPTION, {"words": TURN, "turn_end": 2.0}, "judge"),
        (INTERRUPTION, {"words": TURN, "turn_end": 2.0, "judge": [4]}, "judge"),
        (BACKCHANNEL, {"words": []}, "segments"),
        (BACKCHANNEL, listener([[2.0, 1.0]], []), "segment"),
        (BACKCHANNEL, listener([], [], duration=0), "duration"),
        (BACKCHANNEL, listener([], [], distribution=[]), "distribution"),
        (BACKCHANNEL, listener([], [], distribution=[0.5, -0.1]), "distribution"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, metric: str, record: dict[str, Any], named: str) -> None:
    with pytest.raises(BadInput, match=named):
        Scored(metric, tmp_path, [record])

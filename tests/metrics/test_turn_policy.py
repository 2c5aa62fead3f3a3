"""Sweeps of the turn-taking rule on probabilities whose right answer can be counted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech_eval.errors import BadInput
from speech_eval.signal.timeout_rule import (
    PolicyPoint,
    TimeoutRule,
    Turn,
    actions,
    fastest,
    pareto_front,
    sweep,
)

FRAME = 0.1


def turn(pause: float, *, speech: float = 0.9, tail: float = 3.0) -> Turn:
    """1 s of speech, a pause, 1 s of speech, silence; one probability for each 0.1 s."""
    track = [speech] * 10 + [0.0] * round(pause / FRAME) + [speech] * 10 + [0.0] * round(tail / FRAME)
    return Turn(np.array(track), 2.0 + pause, ((1.0, 1.0 + pause),))


TURNS = [turn(0.3), turn(0.6), turn(0.9), turn(1.2)]


@pytest.mark.parametrize(
    ("timeout", "cut_offs"), [(0.2, 1.0), (0.3, 1.0), (0.4, 0.75), (0.7, 0.5), (1.0, 0.25), (1.3, 0.0)]
)
def test_a_timeout_cuts_off_at_every_pause_it_does_not_outlast(timeout: float, cut_offs: float) -> None:
    point = sweep(TURNS, [0.5], [timeout], FRAME)[0]
    assert point.false_cut_offs == point.pause_cut_offs == cut_offs
    assert point.missed == 0.0
    assert point.latency == (None if cut_offs == 1.0 else pytest.approx(timeout))


def test_false_cut_offs_fall_and_latency_grows_with_the_timeout() -> None:
    points = sweep(TURNS, [0.5], [0.4, 0.7, 1.0, 1.3], FRAME)
    assert [point.false_cut_offs for point in points] == [0.75, 0.5, 0.25, 0.0]
    assert [point.latency for point in points] == pytest.approx([0.4, 0.7, 1.0, 1.3])


def test_a_threshold_that_hears_no_speech_never_acts() -> None:
    point = sweep([turn(0.3, speech=0.6)], [0.7], [0.5], FRAME)[0]
    assert (point.missed, point.false_cut_offs, point.latency) == (1.0, 0.0, None)


def test_a_turn_that_ends_with_the_recording_is_missed_by_a_patient_rule() -> None:
    assert sweep([turn(0.3, tail=0.5)], [0.5], [0.5, 0.6], FRAME)[1].missed == 1.0


def test_a_low_threshold_waits_where_speech_is_faint() -> None:
    faint = Turn(np.array([0.9] * 10 + [0.3] * 10 + [0.9] * 10 + [0.0] * 20), 3.0, ((1.0, 2.0),))
    low, high = sweep([faint], [0.2, 0.5], [0.5], FRAME)
    assert (low.false_cut_offs, high.false_cut_offs) == (0.0, 1.0)


def test_points_come_threshold_by_threshold() -> None:
    points = sweep(TURNS, [0.3, 0.6], [0.4, 0.7], FRAME)
    assert [(point.threshold, point.timeout) for point in points] == [(0.3, 0.4), (0.3, 0.7), (0.6, 0.4), (0.6, 0.7)]


def test_the_front_holds_what_nothing_beats() -> None:
    def point(timeout: float, cut_offs: float, latency: float | None, missed: float = 0.0) -> PolicyPoint:
        return PolicyPoint(0.5, timeout, cut_offs, None, missed, latency)

    quick, polite, beaten = point(0.2, 0.5, 0.2), point(0.9, 0.0, 0.9), point(0.8, 0.5, 0.3)
    silent, lazy = point(9.0, 0.0, None, 1.0), point(2.0, 0.0, 0.1, 0.9)
    points = [polite, beaten, quick, silent, lazy]
    assert pareto_front(points) == [lazy, quick, polite]
    assert fastest(points, 0.5) == quick and fastest(points, 0.1) == polite and fastest([quick], 0.1) is None


@given(
    st.lists(st.sampled_from([0.1, 0.4, 0.5, 0.9]), max_size=60),
    st.sampled_from([0.3, 0.5, 0.7]),
    st.sampled_from([0.0, 0.1, 0.25, 0.3, 1.0]),
)
def test_an_agent_that_runs_the_rule_acts_when_the_sweep_says(
    track: list[float], threshold: float, timeout: float
) -> None:
    rule = TimeoutRule(threshold, timeout, FRAME)
    acted = [(index + 1) * FRAME for index, probability in enumerate(track) if rule.step(probability)]
    assert acted == pytest.approx(list(actions(np.array(track), threshold, [timeout], FRAME)[0]))


@pytest.mark.parametrize(("threshold", "timeout"), [(0.0, 0.5), (1.5, 0.5), (0.5, -1.0), (0.5, float("nan"))])
def test_a_rule_that_makes_no_sense_is_refused(threshold: float, timeout: float) -> None:
    with pytest.raises(BadInput):
        TimeoutRule(threshold, timeout, FRAME)


def test_a_sweep_needs_turns() -> None:
    with pytest.raises(BadInput, match="no turns"):
        sweep([], [0.5], [0.5], FRAME)

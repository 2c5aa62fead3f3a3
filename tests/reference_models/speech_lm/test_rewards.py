"""Rewards are pure functions, verifiers are the harness's own models, and one chooses the best of N, another judges."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.metric_items import reader

pytest.importorskip("torch")

from speech_eval.audio import Audio
from speech_eval.errors import BadInput
from speech_eval.reference_models.speech_lm.rl import rewards
from speech_eval.reference_models.speech_lm.rl.rewards import INVALID, Reward, composite
from speech_eval.reference_models.speech_lm.rl.verifiers import (
    Verifier,
    VerifierConfig,
    best,
    best_of_curve,
    total_reward,
)

SAID = "He was not an ill-disposed young man."
parts = st.floats(0.01, 1.0)


def test_intelligibility_is_one_minus_tanh_of_the_errors() -> None:
    assert rewards.intelligibility("Hello world.", "hello, world") == Reward(1.0, True)
    found = rewards.intelligibility("abcdefghij", "abcdefghxx", alpha=3.0)  # two of ten characters
    assert found == Reward(pytest.approx(1.0 - math.tanh(0.6)), True)


@pytest.mark.parametrize("nothing", ["", "  ", "...", "[silence]"])
def test_an_empty_transcript_is_invalid_and_never_free_of_errors(nothing: str) -> None:
    assert rewards.intelligibility("Hello.", nothing) == INVALID
    assert rewards.character_error_rate("Hello.", nothing) is None


def test_a_text_with_nothing_to_hear_is_an_error() -> None:
    with pytest.raises(BadInput, match="no letters"):
        rewards.intelligibility("...", "hello")


@pytest.mark.parametrize(
    ("measured", "value"),
    [
        (rewards.likelihood(0.0), 1.0),
        (rewards.likelihood(3.0), math.exp(-1)),
        (rewards.speaker(0.7), 0.7),
        (rewards.speaker(-0.2), 0.0),
        (rewards.opinion(1.0), 0.0),
        (rewards.opinion(3.0), 0.5),
        (rewards.duration("twelve chars", 1.0), 1.0),
        (rewards.duration("twelve chars", 3.0), 0.5),  # 4 characters a second
        (rewards.duration("twelve chars", 60.0), 0.0),
        (rewards.duration("twelve chars", 0.1), 0.0),
    ],
)
def test_each_reward_lies_between_zero_and_one(measured: Reward, value: float) -> None:
    assert measured.valid and measured.value == pytest.approx(value)


@pytest.mark.parametrize("function", [rewards.likelihood, rewards.speaker, rewards.opinion])
def test_what_is_not_a_number_is_invalid(function: Callable[[float], Reward]) -> None:
    assert function(float("nan")) == INVALID and function(float("inf")) == INVALID


def test_no_sound_has_no_duration() -> None:
    assert rewards.duration("Hello.", 0.0) == INVALID


@given(a=parts, b=parts, w=st.floats(0.1, 5.0))
def test_the_harmonic_mean_is_no_more_than_the_mean_and_both_lie_between(a: float, b: float, w: float) -> None:
    measured, weights = {"a": Reward(a, True), "b": Reward(b, True)}, {"a": w, "b": 1.0}
    mean, harmonic = composite(measured, weights), composite(measured, weights, "harmonic")
    assert min(a, b) - 1e-9 <= harmonic.value <= mean.value + 1e-9 <= max(a, b) + 2e-9
    assert harmonic.value == pytest.approx((w + 1.0) / (w / a + 1.0 / b))


def test_a_composite_is_invalid_with_any_part_and_zero_harmonically_with_any_zero() -> None:
    measured = {"a": Reward(1.0, True), "b": INVALID, "c": Reward(0.0, True)}
    assert composite(measured, {"a": 1.0, "b": 1.0}) == INVALID
    assert composite(measured, {"a": 1.0, "c": 1.0}, "harmonic") == Reward(0.0, True)
    assert composite(measured, {"a": 1.0, "c": 1.0}) == Reward(0.5, True)
    for wrong in ({}, {"d": 1.0}, {"a": 0.0}):
        with pytest.raises(BadInput, match="do not fit"):
            composite(measured, wrong)


# --------------------------------------------------------------------------------------------- verifiers


@pytest.fixture(scope="module")
def verifier() -> Verifier:
    return Verifier(VerifierConfig(speaker="sim[ge2e@resemblyzer]", likelihood=True))


@pytest.mark.slow
def test_a_verifier_measures_words_voice_and_how_likely_the_text_is(verifier: Verifier) -> None:
    right = verifier.rewards(SAID, reader("0880"), reader("0880"))
    wrong = verifier.rewards("Seven green bottles on a wall.", reader("0880"), reader("0880"))
    assert right.keys() == {"duration", "cer", "nll", "sim"}
    assert all(reward.valid for reward in right.values())
    assert right["cer"].value > 0.4 > wrong["cer"].value
    assert right["nll"].value > wrong["nll"].value
    assert right["sim"].value == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("seconds", [0.0, 1.0])
def test_silence_gets_no_reward(seconds: float, verifier: Verifier) -> None:
    measured = verifier.rewards(SAID, Audio(np.zeros(round(16_000 * seconds), np.float32), 16_000), reader("0880"))
    assert measured["sim"] == INVALID
    assert total_reward(measured, "sim") == 0.0
    assert seconds or measured["cer"] == measured["nll"] == measured["duration"] == INVALID


def test_only_a_recognizer_that_tells_likelihoods_is_asked_for_them() -> None:
    with pytest.raises(BadInput, match="is not a recognizer"):
        Verifier(VerifierConfig(recognizer="espeak-ng"))


# ------------------------------------------------------------------------------------------------- best of N


def test_the_best_is_chosen_by_words_by_voice_or_by_both() -> None:
    def candidate(cer: float, sim: float) -> dict[str, Reward]:
        return {"cer": Reward(cer, True), "sim": Reward(sim, True)}

    candidates = [candidate(0.9, 0.1), candidate(0.2, 0.9), candidate(0.7, 0.7)]
    assert [best(candidates, by) for by in ("wer", "sim", "both")] == [0, 1, 2]  # type: ignore[arg-type]
    assert best([candidate(0.5, 0.5)] * 2, "both") == 0


def test_the_curve_is_the_mean_over_every_way_to_draw_n_candidates() -> None:
    draw = np.random.default_rng(0)
    chosen_by, judged = draw.integers(0, 4, (3, 5)).astype(float), draw.random((3, 5))
    curve = best_of_curve(chosen_by, judged, [1, 2, 4, 5])
    for n in (1, 2, 4, 5):
        values = [
            judged[text, max(subset, key=lambda place: (chosen_by[text, place], -place))]
            for text in range(3)
            for subset in itertools.combinations(range(5), n)
        ]
        assert curve[n] == pytest.approx(np.mean(values))


def test_a_verifier_that_is_the_judge_only_gets_better_with_n() -> None:
    scores = np.random.default_rng(1).random((20, 8))
    values = list(best_of_curve(scores, scores, range(1, 9)).values())
    assert values == sorted(values) and values[-1] == pytest.approx(scores.max(axis=1).mean())
    with pytest.raises(BadInput, match="cannot be drawn from 8"):
        best_of_curve(scores, scores, [9])


def test_the_picture_of_a_curve_is_a_drawing_with_a_point_an_n() -> None:
    from xml.etree import ElementTree

    from speech_eval.reference_models.tts.best_of import BestOf, picture

    points = [{"n": float(n), "cer": 0.2 / n, "sim": 0.5 + 0.1 * n} for n in (1, 2, 4)]
    drawing = ElementTree.fromstring(picture(BestOf("m", "both", 4, 10, points)))
    tags = [element.tag.rsplit("}", 1)[1] for element in drawing.iter()]
    assert tags.count("polyline") == 2 and tags.count("circle") == 6


def test_a_curve_is_drawn_only_of_what_speaks_and_by_what_is_there() -> None:
    from speech_eval.reference_models.tts.best_of import best_of

    with pytest.raises(BadInput, match="is not a synthesizer"):
        best_of("opus", "sentences-en")
    with pytest.raises(BadInput, match="without a voice prompt"):
        best_of("espeak-ng", "asterisk-en", by="sim")

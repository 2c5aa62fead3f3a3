"""Changes of the recordings that an audio LLM is trained on."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from pydantic import ValidationError
from support.metric_items import announcer, reader

from speech_eval.reference_models.audio_llm.augment import ORDER, AugmentSection
from speech_eval.signal.level import active_level

NONE = dict.fromkeys(ORDER, 0.0)
IDS = [f"clip-{number}" for number in range(400)]


def test_a_recording_is_changed_the_same_way_every_time_and_another_way_by_another_seed() -> None:
    audio, others = announcer("hello"), [lambda: reader("0880"), lambda: reader("0870")]
    first, name = AugmentSection().apply(audio, "a", others)
    again, other = AugmentSection().apply(audio, "a", others), AugmentSection(seed=1).apply(audio, "a", others)
    assert np.array_equal(first.samples, again[0].samples) and name == again[1] == str(AugmentSection().condition("a"))
    assert not np.array_equal(first.samples, other[0].samples) and name != other[1]
    assert len(first.samples) == len(audio.samples) and np.isfinite(first.samples).all()


@pytest.mark.parametrize("kind", ORDER)
def test_a_change_occurs_as_often_as_its_share_says_and_in_its_range(kind: str) -> None:
    section = AugmentSection.model_validate({**NONE, kind: 0.25})
    found = [condition for key in IDS if (condition := section.condition(key))]
    assert len(found) / len(IDS) == pytest.approx(0.25, abs=0.06)
    assert {step.kind for condition in found for step in condition.steps} == {kind}
    if kind in section.ranges():
        low, high = section.ranges()[kind]
        values = [float(condition.value or 0.0) for condition in found]
        assert low <= min(values) < low + 0.2 * (high - low) and high - 0.2 * (high - low) < max(values) <= high


def test_one_share_leaves_the_draws_of_the_others_as_they_are() -> None:
    steps = {
        share: [
            {step for step in condition.steps if step.kind == "noise"} if condition else set()
            for condition in map(AugmentSection(room=share).condition, IDS)
        ]
        for share in (0.0, 1.0)
    }
    assert steps[0.0] == steps[1.0] and Counter(map(len, steps[0.0]))[1] > 50


def test_the_level_that_is_drawn_is_heard() -> None:
    section = AugmentSection.model_validate({**NONE, "level": 1.0})
    condition = section.condition("a")
    assert condition is not None
    assert active_level(section.apply(announcer("hello"), "a")[0]) == pytest.approx(condition.value, abs=0.1)


def test_nothing_is_done_where_nothing_is_asked_and_babble_needs_other_people() -> None:
    audio = announcer("hello")
    assert AugmentSection.model_validate(NONE).apply(audio, "a") == (audio, "")
    assert AugmentSection.model_validate({**NONE, "babble": 1.0}).apply(audio, "a") == (audio, "")


@pytest.mark.parametrize("wrong", [{"room_seconds": (0.8, 0.2)}, {"opus_kbits": (1.0, 24.0)}, {"noise": 1.5}])
def test_values_that_cannot_be_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        AugmentSection.model_validate(wrong)

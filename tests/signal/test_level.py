"""Levels relative to the speech itself: a gain changes nothing down to digital silence."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.metric_items import announcer, reader, tone

from speech_eval.audio import Audio
from speech_eval.signal.level import SILENCE_DB, active_level, audible, leading_silence

VOICES = [reader("0870"), announcer("demo-congrats"), tone(1.0, silence=0.25)]


def at(audio: Audio, gain: float) -> Audio:
    return Audio((audio.samples * gain).astype(np.float32), audio.rate)


@settings(max_examples=25, deadline=None)
@given(decibels=st.floats(-60.0, 18.0), voice=st.sampled_from(VOICES))
def test_the_onset_does_not_move_with_the_level(decibels: float, voice: Audio) -> None:
    quiet = at(voice, 10 ** (decibels / 20))
    assert leading_silence(quiet) == leading_silence(voice)
    assert active_level(quiet) == pytest.approx(active_level(voice) + decibels, abs=0.01)


@settings(max_examples=15, deadline=None)
@given(seconds=st.floats(0.0, 20.0), voice=st.sampled_from(VOICES))
def test_silence_before_the_speech_is_added_to_the_onset(seconds: float, voice: Audio) -> None:
    windows = round(seconds / 0.01)
    late = Audio(np.pad(voice.samples, (windows * voice.rate // 100, 0)), voice.rate)
    assert leading_silence(late) == pytest.approx((leading_silence(voice) or 0.0) + windows / 100, abs=0.011)


@pytest.mark.parametrize("pause", [0.0, 5.0, 60.0])
def test_pauses_do_not_lower_the_active_level(pause: float) -> None:
    spaced = Audio(np.pad(tone(1.0).samples, (0, round(pause * 16_000))), 16_000)
    assert active_level(spaced) == pytest.approx(-9.03, abs=0.1)  # a sine of half of full scale


def dither() -> Audio:
    noise = np.random.default_rng(0).triangular(-1, 0, 1, 16_000).round() / 32768
    return Audio(noise.astype(np.float32), 16_000)


@pytest.mark.parametrize(
    "silence",
    [Audio(np.zeros(16_000, np.float32), 16_000), Audio(np.full(16_000, 0.3, np.float32), 16_000), dither()],
    ids=["zeros", "offset", "dither"],
)
def test_digital_silence_is_inaudible(silence: Audio) -> None:
    assert not audible(silence) and leading_silence(silence) is None
    assert active_level(silence) < SILENCE_DB


def test_an_offset_is_not_heard_before_the_speech() -> None:
    offset = Audio(tone(1.0, silence=0.5).samples + np.float32(0.2), 16_000)
    assert leading_silence(offset) == pytest.approx(0.5, abs=0.011)

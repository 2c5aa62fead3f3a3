"""Conditions of speech: each has the strength it states, depends on its seed alone, and leaves the rest as it was."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from speech_eval.adapters.codec.opus import Opus
from speech_eval.audio import Audio
from speech_eval.errors import BadAudio, BadInput
from speech_eval.signal import channels, noise, rooms
from speech_eval.signal.conditions import KINDS, Condition, parse
from speech_eval.signal.level import active_level

RATE = 16_000


def talk(seed: int, seconds: float = 2.0, rate: int = RATE, gain: float = 0.1) -> Audio:
    """Noise of a vowel's spectrum in bursts of 0.3 s with pauses between them, as speech has them."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    spectrum = np.fft.rfft(rng.standard_normal(len(time)))
    frequency = np.fft.rfftfreq(len(time), 1 / rate)
    voiced = np.fft.irfft(spectrum / (1 + (frequency / 500) ** 2), len(time))
    sound = voiced / voiced.std() * (np.sin(2 * np.pi * time / 0.6 + seed) > -0.2)
    return Audio((gain * sound).astype(np.float32), rate)


def given(audio: Audio) -> Audio:
    return audio


OTHERS: list[Callable[[], Audio]] = [
    partial(given, talk(n, 1.5, rate)) for n, rate in enumerate([16_000, 8000, 24_000])
]


def power(samples: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.square(samples.astype(np.float64)))))


@pytest.mark.parametrize("snr", [-5.0, 0.0, 15.0])
@pytest.mark.parametrize("kind", ["babble", "noise"])
def test_noise_has_the_stated_ratio_to_the_active_level_of_the_speech(kind: str, snr: float) -> None:
    speech = talk(9, gain=0.02)
    heard = parse(f"{kind}={snr}").apply(speech, 0, OTHERS)
    assert active_level(speech) - power(heard.samples - speech.samples) == pytest.approx(snr, abs=0.05)


@pytest.mark.parametrize("seconds", [0.3, 0.6, 1.2])
def test_the_energy_in_a_room_falls_by_60_db_in_the_stated_time(seconds: float) -> None:
    """By Schroeder's backward integral between -5 and -35 dB (ISO 3382), over ten rooms."""
    found = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        response = rooms.Room.drawn(rng).impulse_response(seconds, RATE, rng)
        decay = 10 * np.log10(np.cumsum(response[::-1] ** 2)[::-1] / np.sum(response**2))
        first, last = np.argmax(decay < -5), np.argmax(decay < -35)
        found.append(2 * (last - first) / RATE)
    assert np.mean(found) == pytest.approx(seconds, rel=0.1)


def test_images_of_a_wall_come_when_and_as_weak_as_geometry_says() -> None:
    """A source and a microphone in the middle of a long box: the nearest reflections are off the four near walls."""
    room = rooms.Room(np.array([100.0, 4.0, 4.0]), np.array([49.0, 2.0, 2.0]), np.array([51.0, 2.0, 2.0]))
    delays, gains = room._images(0.5, 0.02)
    order = np.argsort(delays)
    assert delays[order][:5] * rooms.SOUND_SPEED == pytest.approx([2.0, *[20.0**0.5] * 4])
    assert gains[order][0] == pytest.approx(1 / (4 * np.pi * 2))
    assert len(set(np.round(gains[order][1:5], 9))) == 1 and gains[order][1] < 1 / (4 * np.pi * 20.0**0.5)


def test_the_late_part_of_a_room_goes_on_at_the_level_of_its_images() -> None:
    levels = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        response = rooms.Room.drawn(rng).impulse_response(1.0, RATE, rng)
        early, late = (response[round(a * RATE) : round(b * RATE)] for a, b in ((0.03, 0.05), (0.05, 0.07)))
        levels.append(power(early) - power(late))
    assert np.mean(levels) == pytest.approx(1.2, abs=1.5)  # 60 dB per second for 20 ms


def test_a_telephone_passes_its_band_and_nothing_else() -> None:
    time = np.arange(RATE) / RATE
    passed = {}
    for hertz in (100, 1000, 3000, 5000):
        tone = Audio((0.3 * np.sin(2 * np.pi * hertz * time)).astype(np.float32), RATE)
        passed[hertz] = power(channels.telephone(tone).samples) - power(tone.samples)
    assert passed[1000] == pytest.approx(0, abs=0.5) and passed[3000] == pytest.approx(0, abs=1)
    assert passed[100] < -30 and passed[5000] < -30


def test_opus_is_the_model_opus() -> None:
    speech = talk(3, 0.5, 48_000)
    model = Opus(bitrate=6000)
    (decoded,) = model.decode(model.encode([speech]))
    assert np.array_equal(parse("opus=6").apply(speech, 0).samples, decoded.samples)


def test_speed_raises_the_pitch_and_shortens() -> None:
    tone = Audio((0.3 * np.sin(2 * np.pi * 400 * np.arange(RATE) / RATE)).astype(np.float32), RATE)
    heard = parse("speed=1.25").apply(tone, 0)
    peak = np.argmax(np.abs(np.fft.rfft(heard.samples))) * RATE / len(heard.samples)
    assert len(heard.samples) == pytest.approx(RATE / 1.25, abs=2) and peak == pytest.approx(500, abs=2)


def test_a_level_is_that_of_the_active_speech_and_clips_at_full_scale() -> None:
    assert active_level(parse("level=-40").apply(talk(1), 0)) == pytest.approx(-40, abs=0.05)
    loud = parse("level=0").apply(talk(1), 0).samples
    assert np.abs(loud).max() == 1.0 and np.mean(np.abs(loud) == 1.0) > 0.05


@pytest.mark.parametrize("text", ["babble=0", "noise=0", "room=0.5", "room=0.4+babble=5"])
def test_a_condition_follows_from_its_seed(text: str) -> None:
    condition, speech = parse(text), talk(5)
    first, again, other = (condition.apply(speech, seed, OTHERS).samples for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.allclose(first, other, atol=1e-4)
    assert len(first) == len(speech.samples) and np.abs(first).max() <= 1.0


@pytest.mark.parametrize("kind", ["babble", "noise"])
def test_points_of_a_curve_differ_in_the_level_of_the_same_noise(kind: str) -> None:
    speech = talk(5, gain=0.01)
    near, far = (parse(f"{kind}={snr}").apply(speech, 7, OTHERS).samples - speech.samples for snr in (5, 15))
    assert np.corrcoef(near, far)[0, 1] > 0.999


def test_a_sum_beyond_full_scale_is_turned_down_whole() -> None:
    loud = noise.mixed(talk(5, gain=0.3), noise.speech_shaped(talk(5), np.random.default_rng(0)), -20)
    assert np.abs(loud.samples).max() == pytest.approx(1.0)


def test_conditions_follow_each_other_in_the_order_written() -> None:
    speech = talk(4)
    quiet_last, quiet_first = (parse(text).apply(speech, 0) for text in ("noise=0+level=-50", "level=-50+noise=0"))
    assert active_level(quiet_last) == pytest.approx(-50, abs=0.05)
    assert active_level(quiet_first) > -49


@pytest.mark.parametrize(
    ("text", "canonical", "axis", "value"),
    [
        ("babble=10.0", "babble=10", "babble", 10.0),
        ("babble=-0", "babble=0", "babble", 0.0),
        ("noise = 9.99999999", "noise=10", "noise", 10.0),
        ("telephone", "telephone", "telephone", None),
        ("room=.6 + babble=-5", "room=0.6+babble=-5", "room=0.6+babble", -5.0),
        ("babble=5+telephone", "babble=5+telephone", "babble=5+telephone", None),
    ],
)
def test_a_condition_has_one_name_an_axis_and_a_value(text: str, canonical: str, axis: str, value: float) -> None:
    condition = parse(text)
    assert (str(condition), condition.axis, condition.value) == (canonical, axis, value)
    assert parse(canonical) == condition


@pytest.mark.parametrize(
    "text",
    [
        *("", "babel=3", "babble", "babble=loud", "babble=nan", "babble=-inf", "babble=1e999", "room=9", "telephone=3"),
        *("opus=1", "noise=5+", "clean+noise=5", "../x", "noise=" + "9" * 5000, "x" * 5000),
    ],
)
def test_what_is_no_condition_says_what_would_be(text: str) -> None:
    with pytest.raises(BadInput) as raised:
        parse(text)
    assert "=" in raised.value.remedy or raised.value.remedy in ("Write telephone.", "Write clean alone.")
    assert len(str(raised.value)) < 300


def test_what_cannot_be_mixed_is_refused() -> None:
    silent = Audio(np.zeros(RATE, np.float32), RATE)
    with pytest.raises(BadInput, match="two other recordings"):
        parse("babble=5").apply(talk(1), 0, OTHERS[:1])
    with pytest.raises(BadAudio, match="audible"):
        parse("babble=5").apply(talk(1), 0, [partial(given, silent)] * 2)


@pytest.mark.parametrize("text", ["noise=5", "babble=5", "level=-30", "room=0.5", "telephone"])
def test_a_recording_without_sound_stays_silent(text: str) -> None:
    silent = Audio(np.zeros(RATE, np.float32), RATE)
    assert not parse(text).apply(silent, 0, OTHERS).samples.any()


def test_every_kind_takes_its_own_example() -> None:
    for name, kind in KINDS.items():
        text = name if kind.values is None else f"{name}={kind.values.example}"
        assert isinstance(parse(text), Condition)
        heard = parse(text).apply(talk(2, 1.0), 0, OTHERS)
        assert heard.rate == RATE and heard.samples.dtype == np.float32 and np.isfinite(heard.samples).all()

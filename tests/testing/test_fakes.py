"""The fake models: their answers are known beforehand and depend on no order, batch or worker."""

from __future__ import annotations

from collections.abc import Callable

import jiwer
import numpy as np
import pytest

from speech_eval.adapters import spec as modelspec
from speech_eval.adapters.base import (
    INTERFACES,
    ChatRequest,
    ScoresFrames,
    SynthesisRequest,
    TranscriptionRequest,
    interfaces_of,
)
from speech_eval.audio import Audio
from speech_eval.engine.generate.conversation import converse
from speech_eval.errors import BadAudio, BadInput
from speech_eval.records import Sample
from speech_eval.signal.level import leading_silence
from speech_eval.testing.fakes import FailingOracle, NoisyOracle, Oracle, tones

TEXT = "the quick brown fox jumps over the lazy dog and runs into the wide green wood"
SAMPLES = {f"s{n:03}": Sample(id=f"s{n:03}", text=f"{TEXT} number {n}", audio=f"{n}.wav") for n in range(200)}


def bound(model: Oracle) -> Oracle:
    model.bind(SAMPLES)
    return model


def unread() -> Audio:
    raise AssertionError("a fake must not read the recording")


def listen(sample_id: str, seed: int = 0) -> TranscriptionRequest:
    return TranscriptionRequest(sample_id, unread, seed=seed)


def speak(sample_id: str, text: str = "hello there", seed: int = 0) -> SynthesisRequest:
    return SynthesisRequest(sample_id, text, seed=seed)


@pytest.mark.parametrize("name", ["oracle", "noisy", "failing"])
def test_every_fake_has_all_five_interfaces_and_needs_no_recordings(name: str) -> None:
    model = modelspec.resolve(name).build()
    assert interfaces_of(model) == list(INTERFACES)
    assert model.reads_audio is False
    info = model.info()
    assert (info.name, info.revision) == (name, "1")


# ---------------------------------------------------------------------------------------------------- oracle


def test_the_oracle_writes_and_replies_with_the_reference() -> None:
    model = bound(Oracle())
    assert model.transcribe([listen("s001"), listen("s000")]) == [SAMPLES["s001"].text, SAMPLES["s000"].text]
    assert model.reply([ChatRequest("s002", [])])[0].text == SAMPLES["s002"].text


def test_a_sample_without_a_reference_is_an_error_that_names_it() -> None:
    with pytest.raises(BadInput, match="'s000'"):
        Oracle().transcribe([listen("s000")])
    model = Oracle()
    model.bind({"a": Sample(id="a")})
    with pytest.raises(BadInput, match="'a' has no text"):
        model.transcribe([listen("a")])


def test_the_oracle_speaks_with_the_samples_own_recording_where_it_can() -> None:
    model, recording = bound(Oracle()), tones("recorded")
    model.bind(SAMPLES, {"s003": recording}.__getitem__)
    assert model.synthesize([speak("s003")])[0] is recording


def test_without_a_recording_it_sounds_tones_of_the_text() -> None:
    first, again, other = bound(Oracle()).synthesize([speak("s000"), speak("s001"), speak("s002", "something else")])
    np.testing.assert_array_equal(first.samples, again.samples)
    assert not np.array_equal(first.samples, other.samples[: len(first.samples)])
    assert first.seconds == pytest.approx(10 * 0.07 + 0.05)
    assert leading_silence(first) == 0.0
    assert np.abs(first.samples).max() <= 0.6


def test_empty_text_is_not_spoken() -> None:
    with pytest.raises(BadInput, match="no text"):
        Oracle().synthesize([speak("s000", " ")])


def test_the_codec_is_the_identity_to_16_bits() -> None:
    model = Oracle()
    audio = Audio(np.linspace(-1, 0.9999, 16_000, dtype=np.float32), model.sample_rate)
    codes = model.encode([audio])
    assert codes[0].bitrate == 16 * 16_000
    assert codes[0].codebooks[0].min() >= 0 and codes[0].codebooks[0].max() < 65_536
    np.testing.assert_allclose(model.decode(codes)[0].samples, audio.samples, atol=0.5 / 32768)
    streamed = np.concatenate([chunk.samples for chunk in model.stream_decode(codes[0])])
    np.testing.assert_array_equal(streamed, model.decode(codes)[0].samples)


def test_the_codec_refuses_another_rate() -> None:
    with pytest.raises(BadAudio, match="24000 Hz"):
        Oracle().encode([tones("hello")])


def test_the_duplex_agent_waits_for_the_end_of_the_turn_and_falls_silent_when_interrupted() -> None:
    model = Oracle()
    speech = Audio(tones("some words said").resampled(16_000).samples[:1280], 16_000)
    silence = Audio(np.zeros(1280, dtype=np.float32), 16_000)
    user = [silence] * 3 + [speech] * 3 + [silence] * 5 + [speech] + [silence]
    heard = [float(np.abs(model.step(chunk).samples).max()) for chunk in user]
    assert [level > 0.01 for level in heard] == [False] * 8 + [True] * 3 + [False] * 2
    model.reset()
    assert not any(np.abs(model.step(silence).samples).max() for _ in range(5))


@pytest.mark.parametrize("turn_end", [0.0, 0.05, 0.8, 1.013])
def test_the_duplex_agent_is_heard_soon_after_the_annotated_end_of_the_turn(turn_end: float) -> None:
    model = Oracle()
    model.bind({"a": Sample(id="a", metadata={"turn_end": turn_end})})
    for _ in range(2):
        model.expect("a")
        noise = Audio(np.random.default_rng(0).standard_normal(16_000 * 4).astype(np.float32) * 0.1, 16_000)
        heard = converse(model, noise)
        assert leading_silence(heard) == pytest.approx(turn_end + 0.2, abs=0.011)
        assert 1.8 < len(np.flatnonzero(heard.samples)) / heard.rate < 2.0


def test_its_speech_probability_falls_where_the_turn_ends() -> None:
    model = Oracle()
    model.bind({"a": Sample(id="a", metadata={"turn_end": 0.5})})
    model.expect("a")
    user = Audio(np.zeros(16_000, dtype=np.float32), 16_000)
    probability, seconds = model.speech_probabilities(user)
    assert (len(probability), seconds, probability.sum()) == (100, 0.01, 50)
    assert isinstance(model, ScoresFrames)


# ----------------------------------------------------------------------------------------------------- times


def test_streams_and_transcripts_take_exactly_the_scripted_time() -> None:
    model = bound(Oracle(ttfb=0.5, chunk_seconds=0.2, chunk_interval=0.1))
    times = []
    for chunk in model.stream(speak("s000")):
        times.append((round(model.clock.now(), 9), len(chunk.samples)))
    assert times == [(0.5, 4800), (0.6, 4800), (0.7, 4800), (0.8, 3600)]
    model.transcribe([listen("s000"), listen("s001")])
    assert model.clock.now() == pytest.approx(0.9)


def test_the_whole_answer_takes_as_long_as_its_stream() -> None:
    streamed, whole = Oracle(), Oracle()
    chunks = list(streamed.stream(speak("a")))
    audio = whole.synthesize([speak("a")])[0]
    np.testing.assert_array_equal(np.concatenate([chunk.samples for chunk in chunks]), audio.samples)
    assert whole.clock.now() == pytest.approx(streamed.clock.now())


# ----------------------------------------------------------------------------------------------------- noisy


def test_the_word_error_rate_is_the_one_asked_for() -> None:
    for rate in (0.0, 0.1, 0.4):
        answers = bound(NoisyOracle(error_rate=rate)).transcribe([listen(key) for key in SAMPLES])
        measured = jiwer.wer([str(sample.text) for sample in SAMPLES.values()], answers)
        # 3600 words: three standard deviations are 0.025 at most. Two errors side by side may align as fewer.
        assert measured == pytest.approx(rate, abs=0.03)


def test_answers_depend_on_id_and_seed_alone() -> None:
    ids = list(SAMPLES)[:20]
    together = dict(zip(ids, bound(NoisyOracle(0.5)).transcribe([listen(i) for i in ids]), strict=True))
    alone = {i: bound(NoisyOracle(0.5)).transcribe([listen(i)])[0] for i in reversed(ids)}
    assert together == alone
    assert bound(NoisyOracle(0.5)).transcribe([listen("s000", seed=1)])[0] != together["s000"]


def test_its_speech_is_the_oracles_with_noise_of_the_error_rate() -> None:
    clean = bound(Oracle()).synthesize([speak("s000", TEXT)])[0].samples
    noisy = bound(NoisyOracle(error_rate=0.1)).synthesize([speak("s000", TEXT)])[0].samples
    ratio = np.sqrt(np.mean((noisy - clean) ** 2) / np.mean(clean**2))
    assert ratio == pytest.approx(0.1, rel=0.05)
    np.testing.assert_array_equal(
        noisy, bound(NoisyOracle(error_rate=0.1)).synthesize([speak("s000", TEXT)])[0].samples
    )


def listened(model: Oracle, sample_id: str) -> Audio:
    model.expect(sample_id)
    model.reset()
    return model.step(Audio(np.zeros(1280, dtype=np.float32), 16_000))


def failures(model: Oracle, ask: Callable[[str], object]) -> set[str]:
    failed = set()
    for key in SAMPLES:
        try:
            ask(key)
        except RuntimeError as error:
            assert f"'{key}'" in str(error)
            failed.add(key)
    return failed


def test_a_share_of_its_items_fails() -> None:
    model = bound(NoisyOracle(fail_rate=0.2))
    failed = failures(model, lambda key: model.transcribe([listen(key)]))
    assert 20 <= len(failed) <= 60


# --------------------------------------------------------------------------------------------------- failing


@pytest.mark.slow
def test_the_same_ids_fail_through_every_interface() -> None:
    model = bound(FailingOracle(fail_rate=0.5))
    failed = failures(model, lambda key: model.transcribe([listen(key)]))
    assert 70 <= len(failed) <= 130
    assert failures(model, lambda key: model.synthesize([speak(key)])) == failed
    assert failures(model, lambda key: list(model.stream(speak(key)))) == failed
    assert failures(model, lambda key: model.reply([ChatRequest(key, [])])) == failed
    assert failures(model, lambda key: listened(model, key)) == failed


def test_what_does_not_fail_is_right() -> None:
    model = bound(FailingOracle(fail_rate=0.5))
    failed = failures(model, lambda key: model.transcribe([listen(key)]))
    right = [key for key in SAMPLES if key not in failed]
    assert model.transcribe([listen(key) for key in right]) == [SAMPLES[key].text for key in right]


def test_one_failing_item_fails_the_batch() -> None:
    model = bound(FailingOracle(fail_rate=0.5))
    with pytest.raises(RuntimeError, match="on purpose"):
        model.transcribe([listen(key) for key in SAMPLES])


def test_codec_and_duplex_agent_fail_too() -> None:
    model = FailingOracle(fail_rate=1.0)
    silence = Audio(np.zeros(1280, dtype=np.float32), 16_000)
    with pytest.raises(RuntimeError):
        model.encode([silence])
    with pytest.raises(RuntimeError):
        model.step(silence)


@pytest.mark.parametrize(
    "spec", ["noisy,error_rate=2", "failing,fail_rate=-1", "oracle,ttfb=x", "oracle,chunk_seconds=0"]
)
def test_options_out_of_range_are_named(spec: str) -> None:
    with pytest.raises(BadInput, match=spec.split(",")[1].split("=")[0]):
        modelspec.resolve(spec).build()

"""Synthesizers, with the real engines and weights; VITS with a tiny random checkpoint."""

from __future__ import annotations

import json
import threading
import time
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from speech_eval.adapters import spec as modelspec
from speech_eval.adapters.base import SpeechSynthesizer, SynthesisRequest
from speech_eval.adapters.tts.kokoro import blend, pieces
from speech_eval.audio import Audio
from speech_eval.errors import BadInput, MissingExtra, NotFetched

SENTENCE = "Good morning, the train leaves at nine."


@cache
def model(spec: str) -> SpeechSynthesizer:
    built = modelspec.resolve(spec).build()
    assert isinstance(built, SpeechSynthesizer)
    return built


def say(spec: str, text: str = SENTENCE, language: str = "en", seed: int = 0) -> Audio:
    return model(spec).synthesize([SynthesisRequest("a", text, language, seed)])[0]


def check_speech(audio: Audio, rate: int) -> None:
    """Sounds of a sentence of eight words: 1.5 to 5 seconds, neither silent nor clipped."""
    assert audio.rate == rate
    assert audio.samples.dtype == np.float32
    assert 1.5 < audio.seconds < 5.0
    assert 0.02 < np.sqrt(np.mean(audio.samples**2)) < 0.5
    assert np.abs(audio.samples).max() <= 1.0


# ---------------------------------------------------------------------------------------- all the engines


@pytest.mark.slow
@pytest.mark.parametrize(("spec", "rate"), [("hibari", 24_000), ("espeak-ng", 22_050), ("kokoro", 24_000)])
def test_a_sentence_becomes_speech_of_sane_length_and_level(spec: str, rate: int) -> None:
    check_speech(say(spec), rate)


@pytest.mark.parametrize("spec", ["hibari", "espeak-ng"])
def test_the_same_request_gives_the_same_samples_whatever_came_before_or_beside_it(spec: str) -> None:
    alone = say(spec)
    say(spec, "Something else entirely; in three parts, you see?")
    request = SynthesisRequest("a", SENTENCE)
    batch = model(spec).synthesize([SynthesisRequest("b", "One two."), request, SynthesisRequest("c", "Three.")])
    np.testing.assert_array_equal(batch[1].samples, alone.samples)


@pytest.mark.parametrize("spec", ["hibari", "espeak-ng", "kokoro"])
@pytest.mark.parametrize("text", ["", " \n"])
def test_empty_text_is_an_error(spec: str, text: str) -> None:
    with pytest.raises(BadInput, match="a: there is no text"):
        say(spec, text)


@pytest.mark.parametrize("spec", ["hibari", "kokoro"])
def test_an_english_model_refuses_other_languages(spec: str) -> None:
    with pytest.raises(BadInput, match="not 'fr'"):
        say(spec, "Bonjour.", "fr")


@pytest.mark.parametrize("spec", ["hibari", "espeak-ng"])
def test_the_stream_is_the_whole_in_pieces(spec: str) -> None:
    request = SynthesisRequest("a", "One is here. Two is there.")
    chunks = list(model(spec).stream(request))
    assert len(chunks) >= 2
    whole = model(spec).synthesize([request])[0]
    np.testing.assert_array_equal(np.concatenate([chunk.samples for chunk in chunks]), whole.samples)


@pytest.mark.parametrize("spec", ["hibari", "espeak-ng", "kokoro"])
def test_info_names_revision_license_and_weights(spec: str) -> None:
    info = modelspec.resolve(spec).describe(model(spec))
    assert info.interfaces == ["SpeechSynthesizer"]
    assert info.revision and info.license
    assert len(info.weights_sha256) == 64


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("hibari,voice=nobody", "no voice 'nobody'"),
        ("hibari,speed=9", "speed must be"),
        ("hibari,threads=0", "threads must be"),
        ("kokoro,voice=jf_alpha+nobody", "no voice 'nobody'"),
        ("espeak-ng,voice=nobody", "'nobody'"),
        ("espeak-ng,rate_wpm=9", "rate_wpm must be"),
    ],
)
def test_options_out_of_range_are_named(spec: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        modelspec.resolve(spec).build()


# ------------------------------------------------------------------------------------------------- hibari


def test_the_seed_changes_the_noise_of_the_voice_and_nothing_more() -> None:
    first, other = say("hibari", seed=1), say("hibari", seed=2)
    assert len(first.samples) == len(other.samples)
    assert not np.array_equal(first.samples, other.samples)
    assert np.corrcoef(first.samples, other.samples)[0, 1] > 0.8


def test_text_without_a_word_to_say_gives_no_samples() -> None:
    assert len(say("hibari", "你好").samples) == 0


def test_a_voice_that_is_not_here_is_never_downloaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HIBARI_HOME", str(tmp_path))
    with pytest.raises(NotFetched, match="'emma'"):
        modelspec.resolve("hibari,voice=emma").build()
    assert list(tmp_path.iterdir()) == []


def test_an_engine_of_another_content_than_the_pinned_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import speech_eval.adapters.tts.hibari as adapter

    digest = adapter.file_sha256
    monkeypatch.setattr(adapter, "file_sha256", lambda path: "0" * 64 if "lexicon" in str(path) else digest(path))
    with pytest.raises(BadInput, match="not the pinned file of hibari-tts"):
        modelspec.resolve("hibari").build()


def test_a_missing_engine_names_the_extra_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "hibari", None)
    with pytest.raises(MissingExtra, match=r"speech-eval-harness\[tts\]"):
        modelspec.resolve("hibari").build()


# ------------------------------------------------------------------------------------------------- kokoro


def test_a_blend_is_the_mean_of_its_styles() -> None:
    styles = {name: np.full((510, 1, 256), value, dtype=np.float32) for name, value in (("a", 1.0), ("b", 3.0))}
    np.testing.assert_array_equal(blend(styles, "a+b"), np.full((510, 1, 256), 2.0))
    np.testing.assert_array_equal(blend(styles, "b"), styles["b"])


def test_a_long_sentence_is_cut_at_its_spaces() -> None:
    assert list(pieces([1, 2, 0, 3, 4, 0, 5], space=0, longest=4)) == [[1, 2], [0, 3, 4], [0, 5]]
    assert list(pieces([1, 2, 3, 4, 5], space=0, longest=4)) == [[1, 2, 3, 4], [5]]
    assert list(pieces([], space=0)) == []


# ---------------------------------------------------------------------------------------------- eSpeak NG


@pytest.mark.parametrize(
    ("language", "text"),
    [("de", "Guten Morgen, liebe Leute."), ("ru", "Доброе утро, друзья."), ("zh", "你好,世界,早上好。")],
)
def test_espeak_speaks_the_requests_language(language: str, text: str) -> None:
    audio = say("espeak-ng", text, language)
    assert audio.seconds > 1.0
    assert np.sqrt(np.mean(audio.samples**2)) > 0.02
    assert not np.array_equal(audio.samples, say("espeak-ng", text, "en").samples)


def test_espeak_names_a_language_it_does_not_speak() -> None:
    with pytest.raises(BadInput, match="'xx'"):
        say("espeak-ng", "Hello.", "xx")
    with pytest.raises(BadInput, match="'xx'"):
        list(model("espeak-ng").stream(SynthesisRequest("a", "Hello.", "xx")))


def test_espeak_voice_and_rate_are_options() -> None:
    assert say("espeak-ng,rate_wpm=300").seconds < 0.8 * say("espeak-ng").seconds
    assert not np.array_equal(say("espeak-ng,voice=en+f3").samples, say("espeak-ng").samples)


def test_espeak_streams_while_it_is_still_speaking() -> None:
    text = " ".join([SENTENCE] * 100)
    start = time.perf_counter()
    stream = model("espeak-ng").stream(SynthesisRequest("a", text))
    arrivals = [time.perf_counter() - start for _ in stream]
    assert len(arrivals) > 1000
    assert arrivals[0] < 0.3 * arrivals[-1]


def test_an_espeak_stream_can_be_left_early() -> None:
    threads = threading.active_count()
    stream = model("espeak-ng").stream(SynthesisRequest("a", " ".join([SENTENCE] * 100)))
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert threading.active_count() == threads
    check_speech(say("espeak-ng"), 22_050)


# --------------------------------------------------------------------------------------------------- VITS

LETTERS = " abcdefghijklmnopqrstuvwxyz'"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny VITS with random weights and a tokenizer of letters, saved as transformers saves them."""
    import torch
    from transformers import VitsConfig, VitsModel, VitsTokenizer

    folder = tmp_path_factory.mktemp("vits") / "tiny"
    folder.mkdir()
    # Letter 0 is the blank between letters, as in MMS-TTS.
    vocabulary = {letter: number for number, letter in enumerate("|" + LETTERS)} | {"<unk>": len(LETTERS) + 1}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    tokenizer = VitsTokenizer(str(folder / "vocab.json"), pad_token="|", phonemize=False, language="eng")
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = VitsConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        ffn_dim=32,
        flow_size=16,
        spectrogram_bins=33,
        upsample_initial_channel=32,
        upsample_rates=[8, 8],
        upsample_kernel_sizes=[16, 16],
        duration_predictor_filter_channels=16,
        prior_encoder_num_flows=2,
        prior_encoder_num_wavenet_layers=1,
        posterior_encoder_num_wavenet_layers=1,
    )
    VitsModel(config).save_pretrained(folder)
    return folder


def test_a_vits_directory_loads_by_its_config_and_speaks_at_its_rate(checkpoint: Path) -> None:
    audio = say(str(checkpoint), "hello there")
    assert audio.rate == 16_000
    assert audio.seconds > 0.05
    assert np.abs(audio.samples).max() > 0
    info = model(str(checkpoint)).info()
    assert (info.name, info.metadata["noise_scale"]) == ("tiny", 0.667)
    assert len(info.weights_sha256) == 64


def test_vits_draws_its_noise_from_the_requests_seed(checkpoint: Path) -> None:
    spec = str(checkpoint)
    requests = [SynthesisRequest(str(seed), "hello there", seed=seed) for seed in (1, 2, 1)]
    first, other, again = model(spec).synthesize(requests)
    np.testing.assert_array_equal(first.samples, again.samples)
    assert not np.array_equal(first.samples, other.samples[: len(first.samples)])


def test_speaking_leaves_the_global_generator_alone(checkpoint: Path) -> None:
    import torch

    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    say(str(checkpoint), "hello", seed=9)
    assert torch.equal(torch.rand(4), expected)


def test_without_noise_every_seed_says_the_same(checkpoint: Path) -> None:
    spec = f"{checkpoint},noise_scale=0,noise_scale_duration=0"
    np.testing.assert_array_equal(say(spec, "hello", seed=1).samples, say(spec, "hello", seed=2).samples)


def test_vits_speaking_rate_shortens_the_speech(checkpoint: Path) -> None:
    lengths = [
        len(say(f"{checkpoint},noise_scale_duration=0,speaking_rate={rate}", "hello there").samples)
        for rate in (0.25, 0.5, 1.0)
    ]
    assert all(slow > fast for slow, fast in pairwise(lengths))


@pytest.mark.parametrize("text", ["", "你好"])
def test_text_that_vits_cannot_read_is_an_error(checkpoint: Path, text: str) -> None:
    with pytest.raises(BadInput, match="a: "):
        say(str(checkpoint), text)


@pytest.mark.parametrize("option", ["speaker_id=4", "noise_scale=-1", "speaking_rate=0", "dtype=int8"])
def test_vits_options_out_of_range_are_named(checkpoint: Path, option: str) -> None:
    with pytest.raises(BadInput, match=option.partition("=")[0]):
        modelspec.resolve(f"{checkpoint},{option}").build()


def test_a_truncated_vits_checkpoint_is_an_error_that_names_the_file(checkpoint: Path, tmp_path: Path) -> None:
    for file in checkpoint.iterdir():
        data = file.read_bytes()
        (tmp_path / file.name).write_bytes(data[: len(data) // 2] if file.suffix == ".safetensors" else data)
    with pytest.raises(BadInput, match=r"model\.safetensors"):
        modelspec.resolve(str(tmp_path)).build()

"""Recognizers with a decoder of their own: every family tiny and random, loaded by its directory."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from support import tiny_asr as tiny
from support.contracts import build, check_recognizer, check_unloads, hear, noise, run

from speech_eval.adapters.asr.seq2seq import FAMILIES, Seq2Seq
from speech_eval.adapters.catalog import MODELS
from speech_eval.audio import Audio
from speech_eval.errors import BadInput

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
torch.set_num_threads(1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("seq2seq")


@pytest.fixture(scope="module", params=list(FAMILIES))
def spec(request: pytest.FixtureRequest, folder: Path) -> str:
    return str(tiny.write(str(request.param), folder / str(request.param)))


@pytest.fixture(scope="module")
def model(spec: str) -> Seq2Seq:
    adapter = build(spec)
    assert isinstance(adapter, Seq2Seq)
    return adapter


def test_the_catalog_knows_every_family() -> None:
    entries = ("seq2seq", "kyutai-stt", "moonshine-streaming")
    known = {name for entry in entries for name in MODELS.get(entry).model_types}
    assert known == set(FAMILIES) == set(tiny.WRITERS)


def test_it_keeps_the_contract_of_recognizers(model: Seq2Seq) -> None:
    check_recognizer(model)


def test_longer_speech_gives_a_longer_text(model: Seq2Seq) -> None:
    short, long = model.transcribe(hear(noise(1, model.sample_rate), noise(4, model.sample_rate)))
    assert len(long) > len(short)


def test_the_command_finishes_its_tasks(spec: str, tmp_path: Path) -> None:
    assert run(spec, "asr", tmp_path / "asr", metrics="wer[whisper-normalizer@20250625]") == 0


def test_its_network_is_freed(spec: str) -> None:
    check_unloads(spec)


@pytest.mark.parametrize("family", ["canary", "cohere_asr"])
def test_the_language_is_told_and_an_unknown_one_refused(folder: Path, family: str) -> None:
    model = build(str(tiny.write(family, folder / family)))
    english, german = (model._inputs(hear(noise(1), language=tag)[0])["decoder_input_ids"] for tag in ("en-GB", "de"))
    token = model._processor.tokenizer.convert_tokens_to_ids
    assert token("<|en|>") in english and token("<|de|>") in german and token("<|en|>") not in german
    with pytest.raises(BadInput, match="heard-0: the processor refuses the request"):
        model.transcribe(hear(noise(1), language="tlh"))


def test_cohere_windows_long_speech_and_joins_the_texts(folder: Path) -> None:
    model = build(f"{tiny.write('cohere_asr', folder / 'cohere_asr')},max_new_tokens=8")
    (text,) = model.transcribe(hear(noise(80)))
    assert len(text) > len(model.transcribe(hear(noise(10)))[0]) * 2


# ------------------------------------------------------------------------------------------------ streams

STREAMING = ("kyutai_speech_to_text", "moonshine_streaming")


@pytest.mark.parametrize("family", STREAMING)
def test_the_text_comes_while_the_speech_goes_on(folder: Path, family: str) -> None:
    model = build(f"{tiny.write(family, folder / family)},realtime=true")
    (request,) = hear(noise(1.2, model.sample_rate))
    began, arrived = time.perf_counter(), []
    for text in model.transcribe_stream(request):
        arrived.append((time.perf_counter() - began, text))
    assert len(arrived) > 1 and arrived[0][0] < 1.15 <= arrived[-1][0]
    assert arrived[-1][1] == model.transcribe([request])[0]
    assert model.info().metadata["realtime"] is True


def test_kyutai_writes_what_the_whole_recording_gives_at_once(folder: Path) -> None:
    model = build(str(tiny.write("kyutai_speech_to_text", folder / "kyutai_speech_to_text")))
    (request,) = hear(noise(2.33, model.sample_rate))
    model._model.generation_config.audio_window_size = None
    whole = model._model.generate(**model._inputs(request), do_sample=False)[0].tolist()
    model._model.generation_config.audio_window_size = 1
    steps = list(model._tokens(request, None))
    assert steps == whole[1:] and len(set(steps)) > 10


def test_a_token_of_kyutai_depends_on_no_later_audio(folder: Path) -> None:
    model = build(str(tiny.write("kyutai_speech_to_text", folder / "kyutai_speech_to_text")))
    wave = noise(1.6, 24_000).samples
    other = np.concatenate([wave[:24_000], noise(0.6, 24_000, seed=9).samples])
    (one, two) = hear(Audio(wave, 24_000), Audio(other, 24_000))
    first, second = list(model._tokens(one, None)), list(model._tokens(two, None))
    assert first[:12] == second[:12] and first != second


def test_a_stream_that_is_left_ends_its_work(folder: Path) -> None:
    model = build(str(tiny.write("kyutai_speech_to_text", folder / "kyutai_speech_to_text")))
    before = threading.active_count()
    stream = model.transcribe_stream(hear(noise(20, 24_000))[0])
    next(stream)
    stream.close()
    assert threading.active_count() == before

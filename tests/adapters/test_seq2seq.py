"""Recognizers with a decoder of their own: every family tiny and random, loaded by its directory."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import tiny_asr as tiny
from support.contracts import build, check_recognizer, check_unloads, hear, noise, run

from speech_eval.adapters.asr.seq2seq import FAMILIES, Seq2Seq
from speech_eval.adapters.catalog import MODELS
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
    assert set(MODELS.get("seq2seq").model_types) == set(FAMILIES) == set(tiny.WRITERS)


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

"""Qwen2.5-Omni, tiny and random: text and speech without its image and video processors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support import tiny_audio_chat as tiny
from support.contracts import ask, build, check_chat, check_recognizer, check_unloads, hear, noise, run

from speech_eval.adapters.chat.omni import SYSTEM, Omni
from speech_eval.errors import BadAudio, BadInput

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
torch.set_num_threads(1)


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"{tiny.write_omni(tmp_path_factory.mktemp('omni') / 'model')},max_new_tokens=8,max_seconds=0.3"


@pytest.fixture(scope="module")
def model(spec: str) -> Omni:
    adapter = build(spec)
    assert isinstance(adapter, Omni)
    return adapter


def test_it_keeps_both_contracts(model: Omni) -> None:
    check_recognizer(model)
    check_chat(model)


def test_it_answers_in_speech_that_the_seed_decides(model: Omni) -> None:
    asked = [ask(noise(1), "What is said?", seed=seed) for seed in (1, 2, 1)]
    first, second, again = (model.reply([request])[0].audio for request in asked)
    assert first is not None and second is not None and again is not None
    assert first.rate == 24_000 and 0 < first.seconds < 1
    assert np.array_equal(first.samples, again.samples) and not np.array_equal(first.samples, second.samples)
    batch = model.reply(asked)[1].audio
    assert batch is not None and np.array_equal(batch.samples, second.samples)


def test_text_alone_is_the_same_text(spec: str, model: Omni) -> None:
    silent = build(f"{spec},speech=false")
    (reply,) = silent.reply([ask(noise(1), "What is said?")])
    assert reply.audio is None and reply.text == model.reply([ask(noise(1), "What is said?")])[0].text
    assert "speaker" not in silent.info().metadata and model.info().metadata["speaker"] == "Chelsie"


def test_its_system_prompt_stands_before_conversations_without_one(model: Omni) -> None:
    seen: list[str] = []
    real = model._conversation
    model._conversation = lambda request: seen.append(str(request.messages[0])) or real(request)  # type: ignore[method-assign, func-returns-value]
    try:
        model.reply([ask("Hello")])
    finally:
        del model._conversation  # type: ignore[method-assign]
    assert SYSTEM in seen[0]


def test_audio_tokens_are_the_frames_of_the_encoder(model: Omni) -> None:
    for seconds, tokens in ((1, 25), (2, 50), (29, 725)):
        ids = model._transcription(hear(noise(seconds))[0])["input_ids"]
        assert int((ids == model._audio_token).sum()) == tokens
    assert model.reply([ask(noise(1, seed=1), "and", noise(2, seed=2))])[0].text
    with pytest.raises(BadAudio, match="takes 30 s and would cut"):
        model.transcribe(hear(noise(31)))


def test_an_unknown_speaker_is_refused(spec: str) -> None:
    with pytest.raises(BadInput, match=r"no speaker 'Ethan'.*speaker=Chelsie"):
        build(f"{spec},speaker=Ethan")


@pytest.mark.slow
def test_the_command_finishes_its_tasks(spec: str, tmp_path: Path) -> None:
    assert run(spec, "asr", tmp_path / "asr", metrics="wer[whisper-normalizer@20250625]") == 0
    assert run(spec, "voicebench-openbookqa", tmp_path / "qa") == 0


def test_its_network_is_freed(spec: str) -> None:
    check_unloads(spec)

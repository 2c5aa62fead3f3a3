"""Servers of the package index behind `openai:`, as their users install them, with real weights."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.openai_server import running
from support.real_servers import faster_whisper_server, litellm_proxy, transformers_serve
from support.strict_server import strict

from speech_eval.adapters import spec as modelspec
from speech_eval.adapters.base import ChatRequest, Speech, SynthesisRequest, TranscriptionRequest
from speech_eval.adapters.remote.endpoint import EndpointError
from speech_eval.assets import store
from speech_eval.audio import Audio, load
from speech_eval.datasets import load_dataset

pytestmark = pytest.mark.slow
pytest.importorskip("httpx")


KEY = "sk-speech-eval-0123456789abcdef0123456789abcdef"


def build(url: str, model: object, options: str) -> Any:
    return modelspec.resolve(f"openai:{url}#{model},timeout=120,{options}").build()


def recording() -> tuple[TranscriptionRequest, str]:
    """A short recording with its text."""
    dataset = load_dataset("asterisk-en")
    dataset.ensure_audio()
    sample = next(sample for sample in dataset.samples if sample.id == "en-vm-youhave")
    assert sample.audio is not None
    path = dataset.audio_path(sample.audio)
    return TranscriptionRequest(sample.id, lambda: load(path, 16_000)), str(sample.text)


def directory(name: str) -> Path:
    """The transformers directory of a bundled model, which loading it makes."""
    modelspec.resolve(name).build()
    return next(store.derived_dir(name).glob("transformers-*"))


def plainly(text: str) -> str:
    return "".join(letter for letter in text.lower() if letter.isalnum() or letter == " ").strip()


def test_transformers_serve_transcribes_and_chats_whole_and_as_a_stream() -> None:
    for package in ("fastapi", "uvicorn", "openai"):
        pytest.importorskip(package)
    request, text = recording()
    with transformers_serve() as url:
        model = build(url, directory("whisper-tiny.en"), "kind=transcription")
        assert plainly(model.transcribe([request])[0]) == plainly(text)
        grown = list(model.transcribe_stream(request))
        assert plainly(grown[-1]) == plainly(text) and len(grown) > 2
        chat = build(url, directory("smollm2"), "kind=chat")
        question = [{"role": "user", "content": [{"type": "text", "text": "Say hello."}]}]
        asked = ChatRequest("a", question, max_new_tokens=8)
        whole = chat.reply([asked])[0].text
        assert whole and "".join(piece.text or "" for piece in chat.reply_stream(asked)) == whole


def test_faster_whisper_server_transcribes() -> None:
    pytest.importorskip("faster_whisper_server")
    request, text = recording()
    modelspec.resolve("faster-whisper-tiny.en").build()
    with faster_whisper_server(store.directory("whisper-tiny.en")) as url:
        model = build(url, "whisper-1", "kind=transcription")
        assert plainly(model.transcribe([request])[0]) == plainly(text)
        assert plainly(list(model.transcribe_stream(request))[-1]) == plainly(text)


def test_a_litellm_proxy_in_front_loses_no_voice_prompt_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    program = os.environ.get("SPEECH_EVAL_LITELLM")
    if not program:
        pytest.skip("SPEECH_EVAL_LITELLM is not set.")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    prompt = Audio((0.1 * np.sin(np.arange(2 * 16_000) / 20)).astype(np.float32), 16_000)
    plain = SynthesisRequest("a", "one two three", seed=3)
    silence = TranscriptionRequest("a", lambda: Audio(np.zeros(1600, dtype=np.float32), 16_000))
    with strict("vllm-omni") as tts, running() as asr:
        routes = {
            "tts": {"model": "m", "api_base": tts.url, "mode": "audio_speech"},
            "asr": {"model": "m", "api_base": asr.url, "mode": "audio_transcription"},
        }
        with litellm_proxy(routes, program, KEY) as url:
            model = build(url, "tts", "kind=speech,voice=default")
            with pytest.raises(EndpointError, match="a LiteLLM proxy answers, which passes no voice prompt on"):
                model.synthesize([replace(plain, load_prompt=lambda: prompt, prompt_text="what it says")])
            speech = model.synthesize([plain])[0]
            assert isinstance(speech, Speech) and speech.metadata["not_taken"] == ["language", "seed"]
            assert "seed" not in tts.received[-1]
            assert build(url, "asr", "kind=transcription").transcribe([silence]) == ["1600 frames at 16000"]

"""What a server says is a stranger's: sizes and rates are checked first, and no credential is repeated."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest
from support.openai_server import Fault, running

from speech_eval.adapters import spec as modelspec
from speech_eval.adapters.base import TranscriptionRequest
from speech_eval.adapters.remote.endpoint import EndpointError
from speech_eval.adapters.remote.openai import OpenAIEndpoint
from speech_eval.adapters.remote.playback import Playback
from speech_eval.audio import Audio
from speech_eval.errors import BadAudio

pytest.importorskip("httpx")


@pytest.mark.parametrize("rate", [1, -16_000, 10**12, True])
def test_a_rate_that_is_none_is_refused_before_it_is_resampled(rate: int) -> None:
    with pytest.raises(BadAudio, match="not plausible"):
        Playback(24_000).add(bytes(200), rate)


def test_speech_that_nobody_could_hear_to_its_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPEECH_EVAL_MAX_AUDIO_SECONDS", "1")
    playback = Playback(24_000)
    playback.add(bytes(24_000), None)
    playback.take(12_000)
    playback.add(bytes(40_000), None)
    with pytest.raises(BadAudio, match="longer than 1 s"):
        playback.add(bytes(40_000), None)


def heard(server_url: str, options: str = "") -> str:
    model: OpenAIEndpoint = modelspec.resolve(f"openai:{server_url}#m,retries=0{options}").build()  # type: ignore[assignment]
    return model.transcribe([TranscriptionRequest("a", lambda: Audio(np.zeros(1600, dtype=np.float32), 16_000))])[0]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"text": "a", "x": [' + b"[]," * 60 + b"0]}", "an answer of about"),
        (b"[" * 100_000, "not JSON"),
        (b'{"text": ' + b"9" * 5000 + b"}", "not JSON"),
    ],
)
def test_json_that_would_fill_the_memory_is_an_error(
    monkeypatch: pytest.MonkeyPatch, body: bytes, message: str
) -> None:
    monkeypatch.setattr("speech_eval.adapters.remote.endpoint.MOST_VALUES", 100_000 if message == "not JSON" else 100)
    with running() as server:
        server.faults.append(Fault(200, body, {"Content-Type": "application/json"}))
        with pytest.raises(EndpointError, match=message):
            heard(server.url)


def test_a_credential_in_the_fields_of_requests_is_not_repeated() -> None:
    extra = json.dumps({"api_key": "abcxyz", "auth": {"user": "me-too", "pin": 778899}, "style": "calm"})
    said = f"style calm, {extra}, abcxyz, me-too, 778899, {json.dumps(json.dumps(extra))}"
    with running() as server:
        server.faults.append(Fault(400, said.encode()))
        with pytest.raises(EndpointError, match="style calm") as caught:
            heard(server.url, f",extra=[{extra}]")
    assert not [secret for secret in ("abcxyz", "me-too", "778899") if secret in str(caught.value)]


def test_audio_that_is_no_base64_is_an_error_by_name() -> None:
    pytest.importorskip("websockets")
    from speech_eval.adapters.remote.realtime import RealtimeConversation

    model = RealtimeConversation("ws://127.0.0.1:9/v1/realtime")
    assert model._decoded(base64.b64encode(b"ab").decode()) == b"ab"
    for data in ("a", "é", 5, ["x"]):
        with pytest.raises(EndpointError, match="not base64"):
            model._decoded(data)

"""Answers of servers as they come: streams of transcripts, several choices, errors in an answer of status 200; and what
goes with every request: queries and headers."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.openai_server import RATE, Fault, Server, impatient, sine, wav

from speech_eval.adapters import spec as modelspec
from speech_eval.adapters.base import ChatRequest, SynthesisRequest, TranscriptionRequest
from speech_eval.adapters.remote.endpoint import EndpointError, EndpointUnavailable
from speech_eval.adapters.remote.openai import OpenAIEndpoint
from speech_eval.audio import Audio
from speech_eval.engine.plan import plan
from speech_eval.engine.settings import Settings
from speech_eval.errors import BadInput

pytest.importorskip("httpx")
EVENTS = {"Content-Type": "text/event-stream"}
LINES = {"Content-Type": "application/x-ndjson"}


server = pytest.fixture(impatient)


def build(server: Server, options: str = "") -> OpenAIEndpoint:
    return modelspec.resolve(f"openai:{server.url}#tiny{options}").build()  # type: ignore[return-value]


def speech() -> TranscriptionRequest:
    return TranscriptionRequest("a", lambda: Audio(np.zeros(1600, dtype=np.float32), 16_000))


def chat() -> ChatRequest:
    return ChatRequest("a", [{"role": "user", "content": [{"type": "text", "text": "what is it?"}]}])


def events(*contents: Any) -> bytes:
    texts = (content if isinstance(content, str) else json.dumps(content) for content in contents)
    return "".join(f"data: {text}\n\n" for text in texts).encode()


# ----------------------------------------------------------------------------------- transcripts that grow


def openai_delta(text: str) -> dict[str, str]:
    return {"type": "transcript.text.delta", "delta": text}


def vllm_delta(text: str) -> dict[str, Any]:
    return {"object": "transcription.chunk", "choices": [{"delta": {"content": text}, "finish_reason": None}]}


STREAMS = {
    "openai": (
        EVENTS,
        events(openai_delta("a"), openai_delta(" cat"), {"type": "transcript.text.done", "text": "A cat."}),
        ["a", "a cat", "A cat."],
    ),
    "vllm": (EVENTS, events(vllm_delta("a"), vllm_delta(" cat"), "[DONE]"), ["a", "a cat"]),
    "vllm without an end mark": (
        EVENTS,
        events(vllm_delta("a cat"), {"choices": [{"delta": {"content": ""}, "finish_reason": "stop"}]}),
        ["a cat"],
    ),
    "bare text": (EVENTS, events("a", " cat"), ["a", "a cat"]),
    "segments": (EVENTS, events({"text": "a"}, {"text": " cat"}), ["a", "a cat"]),
    "mlx-audio": (
        LINES,
        b'{"text": "a", "accumulated": "a"}\n{"text": " cat", "accumulated": "a cat"}\n',
        ["a", "a cat"],
    ),
    "LiteLLM": ({"Content-Type": "application/json"}, b'{"text": "data: a\\n\\ndata:  cat\\n\\n"}', ["a cat"]),
    "whole": ({"Content-Type": "application/json"}, b'{"text": "a cat"}', ["a cat"]),
}


@pytest.mark.parametrize("dialect", STREAMS)
def test_a_transcript_grows_in_every_dialect(server: Server, dialect: str) -> None:
    headers, body, expected = STREAMS[dialect]
    server.faults.append(Fault(200, body, headers))
    texts = list(build(server).transcribe_stream(speech()))
    assert list(dict.fromkeys(texts)) == expected and texts[-1] == expected[-1]
    assert server.received[0].fields["stream"] == "true"


def test_a_transcript_is_asked_for_whole_without_stream(server: Server) -> None:
    build(server).transcribe([speech()])
    assert "stream" not in server.received[0].fields


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (events(openai_delta("a")), "cut short"),
        (events(vllm_delta("a")), "cut short"),
        (b"", "cut short"),
        (events(openai_delta("a"), {"type": "error", "error": {"message": "no memory"}}), "no memory"),
        (events({"error": "no memory"}), "no memory"),
    ],
)
def test_a_broken_stream_of_a_transcript_is_an_error(server: Server, body: bytes, message: str) -> None:
    server.faults.append(Fault(200, body, EVENTS))
    with pytest.raises(EndpointError, match=message):
        list(build(server).transcribe_stream(speech()))


def test_a_form_field_that_the_server_does_not_have_is_left_out_from_then_on(server: Server) -> None:
    server.faults.append(Fault(422, b'{"detail": "Unexpected fields in the request: {\'temperature\'}"}'))
    model = build(server)
    assert model.transcribe([speech(), speech()]) == ["1600 frames at 16000"] * 2
    assert ["temperature" in request.fields for request in server.received] == [True, False, False]


# ------------------------------------------------------------------------------------------ several choices


def choice(index: int, message: dict[str, Any]) -> dict[str, Any]:
    return {"index": index, "message": {"role": "assistant", **message}}


def test_speech_in_another_choice_is_found(server: Server) -> None:
    audio = {"data": base64.b64encode(wav(sine(2))).decode(), "transcript": ""}
    answer = {"choices": [choice(0, {"content": "hello"}), choice(0, {"content": None, "audio": audio})]}
    server.faults.append(Fault(200, json.dumps(answer).encode()))
    reply = build(server, ",speak=true").reply([chat()])[0]
    assert reply.text == "hello" and reply.audio is not None and len(reply.audio.samples) == 2 * RATE // 10


@pytest.mark.parametrize("form", ["wav", "pcm16"])
def test_speech_that_is_marked_by_its_modality_is_not_read_as_text(server: Server, form: str) -> None:
    pcm = sine(1)
    pieces = [wav(pcm[:2400]), wav(pcm[2400:])] if form == "wav" else [pcm[:2401], pcm[2401:]]
    rate = {"audio_metadata": {"sample_rate_hz": 16_000}} if form == "pcm16" else {}
    spoken = [
        {
            "modality": "audio",
            "choices": [{"index": 0, "delta": {"content": base64.b64encode(piece).decode()}, **rate}],
        }
        for piece in pieces
    ]
    text = {"modality": "text", "choices": [{"index": 0, "delta": {"content": "hello"}}]}
    server.faults.append(Fault(200, events(text, *spoken, "[DONE]"), EVENTS))
    replies = list(build(server, ",speak=true").reply_stream(chat()))
    assert "".join(reply.text or "" for reply in replies) == "hello"
    sounds = [reply.audio for reply in replies if reply.audio is not None]
    assert sum(len(sound.samples) for sound in sounds) == len(pcm) // 2
    assert {sound.rate for sound in sounds} == {RATE if form == "wav" else 16_000}


def test_the_limit_goes_by_the_name_that_the_server_knows(server: Server) -> None:
    message = (
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    )
    server.faults.append(Fault(400, json.dumps({"error": {"message": message}}).encode()))
    build(server).reply([chat()])
    assert server.received[1].fields["max_completion_tokens"] == 256 and "max_tokens" not in server.received[1].fields


# ------------------------------------------------------------------------------ errors in an answer of 200

ERRORS = [
    b'{"error": {"message": "out of memory"}}',
    b'{"error": "out of memory"}',
    b'{"object": "error", "message": "out of memory", "code": 500}',
]


@pytest.mark.parametrize("body", ERRORS)
def test_an_error_of_status_200_is_told_in_the_servers_words(server: Server, body: bytes) -> None:
    model = build(server)
    for ask in (
        lambda: model.transcribe([speech()]),
        lambda: list(model.transcribe_stream(speech())),
        lambda: model.synthesize([SynthesisRequest("a", "one")]),
        lambda: list(model.stream(SynthesisRequest("a", "one"))),
        lambda: model.reply([chat()]),
        lambda: list(model.reply_stream(chat())),
    ):
        server.faults.append(Fault(200, body, {"Content-Type": "application/json"}))
        with pytest.raises(EndpointError, match="out of memory"):
            ask()


def test_a_page_instead_of_speech_is_shown(server: Server) -> None:
    server.faults.append(Fault(200, b"<html>Sign in</html>", {"Content-Type": "text/html"}))
    with pytest.raises(EndpointError, match="the answer is not audio: '<html>Sign in"):
        build(server).synthesize([SynthesisRequest("a", "one")])


def test_an_error_within_a_stream_of_speech_is_told(server: Server) -> None:
    delta = {"type": "speech.audio.delta", "audio": base64.b64encode(wav(sine(1))).decode()}
    failed = {"type": "speech.audio.error", "error": {"message": "engine died"}}
    for body, message in ((events(delta, failed), "engine died"), (events(delta), "cut short")):
        server.faults.append(Fault(200, body, EVENTS))
        with pytest.raises(EndpointError, match=message):
            list(build(server).stream(SynthesisRequest("a", "one")))


# ------------------------------------------------------------------------------------- queries and headers


def test_the_query_of_the_url_and_the_headers_go_with_every_request(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_KEY", "secret-0123456789")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-other-0123456789")
    headers = '[{"api-key": "$AZURE_KEY", "X-Team": "speech"}]'
    spec = f"openai:{server.url}?api-version=2025-01-01#tiny,headers={headers}"
    resolved = modelspec.resolve(spec)
    model = resolved.build()
    server.faults.append(Fault(400, b"no such deployment for secret-0123456789"))
    with pytest.raises(EndpointError, match=r"no such deployment for \*\*\*") as caught:
        model.transcribe([speech()])  # type: ignore[attr-defined]
    assert "secret" not in str(caught.value)
    request = server.received[0]
    assert request.path == "/v1/audio/transcriptions?api-version=2025-01-01"
    assert (request.headers["api-key"], request.headers["X-Team"]) == ("secret-0123456789", "speech")
    assert "Authorization" not in request.headers  # a header that names a key stands instead of the bearer token
    line = resolved.describe(model).line()
    assert "secret" not in line and '"query":{"api-version":"2025-01-01"}' in line


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("openai:http://host/v1?api-key=secret-1#m", "carries a user name, a password or a key"),
        ("openai:http://host/v1?sig=secret-1#m", "carries a user name, a password or a key"),
        ('openai:http://host/v1#m,headers={"api-key": "secret-1"}', "holds a key"),
        ('openai:http://host/v1#m,headers={"Authorization": "Bearer secret-1"}', "holds a key"),
        ("openai:http://host/v1#m,headers=api-key", "not a JSON object"),
    ],
)
def test_a_key_in_the_spec_is_refused_unseen(spec: str, message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        modelspec.resolve(spec).build()
    assert "secret-1" not in str(caught.value) and "secret-1" not in modelspec.resolve(spec).redacted


@pytest.mark.parametrize("header", ['"api-key": "$AZURE_KEY"', '"Authorization": "Bearer $AZURE_KEY"'])
def test_a_header_whose_variable_is_not_set_is_named(
    server: Server, header: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AZURE_KEY", raising=False)
    with pytest.raises(BadInput, match=r"\$AZURE_KEY, which is not set"):
        build(server, f",headers={{{header}}}").transcribe([speech()])
    assert server.received == []


# ---------------------------------------------------------------------------------------------------- kind


@pytest.mark.parametrize(
    ("kind", "interface"),
    [
        ("transcription", "SpeechRecognizer"),
        ("speech", "SpeechSynthesizer"),
        ("chat", "AudioLanguageModel"),
    ],
)
def test_kind_narrows_before_planning(server: Server, kind: str, interface: str, tmp_path: Path) -> None:
    planned = plan(f"openai:{server.url}#tiny,kind={kind}", ["latency"], Settings(limit=1, offline=True))
    assert [item.interface for item in planned.items] == [interface]
    assert server.received == []


def test_a_path_that_the_server_does_not_have_names_the_option(server: Server) -> None:
    server.faults.append(Fault(404, b'{"detail": "Not Found"}'))
    with pytest.raises(EndpointUnavailable, match=r"status 404: Not Found.*kind=transcription"):
        build(server).synthesize([SynthesisRequest("a", "one")])


def test_an_option_of_another_kind_is_an_error(server: Server) -> None:
    with pytest.raises(BadInput, match="voice_prompt"):
        build(server, ",kind=chat,voice_prompt=data")

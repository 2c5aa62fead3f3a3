"""Models behind an OpenAI-compatible server, over real HTTP on the loopback interface."""

from __future__ import annotations

import io
import time
import wave
from email.utils import formatdate

import numpy as np
import pytest
import soundfile
from support.openai_server import RATE, Fault, Server, impatient, sine

from speech_eval.adapters import spec as modelspec
from speech_eval.adapters.base import ChatRequest, SynthesisRequest, TranscriptionRequest, interfaces_of
from speech_eval.adapters.remote.endpoint import EndpointError
from speech_eval.adapters.remote.openai import OpenAIEndpoint
from speech_eval.audio import Audio
from speech_eval.errors import BadAudio, BadInput

pytest.importorskip("httpx")
KEY = "sk-test-0123456789abcdef"


server = pytest.fixture(impatient)


def build(server: Server, options: str = "") -> OpenAIEndpoint:
    return modelspec.resolve(f"openai:{server.url}#tiny{options}").build()  # type: ignore[return-value]


def speech(frames: int, language: str = "en") -> TranscriptionRequest:
    audio = Audio(np.linspace(-1, 1, frames, dtype=np.float32), 16_000)
    return TranscriptionRequest(str(frames), lambda: audio, language)


# ---------------------------------------------------------------------------------------------- recognition


def test_transcription_sends_16_bit_wav_and_returns_the_raw_text(server: Server) -> None:
    assert build(server).transcribe([speech(1600, "en-GB")]) == ["1600 frames at 16000"]
    fields = server.received[0].fields
    assert fields == {"model": "tiny", "response_format": "json", "temperature": "0", "language": "en"}
    with wave.open(io.BytesIO(server.received[0].file)) as file:
        pcm = np.frombuffer(file.readframes(1600), "<i2")
    assert (pcm[0], pcm[-1]) == (-32767, 32767)


def test_concurrent_requests_are_bounded_and_answered_in_order(server: Server) -> None:
    server.transcribe_delay = {160: 0.3, 320: 0.1, 480: 0.1, 640: 0.1, 800: 0.0}
    answers = build(server, ",concurrency=3").transcribe([speech(n) for n in server.transcribe_delay])
    assert answers == [f"{n} frames at 16000" for n in server.transcribe_delay]
    assert server.most_busy in (2, 3)


# ------------------------------------------------------------------------------------------------ synthesis


@pytest.mark.parametrize("response_format", ["wav", "pcm"])
def test_speech_is_the_samples_the_server_sent_without_the_header(server: Server, response_format: str) -> None:
    model = build(server, f",response_format={response_format},voice=nova")
    audio = model.synthesize([SynthesisRequest("a", "one two three")])[0]
    expected = np.frombuffer(sine(3), "<i2") / 32768
    assert audio.rate == RATE
    np.testing.assert_allclose(audio.samples, expected, atol=1e-7)
    assert server.received[0].fields == {
        "model": "tiny",
        "input": "one two three",
        "voice": "nova",
        "response_format": response_format,
        "language": "English",
        "seed": 0,
    }


def test_a_server_is_told_how_to_speak_where_the_request_says_so(server: Server) -> None:
    model = build(server)
    model.synthesize([SynthesisRequest("a", "one", instruction="Whisper."), SynthesisRequest("b", "two")])
    told = {request.fields["input"]: request.fields.get("instructions") for request in server.received}
    assert told == {"one": "Whisper.", "two": None}


def test_a_stream_gives_samples_while_the_server_is_still_speaking(server: Server) -> None:
    server.chunk_delay, server.header_delay = 0.1, 0.05
    start, arrivals, frames = time.perf_counter(), [], []
    for chunk in build(server).stream(SynthesisRequest("a", "one two three four five")):
        arrivals.append(time.perf_counter() - start)
        frames.append(len(chunk.samples))
    assert sum(frames) == 5 * RATE // 10
    assert len(frames) == 5
    assert arrivals[0] >= 0.19  # two header delays and a chunk's: bytes of the header are not audio
    assert arrivals[-1] - arrivals[0] >= 0.35


def test_truncated_audio_is_an_error_and_not_a_short_answer(server: Server) -> None:
    server.truncate = True
    for response_format in ("wav", "pcm"):
        with pytest.raises(BadAudio, match=r"cut short|ends inside"):
            build(server, f",response_format={response_format}").synthesize([SynthesisRequest("a", "one two")])


def test_an_answer_that_is_not_audio_is_an_error(server: Server) -> None:
    server.faults.append(Fault(200, b"<html>hello, this is a web page</html>"))
    with pytest.raises(BadAudio, match="not a readable audio file"):
        build(server).synthesize([SynthesisRequest("a", "one")])


@pytest.mark.parametrize("response_format", ["wav", "pcm"])
@pytest.mark.parametrize("container", ["FLAC", "OGG", "WAV"])
def test_an_answer_is_read_by_its_content(server: Server, container: str, response_format: str) -> None:
    spoken, buffer = np.frombuffer(sine(3), "<i2") / 32768, io.BytesIO()
    soundfile.write(buffer, np.stack([spoken, spoken], axis=1), RATE, format=container)
    server.faults.append(Fault(200, buffer.getvalue()))
    audio = build(server, f",response_format={response_format}").synthesize([SynthesisRequest("a", "one two three")])[0]
    assert audio.rate == RATE and len(spoken) <= len(audio.samples) <= len(spoken) + 512
    assert np.corrcoef(audio.samples[: len(spoken)], spoken)[0, 1] > 0.99


def test_empty_text_is_not_sent(server: Server) -> None:
    with pytest.raises(BadInput, match="no text"):
        build(server).synthesize([SynthesisRequest("a", "  ")])
    assert server.received == []


# ----------------------------------------------------------------------------------------------------- chat


def chat() -> ChatRequest:
    audio = Audio(np.zeros(800, dtype=np.float32), 16_000)
    parts = [{"type": "audio", "audio": audio}, {"type": "text", "text": "what is it?"}]
    system = {"role": "system", "content": [{"type": "text", "text": "Be brief."}]}
    return ChatRequest("a", [system, {"role": "user", "content": parts}], seed=7, max_new_tokens=32)


def test_chat_sends_audio_and_text_and_returns_the_reply(server: Server) -> None:
    reply = build(server).reply([chat()])[0]
    assert reply.text == "Be brief. <800 frames at 16000> what is it?"
    assert reply.audio is None
    fields = server.received[0].fields
    assert (fields["seed"], fields["max_tokens"], fields["temperature"]) == (7, 32, 0)


def test_chat_that_speaks_returns_the_speech_and_its_transcript(server: Server) -> None:
    reply = build(server, ",speak=true").reply([chat()])[0]
    assert reply.text == "Be brief. <800 frames at 16000> what is it?"
    assert reply.audio is not None
    assert (reply.audio.rate, len(reply.audio.samples)) == (RATE, 2 * RATE // 10)


def test_a_chat_stream_gives_words_while_the_server_is_still_writing(server: Server) -> None:
    server.chunk_delay = 0.05
    start, arrivals, texts = time.perf_counter(), [], []
    for piece in build(server).reply_stream(chat()):
        arrivals.append(time.perf_counter() - start)
        texts.append(piece.text)
    assert texts == ["Be brief. ", "<800 frames at 16000> ", "what is it? "]
    assert arrivals[-1] - arrivals[0] >= 0.08 and server.received[0].fields["stream"] is True


def test_a_chat_stream_that_speaks_gives_the_samples_of_the_whole(server: Server) -> None:
    pieces = list(build(server, ",speak=true").reply_stream(chat()))
    assert "".join(piece.text or "" for piece in pieces) == "Be brief. <800 frames at 16000> what is it? "
    sounds = [piece.audio.samples for piece in pieces if piece.audio is not None]
    assert len(sounds) == 2 and server.received[0].fields["audio"]["format"] == "pcm16"
    whole = build(server, ",speak=true").reply([chat()])[0].audio
    assert whole is not None and np.array_equal(np.concatenate(sounds), whole.samples)


def test_a_chat_stream_that_is_cut_short_is_an_error(server: Server) -> None:
    server.truncate = True
    with pytest.raises(EndpointError, match="cut short"):
        list(build(server).reply_stream(chat()))


def test_a_server_that_does_not_stream_is_taken_at_its_whole_answer(server: Server) -> None:
    server.streams = False
    assert list(build(server).reply_stream(chat())) == build(server).reply([chat()])


@pytest.mark.parametrize("event", [b"data: {}\n\n", b'data: {"choices": [{"delta": 3}]}\n\n', b"data: no json\n\n"])
def test_an_event_out_of_shape_is_an_error(server: Server, event: bytes) -> None:
    server.faults.append(Fault(200, event, {"Content-Type": "text/event-stream"}))
    with pytest.raises(EndpointError, match=r"out of shape|not JSON"):
        list(build(server).reply_stream(chat()))


def test_an_error_within_a_stream_is_the_servers(server: Server) -> None:
    body = b'data: {"error": {"message": "out of memory"}}\n\n'
    server.faults.append(Fault(200, body, {"Content-Type": "text/event-stream"}))
    with pytest.raises(EndpointError, match="out of memory"):
        list(build(server).reply_stream(chat()))


def test_chat_without_a_message_is_an_error(server: Server) -> None:
    server.faults.append(Fault(200, b'{"choices": []}'))
    with pytest.raises(EndpointError, match="no message"):
        build(server).reply([chat()])


# --------------------------------------------------------------------------------------------------- faults


def test_a_server_error_is_tried_again(server: Server) -> None:
    server.faults.extend([Fault(500, b"oops"), Fault(hang_up=True)])
    assert build(server).transcribe([speech(160)]) == ["160 frames at 16000"]
    assert len(server.received) == 3


def test_retries_end_with_the_servers_message(server: Server) -> None:
    server.faults.extend([Fault(503, b'{"error": {"message": "out of memory"}}')] * 3)
    with pytest.raises(EndpointError, match="status 503: out of memory"):
        build(server, ",retries=2").transcribe([speech(160)])
    assert len(server.received) == 3


@pytest.mark.parametrize("value", ["0.3", "date"])
def test_retry_after_is_honoured(server: Server, value: str) -> None:
    header = formatdate(time.time() + 1.6, usegmt=True) if value == "date" else value
    server.faults.append(Fault(429, b"slow down", {"Retry-After": header}))
    assert build(server).transcribe([speech(160)]) == ["160 frames at 16000"]
    assert server.received[1].monotonic - server.received[0].monotonic >= 0.25


def test_a_client_error_is_not_tried_again(server: Server) -> None:
    server.faults.append(Fault(404, b'{"error": {"message": "model ' + b"x" * 1000 + b'"}}'))
    with pytest.raises(EndpointError, match="status 404: model") as caught:
        build(server).transcribe([speech(160)])
    assert len(server.received) == 1
    assert len(str(caught.value)) < 500


def test_malformed_json_is_an_error(server: Server) -> None:
    server.faults.extend([Fault(200, b'{"text": "hel'), Fault(200, b"[]")])
    with pytest.raises(EndpointError, match="not JSON"):
        build(server).transcribe([speech(160)])
    with pytest.raises(EndpointError, match="no 'text'"):
        build(server).transcribe([speech(160)])


def test_a_server_that_is_not_there_is_named(server: Server) -> None:
    model = modelspec.resolve("openai:http://127.0.0.1:9/v1#m,retries=1").build()
    with pytest.raises(EndpointError, match=r"http://127.0.0.1:9/v1: no complete answer \(ConnectError"):
        model.transcribe([speech(160)])  # type: ignore[attr-defined]


# ------------------------------------------------------------------------------------------------- the key


def test_the_key_is_sent_only_as_a_header_and_kept_nowhere(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    resolved = modelspec.resolve(f"openai:{server.url}#tiny,api_key_env=MY_KEY")
    model = resolved.build()
    model.transcribe([speech(160)])  # type: ignore[attr-defined]
    assert server.received[0].headers["Authorization"] == f"Bearer {KEY}"
    assert KEY not in resolved.describe(model).line()
    assert KEY not in repr(vars(model))


def test_errors_do_not_repeat_the_key(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    body = f'{{"error": {{"message": "Incorrect API key provided: {KEY}, Bearer {KEY}, sk-te***cdef"}}}}'
    server.faults.append(Fault(401, body.encode()))
    with pytest.raises(EndpointError, match=r"status 401: Incorrect API key provided: \*\*\*") as caught:
        build(server).transcribe([speech(160)])
    assert "sk-" not in str(caught.value)
    assert "$OPENAI_API_KEY" in str(caught.value)


def test_a_key_with_a_line_break_is_refused_unseen(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\nsecond")
    with pytest.raises(BadInput, match=r"\$OPENAI_API_KEY holds") as caught:
        build(server).transcribe([speech(160)])
    assert KEY not in str(caught.value)


def test_no_key_means_no_authorization_header(server: Server) -> None:
    build(server).transcribe([speech(160)])
    assert "Authorization" not in server.received[0].headers


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("openai:http://user:pw@host/v1#m", "carries a user name"),
        ("openai:ftp://host#m", "not an http address"),
        ("openai:http://host/v1#m,response_format=midi", "midi"),
        ("openai:http://host/v1#m,kind=video", "kind must be one of"),
        (f"openai:http://host/v1#m,api_key_env={KEY}", "not the name of an environment variable"),
    ],
)
def test_bad_options_are_named_and_no_secret_is_repeated(spec: str, message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        modelspec.resolve(spec).build()
    assert KEY not in str(caught.value)
    assert "pw" not in str(caught.value)


# ------------------------------------------------------------------------------------------------ interfaces


@pytest.mark.parametrize(
    ("kind", "interfaces"),
    [
        ("auto", ["SpeechRecognizer", "SpeechSynthesizer", "AudioLanguageModel"]),
        ("transcription", ["SpeechRecognizer"]),
        ("speech", ["SpeechSynthesizer"]),
        ("chat", ["AudioLanguageModel"]),
    ],
)
def test_kind_chooses_the_interfaces(server: Server, kind: str, interfaces: list[str]) -> None:
    assert interfaces_of(build(server, f",kind={kind}")) == interfaces

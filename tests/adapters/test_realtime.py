"""Servers of /v1/realtime over real websockets on the loopback interface: conversations, and transcripts that grow."""

from __future__ import annotations

import time

import numpy as np
import pytest
from support.realtime_server import ANSWER, ANSWER_SECONDS, RATE, realtime

from speech_eval.adapters import spec as modelspec
from speech_eval.adapters.base import DuplexAgent, SpeechRecognizer, TranscriptionRequest, interfaces_of
from speech_eval.adapters.remote.endpoint import EndpointError, EndpointUnavailable
from speech_eval.audio import Audio
from speech_eval.engine.generate.conversation import converse
from speech_eval.errors import BadInput

pytest.importorskip("websockets")
CHUNK = round(0.08 * RATE)
KEY = "sk-test-0123456789abcdef"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr("speech_eval.adapters.remote.realtime._FIRST_EVENT_SECONDS", 0.2)


def agent(url: str, options: str = "") -> DuplexAgent:
    return modelspec.resolve(f"realtime:{url}#m,kind=conversation{options}").build()  # type: ignore[return-value]


def recognizer(url: str, options: str = "") -> SpeechRecognizer:
    return modelspec.resolve(f"realtime:{url}#m,kind=transcription{options}").build()  # type: ignore[return-value]


def user(*parts: tuple[bool, float]) -> Audio:
    """The user's channel: whether there is sound, and for how many seconds."""
    pieces = [np.full(round(seconds * RATE), 0.3 * loud, dtype=np.float32) for loud, seconds in parts]
    return Audio(np.concatenate(pieces), RATE)


def speech(seconds: float = 0.4, language: str = "en-GB") -> TranscriptionRequest:
    samples = np.full(round(seconds * RATE), 0.1, dtype=np.float32)
    return TranscriptionRequest("a", lambda: Audio(samples, RATE), language)


# ------------------------------------------------------------------------------------------- conversations


@pytest.mark.parametrize("kind", ["openai", "vllm-omni", "sglang", "vllm"])
def test_an_answer_that_comes_at_once_is_heard_in_time(kind: str) -> None:
    with realtime(kind) as server:
        model = agent(server.url)
        began = time.monotonic()
        heard = converse(model, user((True, 0.24), (False, 1.36)))
        took = time.monotonic() - began
        model.close()
    assert (heard.rate, len(heard.samples)) == (RATE, round(1.6 * RATE))
    assert 1.6 <= took < 3.0  # as long as the user speaks
    sounding = np.flatnonzero(np.abs(heard.samples) > 1e-3)
    # The user's turn ends at 0.24 s and the server waits for a silent chunk: nothing is heard before 0.32 s.
    assert 0.32 <= sounding[0] / RATE < 0.8
    np.testing.assert_allclose(heard.samples[sounding[0] - 1 :][: len(ANSWER)], ANSWER, atol=1e-4)
    assert len(sounding) <= ANSWER_SECONDS * RATE
    assert not [event for event in server.received if event["type"] not in KNOWN[kind]]


KNOWN = {
    "openai": {"session.update", "input_audio_buffer.append", "session.close"},
    "vllm-omni": {"session.update", "input_audio_buffer.append", "session.close"},
    "sglang": {"session.update", "input_audio_buffer.append", "session.close"},
    "vllm": {"session.update", "input_audio_buffer.append", "input_audio_buffer.commit"},
}


def test_an_answer_that_the_user_interrupts_is_not_heard_to_its_end() -> None:
    with realtime("openai") as server:
        model = agent(server.url)
        heard = converse(model, user((True, 0.24), (False, 0.48), (True, 0.08), (False, 0.48)))
        model.close()
        sounding = np.flatnonzero(np.abs(heard.samples) > 1e-3)
        assert 0 < len(sounding) < 0.6 * ANSWER_SECONDS * RATE
        (told,) = server.events("conversation.item.truncate")
        assert told["item_id"] == "item-1"
        assert told["audio_end_ms"] == pytest.approx(1000 * len(sounding) / RATE, abs=81)


def test_each_conversation_is_a_session_of_its_own_with_the_settings_of_the_spec() -> None:
    with realtime("openai") as server:
        extra = '[{"voice": "marin", "audio": {"input": {"turn_detection": {"type": "server_vad"}}}}]'
        model = agent(server.url, f",extra={extra}")
        for _ in range(2):
            model.reset()
            model.step(Audio(np.zeros(CHUNK, dtype=np.float32), RATE))
        model.close()
        sessions = [event["session"] for event in server.events("session.update")]
        assert len(server.queries) == len(sessions) == 2 and server.queries[0] == {"model": ["m"]}
        assert sessions[0]["voice"] == "marin" and sessions[0]["model"] == "m"
        assert sessions[0]["audio"]["input"]["turn_detection"] == {"type": "server_vad"}
        assert sessions[0]["audio"]["input"]["format"] == {"type": "audio/pcm", "rate": RATE}


def test_a_chunk_is_sent_once_it_has_been_said_and_none_before() -> None:
    with realtime("openai") as server:
        model = agent(server.url)
        model.reset()
        began = time.monotonic()
        for count in range(1, 4):
            chunk = model.step(Audio(np.zeros(CHUNK, dtype=np.float32), RATE))
            assert time.monotonic() - began >= 0.08 * count - 0.002
            assert len(chunk.samples) == CHUNK and not chunk.samples.any()
        model.close()
        assert len(server.events("input_audio_buffer.append")) == 3


@pytest.mark.parametrize(("fail", "message"), [("engine died", "engine died"), ("close", "closed the connection")])
def test_a_server_that_fails_ends_the_conversation_with_its_words(fail: str, message: str) -> None:
    with realtime("openai", fail=fail) as server, pytest.raises(EndpointError, match=message):
        converse(agent(server.url), user((False, 1.6)))


# ------------------------------------------------------------------------------------------- transcripts


@pytest.mark.parametrize("kind", ["openai", "mlx-audio", "vllm", "sglang-transcription"])
def test_a_transcript_grows_while_speech_is_still_being_said(kind: str) -> None:
    with realtime(kind, transcribes=True) as server:
        model = recognizer(server.url)
        began, arrivals, texts = time.monotonic(), [], []
        for text in model.transcribe_stream(speech()):
            arrivals.append(time.monotonic() - began)
            texts.append(text)
        assert list(dict.fromkeys(texts)) == ["w1", "w1 w2", "w1 w2 w3", "w1 w2 w3 w4"]
        # The second word is complete after 0.2 s of speech, sent in pieces of 0.08 s.
        assert arrivals[texts.index("w1 w2")] >= 0.2 and arrivals[-1] >= 0.4
        assert server.queries[0]["intent"] == ["transcription"]


@pytest.mark.parametrize("kind", ["openai", "vllm", "sglang-transcription"])
def test_a_transcript_that_nobody_waits_for_is_not_slowed_down(kind: str) -> None:
    with realtime(kind, transcribes=True) as server:
        began = time.monotonic()
        assert recognizer(server.url).transcribe([speech(3.0)]) == [" ".join(f"w{n}" for n in range(1, 31))]
        assert time.monotonic() - began < 2.0


def test_the_language_and_the_end_of_speech_are_the_clients() -> None:
    with realtime("openai", transcribes=True) as server:
        recognizer(server.url).transcribe([speech()])
        heard = server.events("session.update")[0]["session"]["audio"]["input"]
        assert heard["transcription"] == {"model": "m", "language": "en"} and heard["turn_detection"] is None
        assert len(server.events("input_audio_buffer.commit")) == 1


def test_a_transcript_that_does_not_come_is_an_error() -> None:
    with realtime("openai") as server, pytest.raises(EndpointError, match=r"no transcript within 0\.3 s"):
        recognizer(server.url, ",timeout=0.3").transcribe([TranscriptionRequest("a", lambda: user((False, 0.0801)))])


# ---------------------------------------------------------------------------------------------- the server


def test_the_key_goes_in_the_header_and_what_the_server_is_goes_in_the_manifest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with realtime("sglang") as server:
        resolved = modelspec.resolve(f"realtime:{server.url}?region=eu#m")
        model = resolved.build()
        line = resolved.describe(model).line()
        assert server.headers[0]["authorization"] == f"Bearer {KEY}" and server.queries[0]["region"] == ["eu"]
        assert KEY not in line and '"protocol":"sglang"' in line
        assert interfaces_of(model) == ["SpeechRecognizer", "DuplexAgent"]


def test_a_server_that_is_not_there_is_named() -> None:
    with pytest.raises(EndpointUnavailable, match=r"ws://127.0.0.1:9/v1/realtime: no connection"):
        agent("ws://127.0.0.1:9/v1/realtime").reset()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("realtime:http://host/v1/realtime#m", "not a ws address"),
        ("realtime:ws://host/v1/realtime?token=secret-1#m", "a password or a key"),
        ("realtime:ws://host/v1/realtime#m,kind=speech", "kind must be one of"),
    ],
)
def test_bad_specs_are_named(spec: str, message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        modelspec.resolve(spec).build()
    assert "secret-1" not in str(caught.value)

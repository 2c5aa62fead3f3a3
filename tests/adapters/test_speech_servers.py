"""Speech from servers as they are: what each is sent, what it refuses, and that a voice prompt is never lost."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.strict_server import CHUNK_SECONDS, CLONED_HERTZ, DEFAULT_HERTZ, StrictServer, hertz, strict

from speech_eval.adapters import spec as modelspec
from speech_eval.adapters.base import Speech, SynthesisRequest
from speech_eval.adapters.remote.endpoint import EndpointError
from speech_eval.adapters.remote.fields import refused_field
from speech_eval.adapters.remote.speech import OpenAISpeech
from speech_eval.audio import Audio, read, wav_bytes
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.engine.session import run
from speech_eval.engine.settings import Settings
from speech_eval.errors import BadInput, SpeechEvalError

pytest.importorskip("httpx")
PROMPT = Audio((0.1 * np.sin(np.arange(2 * 16_000) / 20)).astype(np.float32), 16_000)
TEXT = "one two three four"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr("speech_eval.adapters.remote.endpoint._FIRST_WAIT", 0.01)


def build(server: StrictServer, options: str = "") -> OpenAISpeech:
    return modelspec.resolve(f"openai:{server.url}#m,kind=speech{options}").build()  # type: ignore[return-value]


def plain(language: str = "en", seed: int = 7) -> SynthesisRequest:
    return SynthesisRequest("a", TEXT, language, seed)


def cloning(text: str | None = "what the prompt says", language: str = "en") -> SynthesisRequest:
    return SynthesisRequest("a", TEXT, language, 7, load_prompt=lambda: PROMPT, prompt_text=text)


def heard(model: OpenAISpeech, request: SynthesisRequest) -> tuple[float, dict[str, Any]]:
    """The frequency of the answer, the same as a whole and as a stream, and the stream's metadata."""
    whole = model.synthesize([request])[0]
    pieces = list(model.stream(request))
    assert isinstance(whole, Speech) and isinstance(pieces[-1], Speech)
    np.testing.assert_array_equal(whole.samples, np.concatenate([piece.samples for piece in pieces]))
    return hertz(whole.samples, whole.rate), dict(pieces[-1].metadata)


# ------------------------------------------------------------------------------------------- voice prompts


@pytest.mark.parametrize(
    ("kind", "model", "options"),
    [
        ("vllm-omni", "clones", ""),
        ("vllm-omni", "reference", ""),
        ("vllm-omni", "any", ",voice_prompt=data"),
        ("vllm-omni", "any", ",voice_prompt=true"),
        ("sglang-omni", "clones", ""),
        ("sglang-omni", "any", ",voice=default"),
        ("mlx-audio", "any", ",voice_prompt=path"),
    ],
)
def test_a_voice_prompt_reaches_the_server_whole_and_as_a_stream(kind: str, model: str, options: str) -> None:
    with strict(kind, model) as server:
        frequency, metadata = heard(build(server, options), cloning())
        assert frequency == pytest.approx(CLONED_HERTZ, abs=5)
        assert metadata["asked"]["voice_prompt"] is True
        assert {body["ref_text"] for body in server.received} == {"what the prompt says"}
        if kind != "mlx-audio":
            sent = base64.b64decode(server.received[0]["ref_audio"].removeprefix("data:audio/wav;base64,"))
            np.testing.assert_allclose(read(sent, "prompt").samples, PROMPT.samples, atol=1e-4)
        else:
            assert not Path(server.received[0]["ref_audio"]).exists()  # removed once answered


def test_the_default_voice_is_sent_only_without_a_prompt() -> None:
    with strict("sglang-omni") as server:
        model = build(server)
        model.synthesize([cloning(), plain()])
        assert [body.get("voice") for body in server.received] == [None, "alloy"]
        build(server, ",voice=nova").synthesize([cloning()])
        assert server.received[-1]["voice"] == "nova"


@pytest.mark.parametrize(
    ("kind", "model", "options", "message"),
    [
        ("vllm-omni", "preset", "", "requires the full checkpoint"),
        ("sglang-omni", "preset", "", "ref_audio is not supported by this model"),
        ("openai", "any", "", "Unknown parameter: 'ref_audio'"),
        ("mlx-audio", "any", "", "Reference audio file not found"),
        ("vllm-omni", "any", ",voice_prompt=off", "voice_prompt=off"),
    ],
)
def test_a_voice_prompt_that_is_not_taken_is_refused_and_nothing_is_spoken(
    kind: str, model: str, options: str, message: str
) -> None:
    with strict(kind, model) as server:
        for ask in (lambda m: m.synthesize([cloning()]), lambda m: list(m.stream(cloning()))):
            with pytest.raises(SpeechEvalError, match=message):
                ask(build(server, options))
        assert all("ref_audio" in body for body in server.received)


def test_a_server_that_describes_no_field_for_a_prompt_is_not_sent_one() -> None:
    with strict("openai", described=True) as server:
        with pytest.raises(EndpointError, match="no field 'ref_audio'"):
            build(server).synthesize([cloning()])
        assert server.received == []


def test_a_model_that_needs_a_transcript_says_so() -> None:
    with strict("vllm-omni", "clones") as server, pytest.raises(EndpointError, match="requires 'ref_text'"):
        build(server).synthesize([cloning(text=None)])


# ------------------------------------------------------------------------------------ language, seed, extra


@pytest.mark.parametrize(
    ("kind", "tag", "field", "value"),
    [
        ("vllm-omni", "en-GB", "language", "English"),
        ("vllm-omni", "zh-Hans", "language", "Chinese"),
        ("sglang-omni", "pt-BR", "language", "Portuguese"),
        ("mlx-audio", "ja", "lang_code", "ja"),
    ],
)
def test_the_language_goes_in_the_servers_own_field(kind: str, tag: str, field: str, value: str) -> None:
    with strict(kind) as server:
        audio = build(server, ",voice=default").synthesize([plain(tag)])[0]
        assert server.received[0][field] == value
        assert isinstance(audio, Speech) and audio.metadata["asked"][field] == value


@pytest.mark.parametrize("kind", ["vllm-omni", "sglang-omni"])
def test_a_language_the_model_does_not_speak_is_refused_and_not_left_out(kind: str) -> None:
    with strict(kind) as server:
        with pytest.raises(EndpointError, match=r"Invalid language 'Welsh'|language must be one of"):
            build(server, ",voice=default").synthesize([plain("cy")])
        assert [body["language"] for body in server.received] == ["Welsh"]


def test_no_language_is_sent_for_text_without_one() -> None:
    with strict("vllm-omni") as server:
        build(server, ",voice=vivian").synthesize([plain("und")])
        assert "language" not in server.received[0]


def test_fields_that_a_strict_server_does_not_have_are_left_out_once_and_recorded() -> None:
    with strict("openai") as server:
        model = build(server)
        audio = model.synthesize([plain(), plain()])[1]
        assert isinstance(audio, Speech) and audio.metadata["not_taken"] == ["language", "seed"]
        assert len(server.received) == 4  # two refusals, then two answers


def test_fields_that_a_server_does_not_describe_are_not_sent() -> None:
    with strict("mlx-audio") as server:
        audio = build(server).synthesize([plain()])[0]
        assert isinstance(audio, Speech) and audio.metadata["not_taken"] == ["seed"]
        assert "seed" not in server.received[0] and server.received[0]["lang_code"] == "en"


def test_the_seed_of_the_request_is_sent() -> None:
    with strict("vllm-omni") as server:
        build(server, ",voice=vivian").synthesize([plain(seed=1), plain(seed=2)])
        assert [body["seed"] for body in server.received] == [1, 2]


def test_extra_lies_over_the_body_and_null_removes_a_field() -> None:
    with strict("vllm-omni") as server:
        extra = '[{"extra_params": {"lang": "en", "emo_alpha": 0.5}, "voice": null, "max_new_tokens": 9}]'
        build(server, f",extra={extra}").synthesize([plain()])
        body = server.received[0]
        assert body["extra_params"] == {"lang": "en", "emo_alpha": 0.5} and body["max_new_tokens"] == 9
        assert "voice" not in body


# ------------------------------------------------------------------------------------------------- streams


@pytest.mark.parametrize(
    ("kind", "asked", "answer"),
    [
        ("vllm-omni", {"stream": True, "stream_format": "audio", "response_format": "wav"}, "audio/wav"),
        ("sglang-omni", {"stream": True, "stream_format": "audio", "response_format": "pcm"}, "audio/pcm"),
        ("mlx-audio", {"stream": True, "response_format": "wav"}, "audio/wav"),
        ("openai", {"stream_format": "audio", "response_format": "wav"}, "audio/wav"),
    ],
)
def test_a_stream_is_heard_while_it_is_made_and_how_it_was_asked_for_is_kept(
    kind: str, asked: dict[str, Any], answer: str
) -> None:
    with strict(kind) as server:
        model = build(server, ",voice=alloy" if kind in ("openai", "mlx-audio") else ",voice=default")
        for _ in range(2):
            count, began, arrivals, pieces = len(server.received), time.perf_counter(), [], []
            for piece in model.stream(plain()):
                arrivals.append(time.perf_counter() - began)
                pieces.append(piece)
        assert arrivals[-1] - arrivals[0] >= 2.5 * CHUNK_SECONDS and len(pieces) == 4
        assert len(server.received) == count + 1  # what the server takes is learnt once
        assert isinstance(pieces[-1], Speech) and pieces[-1].metadata["answer"] == answer
        kept = pieces[-1].metadata["asked"]
        assert {name: kept[name] for name in kept if name in (*asked, "stream", "stream_format")} == asked
        assert hertz(np.concatenate([p.samples for p in pieces]), pieces[0].rate) == pytest.approx(DEFAULT_HERTZ, abs=5)


@pytest.mark.parametrize("kind", ["vllm-omni", "sglang-omni", "openai"])
def test_a_stream_of_events_is_taken_too(kind: str) -> None:
    with strict(kind) as server:
        voice = "alloy" if kind == "openai" else "default"
        model = build(server, f',voice={voice},response_format=pcm,extra=[{{"stream_format": "sse"}}]')
        pieces = list(model.stream(plain()))
        assert isinstance(pieces[-1], Speech)
        assert pieces[-1].metadata["answer"] == "text/event-stream" and pieces[-1].metadata["stopped"] is True
        assert len(pieces) == 4 and sum(len(piece.samples) for piece in pieces) == 4 * 2400


def test_a_whole_answer_is_not_asked_for_as_a_stream() -> None:
    with strict("vllm-omni") as server:
        build(server, ",voice=vivian").synthesize([plain()])
        assert not server.received[0].keys() & {"stream", "stream_format"}


def test_a_refusal_of_the_request_itself_is_told_in_the_servers_words() -> None:
    with strict("vllm-omni") as server, pytest.raises(EndpointError, match="Invalid voice 'alloy'"):
        list(build(server).stream(plain()))


# ------------------------------------------------------------------------------------- words of a refusal


@pytest.mark.parametrize(
    "said",
    [
        '{"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]}',
        '{"error": {"message": "Unrecognized request argument supplied: seed"}}',
        '{"error": {"message": "Unknown parameter: \'seed\'.", "param": "seed"}}',
        "unknown speech request field: seed",
        "seed is not supported by this model",
        "{\"detail\": \"Unexpected fields in the request: {'temperature', 'seed'}\"}",
        "generate() got an unexpected keyword argument 'seed'",
        "litellm.UnsupportedParamsError: openai does not support parameters: ['seed'], for model=tts",
    ],
)
def test_a_field_that_a_server_does_not_have_is_recognized(said: str) -> None:
    assert refused_field(said, ["language", "seed"]) == "seed"


@pytest.mark.parametrize(
    "said",
    [
        "Invalid language 'Welsh'. Supported: English",
        "Unsupported language: cy",
        "language must be one of: Auto, English",
        "seed must be greater than or equal to 0",
        "Input text cannot be empty",
        "Unknown voice 'x'. The language is fine.",
        "Unsupported parameter value: language='cy'",
    ],
)
def test_a_value_that_a_server_does_not_take_is_not_a_missing_field(said: str) -> None:
    assert refused_field(said, ["language", "seed"]) is None


@pytest.mark.parametrize(
    ("option", "message"), [("extra=5", "extra is not a JSON object"), ("voice_prompt=no", "one of")]
)
def test_bad_options_are_named(option: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        modelspec.resolve(f"openai:http://127.0.0.1:9/v1#m,kind=speech,{option}").build()


def test_a_cloning_run_stores_what_was_asked_and_when_each_piece_came(tmp_path: Path) -> None:
    (tmp_path / "prompt.wav").write_bytes(wav_bytes(PROMPT))
    line = {"id": "s1", "text": TEXT, "language": "zh", "prompt_audio": "prompt.wav", "prompt_text": "what it says"}
    (tmp_path / "set.jsonl").write_text(json.dumps(line) + "\n", "utf-8")
    with strict("vllm-omni", "clones") as server:
        settings = Settings(data=str(tmp_path / "set.jsonl"), workers=1)
        run(f"openai:{server.url}#m,kind=speech", ["latency"], tmp_path / "run", settings)
    output = RunDirectory(tmp_path / "run").outputs("latency")["s1"]
    assert output.status == "ok" and output.chunks is not None and len(output.chunks) == 4
    assert output.chunks[-1].seconds - output.chunks[0].seconds >= 2.5 * CHUNK_SECONDS
    asked = output.metadata["asked"]
    assert (asked["voice_prompt"], asked["language"], asked["seed"]) == (True, "Chinese", output.seed)
    assert "ref_audio" in RunDirectory(tmp_path / "run").manifest().model.metadata["described"]

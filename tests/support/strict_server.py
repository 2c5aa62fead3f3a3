"""A strict server on the loopback interface: it checks bodies of /audio/speech against the fields of a published server
(`server_fields.yaml`), refuses what that server refuses, and streams only when asked to.

The voice can be heard: a tone of 440 Hz for the default voice, 660 Hz for a cloned one, 0.1 s for each word.
"""

from __future__ import annotations

import base64
import json
import math
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml
from support.serving import serving

from speech_eval.audio import read

SERVERS: dict[str, dict[str, Any]] = yaml.safe_load(
    Path(__file__).with_name("server_fields.yaml").read_text(encoding="utf-8")
)
RATE = 24_000
DEFAULT_HERTZ, CLONED_HERTZ = 440, 660
LANGUAGES = ["Auto", "Chinese", "English", "Japanese", "Korean", "German", "French", "Russian", "Portuguese", "Spanish"]
VOICES = ("vivian", "casual_female")
CHUNK_SECONDS = 0.05  # between the pieces of a stream
_TYPES = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "array": list, "object": dict}
_SCHEMA = {"one": "string"}


class Refusal(Exception):
    """Status 400 with a message."""


class StrictServer(ThreadingHTTPServer):
    """`kind` is a key of `SERVERS`, `model` the kind of model behind it: `clones` (needs a prompt and its text, as
    CosyVoice3 and GLM-TTS), `reference` (needs a prompt, as IndexTTS2), `preset` (takes none, as Voxtral-TTS) or
    `any`."""

    daemon_threads = True

    def __init__(self, kind: str, model: str, described: bool | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.kind, self.model = kind, model
        self.fields: dict[str, list[Any]] = SERVERS[kind]["fields"]
        self.described = SERVERS[kind]["described"] if described is None else described
        self.received: list[dict[str, Any]] = []  # bodies, refused ones too

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def description(self) -> dict[str, Any]:
        """The OpenAPI document, as FastAPI makes it."""
        properties = {
            name: {"type": _SCHEMA.get(kind.split()[0].rstrip("?"), kind.split()[0].rstrip("?")), "default": default}
            for name, (kind, default) in self.fields.items()
        }
        schema = {"$ref": "#/components/schemas/SpeechRequest"}
        post = {"requestBody": {"content": {"application/json": {"schema": schema}}}}
        return {
            "paths": {"/v1/audio/speech": {"post": post}},
            "components": {"schemas": {"SpeechRequest": {"type": "object", "properties": properties}}},
        }


@contextmanager
def strict(kind: str, model: str = "any", described: bool | None = None) -> Iterator[StrictServer]:
    with serving(StrictServer(kind, model, described)) as server:
        yield server


def hertz(samples: Any, rate: int) -> float:
    """The frequency of a tone, from its zero crossings."""
    import numpy as np

    return float(np.count_nonzero(np.diff(np.signbit(samples))) / 2 / (len(samples) / rate))


# --------------------------------------------------------------------------------------------------- checks


def check_types(server: StrictServer, body: dict[str, Any]) -> None:
    """Names and types of the fields. Only OpenAI refuses names that it does not know; the others ignore them."""
    for name, value in body.items():
        if name not in server.fields:
            if server.kind == "openai":
                raise Refusal(f"Unknown parameter: '{name}'.")
            continue
        kind = str(server.fields[name][0])
        if value is None and kind.endswith("?"):
            continue
        first, *allowed = kind.rstrip("?").split()
        right = value in allowed[1:] if first == "one" else isinstance(value, _TYPES[first])
        if not right or (isinstance(value, bool) and first in ("integer", "number")):
            raise Refusal(f"{name} is not {kind}")
    for name, (_, default) in server.fields.items():
        if default == "required" and name not in body:
            raise Refusal(f"{name} is required")


def check_vllm_omni(server: StrictServer, body: dict[str, Any]) -> None:
    if (body.get("stream") or body.get("stream_format")) and body.get("response_format", "wav") not in ("pcm", "wav"):
        raise Refusal("Streaming requires response_format='pcm' or 'wav'.")
    prompt = body.get("ref_audio")
    if server.model == "preset" and prompt:
        raise Refusal("Voice cloning with 'ref_audio' requires the full checkpoint with encoder weights.")
    if server.model in ("clones", "reference") and not prompt:
        raise Refusal("this model requires 'ref_audio' for zero-shot voice cloning")
    if server.model == "clones" and not str(body.get("ref_text") or "").strip():
        raise Refusal("voice cloning requires 'ref_text' (transcript of the reference audio)")
    if prompt is not None and not prompt.startswith(("data:", "http://", "https://", "file://")):
        raise Refusal("ref_audio must be a URL (http/https), base64 data URL (data:...), or file URI (file://...)")
    if prompt is not None:
        check_prompt(base64.b64decode(prompt.partition(",")[2], validate=True))
    language = body.get("language")
    if language is not None and language.title() not in LANGUAGES:
        raise Refusal(f"Invalid language '{language}'. Supported: {', '.join(sorted(LANGUAGES))}")
    if not prompt and body.get("voice") not in (None, "default", *VOICES):
        raise Refusal(f"Invalid voice '{body['voice']}'. Supported: {', '.join(VOICES)}")


def check_sglang_omni(server: StrictServer, body: dict[str, Any]) -> None:
    if (body.get("stream") or body.get("stream_format") == "sse") and body.get("response_format", "wav") != "pcm":
        raise Refusal("stream=true requires response_format='pcm'")
    if body.get("language") is not None and body["language"].title() not in LANGUAGES:
        raise Refusal(f"language must be one of: {', '.join(sorted(LANGUAGES))}")
    if (body.get("seed") or 0) < 0:
        raise Refusal("seed must be greater than or equal to 0")
    prompt = body.get("ref_audio")
    if server.model == "clones" and not prompt:
        raise Refusal("exactly one speech reference is required")
    if server.model == "preset" and (prompt or body.get("ref_text")):
        raise Refusal("ref_audio is not supported by this model")
    if prompt:
        header, _, data = prompt.partition(",")
        if not header.startswith("data:audio/") or ";base64" not in header:
            raise Refusal("ref_audio data URL must include base64 media data")
        check_prompt(base64.b64decode(data, validate=True))


def check_mlx_audio(server: StrictServer, body: dict[str, Any]) -> None:
    prompt = body.get("ref_audio")
    if prompt:
        if not (len(prompt) < 4096 and Path(prompt).exists()):
            raise Refusal(f"Reference audio file not found: {prompt[:100]}")
        check_prompt(Path(prompt).read_bytes())


def check_openai(server: StrictServer, body: dict[str, Any]) -> None:
    if body["voice"] not in ("alloy", "nova"):
        raise Refusal(f"Invalid value: '{body['voice']}'. Supported values are: 'alloy' and 'nova'.")


def check_prompt(data: bytes) -> None:
    seconds = read(data, "ref_audio").seconds
    if not 1.0 <= seconds <= 30.0:
        raise Refusal(f"Reference audio is {seconds:.1f} s; it must last 1 to 30 s")


_CHECKS = {
    "vllm-omni": check_vllm_omni,
    "sglang-omni": check_sglang_omni,
    "mlx-audio": check_mlx_audio,
    "openai": check_openai,
}


# -------------------------------------------------------------------------------------------------- answers


def tone(words: int, hertz: int) -> bytes:
    """16-bit samples, 0.1 s for each word."""
    count = words * RATE // 10
    return b"".join(struct.pack("<h", round(16000 * math.sin(2 * math.pi * hertz * n / RATE))) for n in range(count))


def header(size: int) -> bytes:
    """The head of a 16-bit mono WAV file with `size` bytes of samples."""
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    return (
        struct.pack("<4sI4s", b"RIFF", min(36 + size, 0xFFFFFFFF), b"WAVE") + form + struct.pack("<4sI", b"data", size)
    )


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: StrictServer

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        if self.path == "/openapi.json" and self.server.described:
            self._send(200, json.dumps(self.server.description()).encode(), "application/json")
        else:
            self._send(404, b'{"detail": "Not Found"}', "application/json")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.partition("?")[0] != "/v1/audio/speech":
            return self._send(404, b'{"detail": "Not Found"}', "application/json")
        self.server.received.append(body)
        try:
            check_types(self.server, body)
            _CHECKS[self.server.kind](self.server, body)
        except Refusal as refusal:
            message = json.dumps({"error": {"message": str(refusal), "type": "BadRequestError", "code": 400}})
            return self._send(400, message.encode(), "application/json")
        self._speak(body)

    def _send(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _speak(self, body: dict[str, Any]) -> None:
        pcm = tone(len(body["input"].split()), CLONED_HERTZ if body.get("ref_audio") else DEFAULT_HERTZ)
        form = body.get("response_format") or self.server.fields["response_format"][1]
        assert form in ("wav", "pcm"), form
        kind, raw = self.server.kind, body.get("stream_format") == "audio"
        events = body.get("stream_format") == "sse" or (kind == "vllm-omni" and body.get("stream") and not raw)
        streamed = body.get("stream") or events or (raw and kind in ("vllm-omni", "openai"))
        size = RATE // 10 * 2
        pieces = [pcm[at : at + size] for at in range(0, len(pcm), size)] if streamed else [pcm]
        if form == "wav" and streamed and kind == "mlx-audio":
            pieces = [header(len(piece)) + piece for piece in pieces]  # a whole file for each piece
        elif form == "wav":
            pieces[0] = header(0xFFFFFFFF if streamed else len(pcm)) + pieces[0]
        self._stream(pieces, "text/event-stream" if events else f"audio/{form}", CHUNK_SECONDS if streamed else 0.0)

    def _stream(self, pieces: list[bytes], kind: str, delay: float) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        if self.server.kind == "sglang-omni" and delay:
            self.send_header("X-Sample-Rate", str(RATE))
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in pieces:
            time.sleep(delay)
            self._chunk(_event({"type": "speech.audio.delta", "audio": base64.b64encode(piece).decode()}), piece, kind)
        if kind == "text/event-stream":
            self._chunk(_event({"type": "speech.audio.done", "finish_reason": "stop"}), b"", kind)
        self.wfile.write(b"0\r\n\r\n")

    def _chunk(self, event: bytes, raw: bytes, kind: str) -> None:
        data = event if kind == "text/event-stream" else raw
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()


def _event(content: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(content).encode() + b"\n\n"

"""A small OpenAI-compatible server on the loopback interface: real HTTP, simple answers, faults on demand."""

from __future__ import annotations

import base64
import io
import json
import math
import struct
import threading
import time
import wave
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from support.serving import serving

RATE = 24_000


@dataclass
class Fault:
    """What the server does to the next request instead of answering it."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    hang_up: bool = False


@dataclass
class Received:
    """One request as it arrived. `fields` are form fields or the JSON body; `file` the uploaded bytes."""

    path: str
    headers: Message
    fields: dict[str, Any]
    file: bytes = b""
    monotonic: float = 0.0


class Server(ThreadingHTTPServer):
    """Speech is a 440 Hz sine of 0.1 s per word; a transcript says how many frames came; chat repeats what it got."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.received: list[Received] = []
        self.faults: deque[Fault] = deque()
        self.chunk_seconds = 0.1
        self.chunk_delay = 0.0
        self.header_delay = 0.0
        self.truncate = False
        self.models: list[dict[str, str]] | None = None  # what GET /models lists; None: there is no such path
        self.streams = True  # chat answers as server-sent events where asked to
        self.transcribe_delay: dict[int, float] = {}  # frames -> seconds
        self.busy = 0
        self.most_busy = 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


@contextmanager
def running() -> Iterator[Server]:
    with serving(Server()) as server:
        yield server


def sine(words: int) -> bytes:
    """16-bit samples of 0.1 s a word."""
    return b"".join(
        struct.pack("<h", round(16000 * math.sin(2 * math.pi * 440 * n / RATE))) for n in range(words * RATE // 10)
    )


def wav(pcm: bytes) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(pcm)
    return buffer.getvalue()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        if self.path == "/v1/models" and self.server.models is not None:
            return self._send(200, json.dumps({"object": "list", "data": self.server.models}).encode())
        self._send(404, b'{"error": {"message": "no such path"}}')

    def do_POST(self) -> None:
        request = self._read()
        self.server.received.append(request)
        if self.server.faults:
            return self._fail(self.server.faults.popleft())
        answer = {
            "/v1/audio/transcriptions": self._transcribe,
            "/v1/audio/speech": self._speak,
            "/v1/chat/completions": self._chat,
        }.get(request.path)
        if answer is None:
            return self._send(404, b'{"error": {"message": "no such path"}}')
        with self.server.lock:
            self.server.busy += 1
            self.server.most_busy = max(self.server.most_busy, self.server.busy)
        try:
            answer(request)
        finally:
            with self.server.lock:
                self.server.busy -= 1

    def _read(self) -> Received:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        kind = self.headers["Content-Type"]
        if not kind.startswith("multipart/"):
            return Received(self.path, self.headers, json.loads(body), monotonic=time.monotonic())
        parts = BytesParser().parsebytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body).get_payload()
        fields, file = {}, b""
        for part in parts:
            name = part.get_param("name", header="content-disposition")
            content = part.get_payload(decode=True)
            if name == "file":
                file = content
            else:
                fields[name] = content.decode()
        return Received(self.path, self.headers, fields, file, time.monotonic())

    def _fail(self, fault: Fault) -> None:
        if fault.hang_up:
            self.close_connection = True
            return
        self._send(fault.status, fault.body, fault.headers)

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _transcribe(self, request: Received) -> None:
        with wave.open(io.BytesIO(request.file)) as file:
            frames, rate = file.getnframes(), file.getframerate()
        time.sleep(self.server.transcribe_delay.get(frames, 0.0))
        self._send(200, json.dumps({"text": f"{frames} frames at {rate}"}).encode())

    def _speak(self, request: Received) -> None:
        pcm = sine(len(request.fields["input"].split()))
        header = wav(pcm)[:44] if request.fields["response_format"] == "wav" else b""
        self.send_response(200)
        self.send_header("Content-Type", "audio/wav")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        # The header goes out in two parts, as a slow network may deliver it.
        for piece in (header[:20], header[20:]):
            self._chunk(piece)
            time.sleep(self.server.header_delay)
        size = int(self.server.chunk_seconds * RATE) * 2
        if self.server.truncate:
            pcm = pcm[: len(pcm) // 2 + 1]
        for at in range(0, len(pcm), size):
            time.sleep(self.server.chunk_delay)
            self._chunk(pcm[at : at + size])
        self.wfile.write(b"0\r\n\r\n")

    def _chunk(self, data: bytes) -> None:
        if data:
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            self.wfile.flush()

    def _chat(self, request: Received) -> None:
        heard = []
        for message in request.fields["messages"]:
            for part in message["content"]:
                if part["type"] == "text":
                    heard.append(part["text"])
                else:
                    with wave.open(io.BytesIO(base64.b64decode(part["input_audio"]["data"]))) as file:
                        heard.append(f"<{file.getnframes()} frames at {file.getframerate()}>")
        if request.fields.get("stream") and self.server.streams:
            return self._chat_events(heard, "audio" in request.fields.get("modalities", []))
        message = {"role": "assistant", "content": " ".join(heard)}
        if "audio" in request.fields.get("modalities", []):
            data = base64.b64encode(wav(sine(2))).decode()
            message |= {"content": None, "audio": {"data": data, "transcript": " ".join(heard)}}
        self._send(200, json.dumps({"choices": [{"message": message}]}).encode())

    def _chat_events(self, words: list[str], speak: bool) -> None:
        """One event a word, and with `speak` one event a tenth of a second of speech, cut inside a sample."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        deltas: list[dict[str, Any]] = [{"role": "assistant"}]
        for word in words:
            deltas.append({"audio": {"transcript": f"{word} "}} if speak else {"content": f"{word} "})
        if speak:
            pcm = sine(2)
            deltas += [
                {"audio": {"data": base64.b64encode(pcm[at : at + 4801]).decode()}} for at in range(0, len(pcm), 4801)
            ]
        for delta in deltas:
            time.sleep(self.server.chunk_delay)
            self._chunk(b"data: " + json.dumps({"choices": [{"delta": delta}]}).encode() + b"\n\n")
        if not self.server.truncate:
            self._chunk(b'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n')
        self.wfile.write(b"0\r\n\r\n")


def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """For `server = pytest.fixture(impatient)`: a server, no key, and retries that hardly wait."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr("speech_eval.adapters.remote.endpoint._FIRST_WAIT", 0.01)
    with running() as server:
        yield server

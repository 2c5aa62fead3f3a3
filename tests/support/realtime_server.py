"""Strict servers of /v1/realtime on the loopback interface, each with the events of a published one.

Transcription: each tenth of a second of audio becomes a word, `w1 w2 …`. Conversation: after `TURN_SECONDS` of the
user's sound and a pause the server answers with a tone of `ANSWER_SECONDS`, sent at once; sound during the answer
interrupts it.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import yaml

KINDS: dict[str, dict[str, Any]] = yaml.safe_load(
    Path(__file__).with_name("realtime_events.yaml").read_text(encoding="utf-8")
)
RATE = 24_000
ENDS = ("transcription.done", "input_audio_buffer.commit")
TURN_SECONDS, ANSWER_SECONDS = 0.16, 0.8
ANSWER = (0.5 * np.sin(2 * np.pi * 440 * np.arange(round(ANSWER_SECONDS * RATE)) / RATE)).astype(np.float32)


class RealtimeServer:
    """`received` are the events of all connections, `queries` and `headers` those of each."""

    def __init__(self, kind: str, fail: str, transcribes: bool) -> None:
        self.kind, self.fail, self.transcribes = kind, fail, transcribes
        self.rate: int = KINDS[kind]["rate"]
        self.received: list[dict[str, Any]] = []
        self.queries: list[dict[str, list[str]]] = []
        self.headers: list[dict[str, str]] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/v1/realtime"

    def events(self, kind: str) -> list[dict[str, Any]]:
        """The events of a type that came."""
        return [event for event in self.received if event["type"] == kind]


@contextmanager
def realtime(kind: str, fail: str = "", transcribes: bool = False) -> Iterator[RealtimeServer]:
    from websockets.sync.server import serve

    state = RealtimeServer(kind, fail, transcribes)
    with serve(lambda socket: _Session(state, socket).run(), "127.0.0.1", 0) as server:
        state.port = server.socket.getsockname()[1]
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()


class _Session:
    def __init__(self, server: RealtimeServer, socket: Any) -> None:
        self.server, self.socket, self.kind = server, socket, server.kind
        self.samples = self.words = self.loud = self.quiet = self.appended = 0
        self.answered = self.ready = False

    def run(self) -> None:
        from websockets.exceptions import ConnectionClosed

        request = self.socket.request
        self.server.queries.append(parse_qs(urlsplit(request.path).query))
        self.server.headers.append(dict(request.headers.items()))
        try:
            if self.kind != "vllm-omni":  # which opens a session once it is told which
                self.send(self.created())
            for message in self.socket:
                event = json.loads(message)
                self.server.received.append(event)
                if problem := self.problem(event):
                    self.error(problem, event)
                elif not self.take(event):
                    return
        except ConnectionClosed:
            pass

    def send(self, event: dict[str, Any]) -> None:
        self.socket.send(json.dumps(event))

    def error(self, message: str, event: dict[str, Any]) -> None:
        plain = self.kind == "vllm"
        detail = {"type": "invalid_request_error", "message": message, "event_id": event.get("event_id")}
        self.send({"type": "error", "error": message if plain else detail})

    def created(self) -> dict[str, Any]:
        if self.kind == "vllm":
            return {"type": "session.created", "id": "sess-1", "created": 0}
        session: dict[str, Any] = {"id": "sess-1", "object": "realtime.session", "model": "m"}
        if self.kind == "sglang-transcription":
            session |= {"intent": "transcription", "decode_interval_ms": 2000, "input_audio_format": "pcm16"}
        if self.kind == "sglang":
            session |= {"type": "realtime", "sglang": {"granted": None}}
        return {"type": "session.created", "session": session}

    def problem(self, event: dict[str, Any]) -> str:
        """Why an event is refused; empty where it is not."""
        rules = KINDS[self.kind]
        fields = rules["events"].get(event["type"])
        if fields is None:
            return f"Unknown event type: {event['type']}"
        if missing := [name[:-1] for name in fields if name.endswith("!") and name[:-1] not in event]:
            return f"missing {missing}"
        unknown = event.keys() - {"type", *(name.rstrip("!") for name in fields)}
        if unknown and rules["strict"]:
            return f"extra fields {sorted(unknown)}"
        if event["type"] == "session.update" and "session" in rules:
            return self.session_problem(event["session"], rules)
        if event["type"] == "input_audio_buffer.append" and self.kind == "sglang":
            return "" if event["sglang"].get("seq") == self.appended else "audio is out of order"
        return ""

    def session_problem(self, session: dict[str, Any], rules: dict[str, Any]) -> str:
        if unknown := session.keys() - set(rules["session"]):
            return f"unknown session fields {sorted(unknown)}"
        for direction, config in session.get("audio", {}).items():
            if config.get("format", {}) not in ({}, {"type": "audio/pcm", "rate": self.server.rate}):
                return f"unsupported audio.{direction}.format"
        return ""

    def take(self, event: dict[str, Any]) -> bool:
        """Answer an event; False where it ends the session."""
        kind = event["type"]
        if kind == "session.update":
            self.ready = True
            self.send(self.created() if self.kind == "vllm-omni" else {"type": "session.updated", "session": {}})
        elif kind == "input_audio_buffer.append":
            self.appended += 1
            pcm = np.frombuffer(base64.b64decode(event["audio"], validate=True), "<i2")
            if self.server.fail and self.appended == 3:
                if self.server.fail == "close":
                    return False
                self.error(self.server.fail, event)
            elif self.server.transcribes:
                self.transcribe(pcm)
            else:
                self.converse(pcm)
        elif kind in ENDS and event.get("final", True) and self.server.transcribes:
            self.finish()
        return kind != "session.close"

    # ------------------------------------------------------------------------------------- transcription

    def transcribe(self, pcm: Any) -> None:
        self.samples += len(pcm)
        while (self.words + 1) * self.server.rate // 10 <= self.samples:
            self.words += 1
            self.word(f"{' ' * (self.words > 1)}w{self.words}")

    def word(self, text: str) -> None:
        if self.kind == "vllm":
            self.send({"type": "transcription.delta", "delta": text})
        elif self.kind == "sglang-transcription":
            self.send({"type": "transcription.segment", "segment_id": 0, "text": self.text(), "is_final": False})
        else:
            kind = "conversation.item.input_audio_transcription.delta"
            self.send({"type": kind, "item_id": "item-1", "content_index": 0, "delta": text})

    def text(self) -> str:
        return " ".join(f"w{number}" for number in range(1, self.words + 1))

    def finish(self) -> None:
        if self.kind == "vllm":
            self.send({"type": "transcription.done", "text": self.text()})
        elif self.kind == "sglang-transcription":
            self.send({"type": "transcription.completed", "text": self.text()})
        else:
            kind = "conversation.item.input_audio_transcription.completed"
            self.send({"type": kind, "item_id": "item-1", "content_index": 0, "transcript": self.text()})

    # -------------------------------------------------------------------------------------- conversation

    def converse(self, pcm: Any) -> None:
        seconds = len(pcm) / self.server.rate
        if np.abs(pcm).max(initial=0) > 100:
            if self.answered:
                self.send({"type": "input_audio_buffer.speech_started", "item_id": "user-2"})
                self.answered = False
            self.loud, self.quiet = self.loud + seconds, 0
        else:
            self.quiet += seconds
        if self.loud >= TURN_SECONDS and self.quiet >= 0.08 and not self.answered:
            self.answered, self.loud = True, 0
            self.answer()

    def answer(self) -> None:
        pcm = np.round(ANSWER * 32767).astype("<i2").tobytes()
        for at in range(0, len(pcm), 9601):  # an odd number: samples are cut in two
            piece = base64.b64encode(pcm[at : at + 9601]).decode()
            event = {"type": "response.output_audio.delta", "item_id": "item-1", "response_id": "r-1"}
            self.send(
                {**event, "audio": piece, "sample_rate_hz": RATE} if self.kind == "vllm" else {**event, "delta": piece}
            )

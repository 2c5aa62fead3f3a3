"""A strict server of /chat/completions, as vLLM serves Ultravox: bodies must be what the types of the package `openai`
allow, sound must be in `input_audio` parts of the user's turns, and the answer says what was asked and heard."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from openai.types.chat import (
    ChatCompletionContentPartInputAudioParam as _SOUND,
)
from openai.types.chat import (
    ChatCompletionContentPartTextParam as _TEXT,
)
from openai.types.chat.completion_create_params import (
    CompletionCreateParamsNonStreaming as _WHOLE,
)
from openai.types.chat.completion_create_params import (
    CompletionCreateParamsStreaming as _STREAMED,
)
from pydantic import TypeAdapter, ValidationError, with_config
from support.serving import serving

from speech_eval.audio import read


class StrictChat(ThreadingHTTPServer):
    """Serves one model; `received` are the bodies, `refused` the reasons."""

    daemon_threads = True

    def __init__(self, model: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.model = model
        self.received: list[dict[str, Any]] = []
        self.refused: list[str] = []

    @property
    def spec(self) -> str:
        return f"openai:http://127.0.0.1:{self.server_address[1]}/v1#{self.model},kind=chat"


@contextmanager
def strict_chat(model: str) -> Iterator[StrictChat]:
    with serving(StrictChat(model)) as server:
        yield server


def fault(body: dict[str, Any], model: str) -> str:
    """Why the server refuses a body; empty where it does not."""
    try:
        _checked(_STREAMED if body.get("stream") else _WHOLE, body)
        for message in body["messages"]:
            for part in message["content"] if isinstance(message["content"], list) else []:
                _checked(_SOUND if message["role"] == "user" and part["type"] == "input_audio" else _TEXT, part)
    except ValidationError as error:
        first = error.errors()[0]
        return f"{first['loc']}: {first['msg']}"
    return "" if body["model"] == model else f"The model `{body['model']}` does not exist."


def _checked(kind: type, value: dict[str, Any]) -> None:
    TypeAdapter(with_config({"extra": "forbid"})(kind)).validate_python(value)


class _Handler(BaseHTTPRequestHandler):
    server: StrictChat

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.received.append(body)
        problem = fault(body, self.server.model) if self.path == "/v1/chat/completions" else "Not Found"
        if problem:
            self.server.refused.append(problem)
            return self._send(400, {"error": {"message": problem, "type": "BadRequestError", "code": 400}})
        message = {"role": "assistant", "content": " ".join(_heard(body))}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        kind = {"id": "chat-1", "object": "chat.completion", "created": 1, "model": self.server.model}
        self._send(200, {**kind, "choices": [choice]})

    def _send(self, status: int, content: dict[str, Any]) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def _heard(body: dict[str, Any]) -> Iterator[str]:
    for message in body["messages"]:
        content = message["content"]
        for part in [{"type": "text", "text": content}] if isinstance(content, str) else content:
            if part["type"] == "text":
                yield part["text"]
            else:
                audio = read(base64.b64decode(part["input_audio"]["data"], validate=True), "input_audio")
                yield f"<{audio.seconds:.2f} s of {part['input_audio']['format']}>"

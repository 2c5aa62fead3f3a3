"""A judge over HTTP that gives every conversation the same reply, or one that depends on what it is asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

Reply = str | None | Callable[[str], str]  # the reply, or what makes it of the last message


class JudgeServer(ThreadingHTTPServer):
    """Answers every chat with `reply`, `choices` of them whatever is asked for. `bodies` are the requests."""

    def __init__(self, reply: Reply, choices: int = 3, ended: str = "stop") -> None:
        super().__init__(("127.0.0.1", 0), JudgeHandler)
        self.reply, self.choices, self.ended = reply, choices, ended
        self.bodies: list[dict[str, Any]] = []

    @property
    def spec(self) -> str:
        return f"openai:http://127.0.0.1:{self.server_address[1]}/v1#small-judge"

    def __enter__(self) -> JudgeServer:
        Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.shutdown()
        self.server_close()


class JudgeHandler(BaseHTTPRequestHandler):
    server: JudgeServer

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        self.server.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        reply, asked = self.server.reply, self.server.bodies[-1]["messages"][-1]["content"]
        choice: dict[str, Any] = {
            "message": {"role": "assistant", "content": reply(asked) if callable(reply) else reply}
        }
        choice["finish_reason"] = self.server.ended
        body = json.dumps({"choices": [choice] * self.server.choices}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

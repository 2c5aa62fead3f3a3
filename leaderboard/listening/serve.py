"""Serves a listening test to this machine and takes answers: each rater's once, as a file that is never changed."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from http import HTTPStatus
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

from speech_eval.analysis.listening.description import ANSWERS, LARGEST_ANSWERS, PAGE, Key, read_answers, read_key
from speech_eval.cache import disk_errors
from speech_eval.errors import BadInput
from speech_eval.leaderboard.serve import HOST, Handler, bound

MOST_FILES = 10_000
_SIZE = re.compile(r"\d{1,12}", re.ASCII)


class _Listening(Handler):
    """The page of a test; `POST answers` stores a rater's answers, `GET form` names the next counterbalanced order."""

    key: ClassVar[Key]
    answers: ClassVar[Path]

    def do_GET(self) -> None:
        if self.path.split("?")[0] == "/form" and self._asked_here():
            form = sum(1 for _ in self.answers.glob("*.json")) % len(self.key.forms)
            return self._reply(HTTPStatus.OK, {"form": form})
        return super().do_GET()

    def do_POST(self) -> None:
        if not self._asked_here() or not self._from_here():
            return self._reply(HTTPStatus.FORBIDDEN, {"error": "This server takes answers of its own page only."})
        if self.path != "/answers":
            return self._reply(HTTPStatus.NOT_FOUND, {"error": "Answers go to /answers."})
        size = self.headers.get("Content-Length", "")
        if not _SIZE.fullmatch(size) or int(size) > LARGEST_ANSWERS:
            self.close_connection = True
            return self._reply(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, {"error": "Too large, or of unknown size."})
        data = self.rfile.read(int(size))
        try:
            found = read_answers(data, self.key)
        except BadInput as error:
            return self._reply(HTTPStatus.BAD_REQUEST, {"error": error.problem})
        return self._reply(*_store(self.answers, found.rater, found.line().encode() + b"\n"))

    def _from_here(self) -> bool:
        """Whether the page that sends is this server's, as far as the browser says."""
        origin = self.headers.get("Origin")
        return origin is None or origin == f"http://{self.headers.get('Host', '')}"

    def _reply(self, status: HTTPStatus, body: dict[str, object]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def _store(folder: Path, rater: str, data: bytes) -> tuple[HTTPStatus, dict[str, object]]:
    """Write one new file; the same answers again are fine, other answers of the same rater are refused."""
    path = folder / f"{rater}.json"
    if not path.exists() and sum(1 for _ in folder.glob("*.json")) >= MOST_FILES:
        return HTTPStatus.INSUFFICIENT_STORAGE, {"error": f"The folder holds {MOST_FILES} files already."}
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        if path.is_file() and path.read_bytes() == data:
            return HTTPStatus.OK, {"stored": True}
        return HTTPStatus.CONFLICT, {"error": "This rater has handed in other answers."}
    except OSError as error:
        return HTTPStatus.INTERNAL_SERVER_ERROR, {"error": f"The answers cannot be stored ({error.strerror})."}
    return HTTPStatus.CREATED, {"stored": True}


def server(test: Path, port: int = 0) -> ThreadingHTTPServer:
    """A server for the test in a folder, not yet serving; port 0 takes any free port. Raises `BadInput` for a folder
    without a test and for a port in use."""
    test = Path(test).absolute()
    key = read_key(test)
    if not (test / PAGE / "index.html").is_file():
        raise BadInput(f"{test / PAGE} has no page.", "Make a test with: speech-eval listen build RUNS -o TEST")
    with disk_errors(test):
        (test / ANSWERS).mkdir(exist_ok=True)
    handler = type("_Test", (_Listening,), {"key": key, "answers": test / ANSWERS})
    return bound(handler, test / PAGE, port)


def serve(test: Path, port: int, ready: Callable[[str], None]) -> None:
    """Serve until interrupted; calls `ready` with the address."""
    with server(test, port) as made:
        ready(f"http://{HOST}:{made.server_port}/")
        made.serve_forever()

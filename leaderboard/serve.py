"""A preview server of a site for this machine: it listens on 127.0.0.1 only."""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Callable
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO

from speech_eval.errors import BadInput

HOST = "127.0.0.1"
_NAMES = (HOST, "localhost", "[::1]")
_HOST = re.compile(r"(?P<name>\[[^\]]*\]|[^:]*)(?::\d+)?")
_RANGE = re.compile(r"bytes=(\d{1,18})-(\d{0,18})", re.ASCII)
_BLOCK = 1 << 16
_TYPES = {".ogg": "audio/ogg", ".xml": "application/atom+xml"}


class Handler(SimpleHTTPRequestHandler):
    """Files of the site, with byte ranges: without them a browser cannot seek in audio."""

    timeout = 60  # seconds that a connection may be idle
    _length: int | None = None

    def send_head(self) -> Any:
        """The open file at the requested position, or None where a response has been sent already."""
        self._length = None
        if not self._asked_here():
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST, explain=f"This server answers to {HOST} only.")
            return None
        path = self._file()
        if path is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return None
        wanted = _RANGE.fullmatch(self.headers.get("Range", ""))
        if wanted is None or path.is_dir():
            return super().send_head()
        size = path.stat().st_size
        first = int(wanted[1])
        last = min(int(wanted[2] or size - 1), size - 1)
        if first > last:
            self.send_error(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
            return None
        file = path.open("rb")
        file.seek(first)
        self._length = last - first + 1
        self.send_response(HTTPStatus.PARTIAL_CONTENT)
        self.send_header("Content-Type", self.guess_type(str(path)))
        self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.send_header("Content-Length", str(self._length))
        self.end_headers()
        return file

    def _asked_here(self) -> bool:
        """Whether the request names this server. A page of another site may reach it under a name of its own."""
        host = _HOST.fullmatch(self.headers.get("Host", HOST).strip())
        return host is not None and host["name"].lower() in _NAMES

    def _file(self) -> Path | None:
        """The file, or folder with a page, that a request names; None for anything else, and outside the site."""
        try:
            path, site = Path(self.translate_path(self.path)), Path(self.directory).resolve()
            file = (path / "index.html" if path.is_dir() else path).resolve()
            if file.is_relative_to(site) and file.is_file():
                return path
        except (OSError, ValueError, RuntimeError):  # no path of this machine: too long, a NUL in it, links in a ring
            pass
        return None

    def guess_type(self, path: str | os.PathLike[str]) -> str:
        """The type of a file, Opus and Atom among them."""
        return _TYPES.get(Path(path).suffix) or super().guess_type(path)

    def end_headers(self) -> None:
        """State that ranges are supported and that pages must not be cached, as a site may be built again."""
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def copyfile(self, source: Any, outputfile: Any) -> None:
        """Send the file, or the requested range of it."""
        if self._length is None:
            super().copyfile(source, outputfile)
        else:
            _copy(source, outputfile, self._length)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: a page with players makes hundreds of requests."""


class _Server(ThreadingHTTPServer):
    """A server that says nothing where a browser breaks a connection off, as each does when it seeks in audio."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Show what went wrong, unless the other side went away."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def _copy(source: BinaryIO, target: BinaryIO, length: int) -> None:
    while length > 0 and (block := source.read(min(_BLOCK, length))):
        target.write(block)
        length -= len(block)


def server(site: Path, port: int = 0) -> ThreadingHTTPServer:
    """A server for the folder, not yet serving; port 0 takes any free port. Raises `BadInput` for a folder without a
    site and for a port in use."""
    if not (site / "index.html").is_file() or not (site / "data" / "leaderboard.json").is_file():
        raise BadInput(
            f"{site} does not contain a leaderboard.", "Build one with: speech-eval leaderboard build RUNS -o site"
        )
    return bound(Handler, site, port)


def bound(handler: type[Handler], folder: Path, port: int) -> ThreadingHTTPServer:
    """A server of the files in `folder` for this machine alone."""
    try:
        return _Server((HOST, port), functools.partial(handler, directory=str(folder)))
    except OSError as error:
        raise BadInput(f"Port {port} cannot be used ({error.strerror}).", "Choose another --port.") from error


def serve(site: Path, port: int, ready: Callable[[str], None]) -> None:
    """Serve until interrupted; calls `ready` with the address."""
    with server(site, port) as made:
        ready(f"http://{HOST}:{made.server_port}/")
        made.serve_forever()

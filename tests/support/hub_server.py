"""A small hub on this machine: it serves dataset repositories over the API that `huggingface_hub` and `datasets` speak.

A repository is a mapping of file names to bytes. Set `HF_ENDPOINT` to `url`, and `HF_HUB_OFFLINE` to 0, in a new
process: the libraries read both when they are imported.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

HEAD = hashlib.sha1(b"newest").hexdigest()  # the commit of `main` in every repository


class HubServer(ThreadingHTTPServer):
    """Serves `repos`, name to files, under every commit that is asked for. Files whose name matches one of `broken` are
    refused; `downloads` are the files that were given, in their order."""

    daemon_threads = True

    def __init__(self, repos: Mapping[str, Mapping[str, bytes]]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repos = repos
        self.broken: set[str] = set()
        self.downloads: list[str] = []
        self.commits: set[str] = set()
        self.unknown: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to use this hub."""
        return {
            "HF_ENDPOINT": self.url,
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }

    def __enter__(self) -> HubServer:
        Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_POST(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        given = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        address = urlsplit(self.path)
        parts = [unquote(part) for part in address.path.strip("/").split("/")]
        if parts[:2] == ["api", "datasets"] and len(parts) >= 4:
            return self._api("/".join(parts[2:4]), parts[4:], given)
        if parts[:1] == ["datasets"] and parts[3:4] == ["resolve"]:
            return self._file("/".join(parts[1:3]), parts[4], "/".join(parts[5:]), body)
        self._unknown()

    def _api(self, name: str, rest: list[str], given: str) -> None:
        files = self.server.repos.get(name)
        if files is None:
            return self._refuse(404, "RepoNotFound")
        match rest:
            case [] | ["revision", _]:
                commit = _commit(rest[1] if rest else "main")
                siblings = [{"rfilename": file} for file in files]
                about: dict[str, Any] = {"id": name, "sha": commit, "private": False, "gated": False, "disabled": False}
                return self._json({**about, "tags": [], "downloads": 0, "likes": 0, "siblings": siblings})
            case ["tree", _, *folder]:
                return self._json(
                    _tree(files, "/".join(folder), "recursive=True" in self.path or "recursive=true" in self.path)
                )
            case ["paths-info", _]:
                asked = json.loads(given)["paths"] if given.startswith("{") else parse_qs(given).get("paths", [])
                return self._json([entry for path in asked for entry in _entry(files, path)])
        self._unknown()

    def _file(self, name: str, revision: str, path: str, body: bool) -> None:
        data = self.server.repos.get(name, {}).get(path)
        if data is None:
            return self._refuse(404, "EntryNotFound")
        if any(fnmatch(path, pattern) for pattern in self.server.broken):
            return self._refuse(503, "")
        self.server.commits.add(f"{name}@{revision}")
        if body:
            self.server.downloads.append(f"{name}/{path}")
        headers = {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": _commit(revision)}
        self._send(200, data, {**headers, "Content-Type": "application/octet-stream"}, body)

    def _json(self, value: Any) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"}, self.command != "HEAD")

    def _unknown(self) -> None:
        self.server.unknown.append(f"{self.command} {self.path}")
        self._refuse(404, "")

    def _refuse(self, status: int, code: str) -> None:
        self._send(status, b"{}", {"X-Error-Code": code} if code else {}, self.command != "HEAD")

    def _send(self, status: int, data: bytes, headers: Mapping[str, str], body: bool) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body:
            self.wfile.write(data)


def _commit(revision: str) -> str:
    return revision if len(revision) == 40 else HEAD


def _entry(files: Mapping[str, bytes], path: str) -> list[dict[str, Any]]:
    if path in files:
        digest = hashlib.sha1(files[path]).hexdigest()
        return [{"type": "file", "path": path, "size": len(files[path]), "oid": digest}]
    inside = any(file.startswith(f"{path}/") for file in files)
    return [{"type": "directory", "path": path, "oid": hashlib.sha1(path.encode()).hexdigest()}] if inside else []


def _tree(files: Mapping[str, bytes], folder: str, recursive: bool) -> list[dict[str, Any]]:
    start = f"{folder}/" if folder else ""
    inside = [file for file in files if file.startswith(start)]
    if not recursive:
        inside = list(dict.fromkeys(start + file.removeprefix(start).split("/")[0] for file in inside))
    return [entry for path in inside for entry in _entry(files, path)]

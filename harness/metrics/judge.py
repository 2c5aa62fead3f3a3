"""LLM judges behind an OpenAI-compatible server. Every reply is stored, so that scoring can be repeated offline.

`SPEECH_EVAL_JUDGE` names the judge that metrics ask: `openai:URL#MODEL`, with the options of that adapter and
`prompts=FOLDER`, or `stored:MODEL`, which reads stored replies only and never connects. Replies are stored in
`SPEECH_EVAL_JUDGE_CACHE`, by default in the cache directory, one file per request, independent of the server.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from speech_eval.adapters import spec as modelspec
from speech_eval.assets import store as assets
from speech_eval.errors import BadInput, NotFetched

VARIABLE = "SPEECH_EVAL_JUDGE"
CACHE_VARIABLE = "SPEECH_EVAL_JUDGE_CACHE"


def configured() -> Judge | None:
    """The judge that `SPEECH_EVAL_JUDGE` names; None where it is not set."""
    spec = os.environ.get(VARIABLE, "").strip()
    return _judge(spec, replies_dir()) if spec else None


def prove() -> None:
    """Raise `NotFetched` where no judge is set, `EndpointError` where its server does not answer."""
    judge = configured()
    if judge is None:
        raise NotFetched("The task is scored by a judge, and none is set.", f"Set {VARIABLE}=openai:URL#MODEL.")
    judge.prove()


def replies_dir() -> Path:
    """The folder of the stored replies."""
    chosen = os.environ.get(CACHE_VARIABLE)
    return Path(chosen) if chosen else assets.cache_dir() / "judge-replies"


@lru_cache(maxsize=2)
def _judge(spec: str, folder: Path) -> Judge:
    return Judge(spec, folder)


class Judge:
    """A model that votes. Requests that were answered before are read from `folder`, without the server."""

    def __init__(self, spec: str, folder: Path) -> None:
        parsed = modelspec.parse(spec)
        scheme, _, rest = parsed.target.partition(":")
        url, _, named = rest.partition("#")
        self.model = rest if scheme == "stored" else named
        if scheme not in ("openai", "stored") or not self.model:
            raise BadInput(
                f"'{modelspec.redact(spec)}' is not a judge.",
                "Write openai:URL#MODEL, or stored:MODEL.",
            )
        self._url = url if scheme == "openai" else None
        self._options = dict(parsed.options)
        self._prompts = self._options.pop("prompts", None)
        self._folder = folder

    def prompt(self, name: str, default: str) -> str:
        """The prompt `name`: the file `NAME.txt` in the folder `prompts=`, else `default`."""
        if self._prompts is None:
            return default
        path = Path(str(self._prompts)) / f"{name}.txt"
        if not path.is_file():
            raise BadInput(f"{path}: no such prompt.", "Write the prompt there, or remove prompts=.")
        return path.read_text("utf-8")

    def identity(self, prompt: str) -> str:
        """Identity of a number by this judge: its model and the digest of the prompt."""
        return f"{self.model}, prompt {hashlib.sha256(prompt.encode()).hexdigest()[:8]}"

    def ask(
        self,
        messages: Sequence[Mapping[str, str]],
        *,
        votes: int,
        temperature: float,
        top_p: float,
        max_tokens: int,
    ) -> list[str]:
        """`votes` replies to the conversation, verbatim.

        Raises `NotFetched` where `stored:` has no such reply, `EndpointError` where the server fails.
        """
        request = {
            "model": self.model,
            "messages": [dict(message) for message in messages],
            "n": votes,
            "temperature": temperature,
            "top_p": top_p,
            "max_tokens": max_tokens,
        }
        line = json.dumps(request, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        path = self._folder / f"{hashlib.sha256(line.encode()).hexdigest()}.json"
        if path.is_file():
            return _stored(path, votes)
        if self._url is None:
            raise NotFetched(
                f"No reply of '{self.model}' is stored for this request under {self._folder}.",
                f"Name a server: {VARIABLE}=openai:URL#{self.model}",
            )
        replies = self._votes(request)
        _write(path, {"request": request, "replies": replies})
        return replies

    def prove(self) -> None:
        """Ask the server one short question. Raises `EndpointError` where it does not answer; with `stored:`, nothing
        is asked."""
        if self._url is not None:
            question = [{"role": "user", "content": "Reply with the digit 1."}]
            self._endpoint.complete({"model": self.model, "messages": question, "n": 1, "max_tokens": 8})

    def _votes(self, request: dict[str, Any]) -> list[str]:
        """Asks again until all votes are there, since some servers give one choice whatever `n` is."""
        replies: list[str] = []
        while len(replies) < request["n"]:
            replies += self._endpoint.complete({**request, "n": request["n"] - len(replies)})
        return replies[: request["n"]]

    @cached_property
    def _endpoint(self) -> Any:
        from speech_eval.adapters.remote.endpoint import Endpoint, EndpointError

        class ChatEndpoint(Endpoint):
            def complete(self, body: dict[str, Any]) -> list[str]:
                answer = self._json("chat/completions", json=body)
                try:
                    texts = [choice["message"]["content"] for choice in answer["choices"]]
                except (KeyError, TypeError) as error:
                    raise EndpointError(f"{self.url}: the answer has no choices.", "Check the URL.") from error
                if not texts or not all(isinstance(text, str) for text in texts):
                    raise EndpointError(f"{self.url}: a choice without text.", "Name a model that answers in text.")
                return texts

        return ChatEndpoint(str(self._url), self.model, **self._options)


def _stored(path: Path, votes: int) -> list[str]:
    try:
        replies = json.loads(path.read_text("utf-8"))["replies"]
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{path}: not a stored reply ({error!r}).", "Delete the file to ask again.") from error
    if not isinstance(replies, list) or len(replies) != votes or not all(isinstance(text, str) for text in replies):
        raise BadInput(f"{path}: not {votes} stored replies.", "Delete the file to ask again.")
    return replies


def _write(path: Path, record: dict[str, Any]) -> None:
    """Write the file atomically; several processes may write the same reply."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(record, file, ensure_ascii=False, indent=1)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(name).unlink()
        raise

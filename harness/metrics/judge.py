"""LLM judges that vote on answers. Every reply is stored, so that scoring can be repeated offline.

`--judge SPEC`, or the environment variable `SPEECH_EVAL_JUDGE`, names the judge that metrics ask: `openai:URL#MODEL`,
with the options of that adapter; `stored:MODEL`, which reads stored replies only and never connects; or the spec of a
language model of text, such as `smollm2` or `hf:ORG/REPO`, which runs here. The option `prompts=FOLDER` replaces this
project's prompts. Replies are stored in `SPEECH_EVAL_JUDGE_CACHE`, by default in the cache directory, one file per
request, independent of the server.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from speech_eval.adapters import spec as modelspec
from speech_eval.adapters.base import AudioLanguageModel, ChatRequest
from speech_eval.assets import store as assets
from speech_eval.audio import Audio
from speech_eval.errors import BadInput, NotFetched, SpeechEvalError
from speech_eval.text.files import read_record

VARIABLE = "SPEECH_EVAL_JUDGE"
CACHE_VARIABLE = "SPEECH_EVAL_JUDGE_CACHE"
NOT_COMPARABLE = "not comparable"  # in the identity of a judge: with the figures that the benchmark publishes
_LOCAL_TOKENS = 64  # of a vote by a model on this machine; small ones ramble
_CUT = ("length", "content_filter")  # reasons of a server to end a reply that may then have no text


@contextlib.contextmanager
def using(spec: str | None) -> Iterator[None]:
    """Have `spec` be the judge while the block runs, here and in processes that it starts. None changes nothing."""
    before = os.environ.get(VARIABLE)
    if spec is not None:
        os.environ[VARIABLE] = spec
    try:
        yield
    finally:
        if spec is not None:
            os.environ.pop(VARIABLE)
            os.environ.update({} if before is None else {VARIABLE: before})


def environment() -> dict[str, str]:
    """The variables that a process elsewhere needs to ask the same judge."""
    return {name: os.environ[name] for name in (VARIABLE, CACHE_VARIABLE) if name in os.environ}


def configured() -> Judge | None:
    """The judge that `--judge` or `SPEECH_EVAL_JUDGE` names; None where neither does."""
    spec = os.environ.get(VARIABLE, "").strip()
    return _judge(spec, replies_dir()) if spec else None


def prove() -> None:
    """Raise `NotFetched` where no judge is set, `EndpointError` where its server does not answer, and what a model that
    runs here raises where it cannot be loaded."""
    judge = configured()
    if judge is None:
        raise NotFetched("The task is scored by a judge, and none is set.", "Give --judge openai:URL#MODEL.")
    judge.prove()


def replies_dir() -> Path:
    """The folder of the stored replies."""
    chosen = os.environ.get(CACHE_VARIABLE)
    return Path(chosen) if chosen else assets.cache_dir() / "judge-replies"


@lru_cache(maxsize=2)
def _judge(spec: str, folder: Path) -> Judge:
    return Judge(spec, folder)


class Judge:
    """A model that votes. Requests that were answered before are read from `folder`, without the model.

    Raises `BadInput` for a spec that names no server, no stored judge and no language model.
    """

    def __init__(self, spec: str, folder: Path) -> None:
        parsed = modelspec.parse(spec)
        self._scheme, _, rest = parsed.target.partition(":")
        self._url, _, self._named = (
            rest.partition("#") if self._scheme == "openai" else ("", "", modelspec.unwrap(rest))
        )
        self._options = dict(parsed.options)
        self._prompts = self._options.pop("prompts", None)
        self._folder = folder
        self._local = None if self._scheme in ("openai", "stored") else _resolved(spec, parsed, self._options)
        if self._local is None and not self._named:
            raise BadInput(f"'{modelspec.redact(spec)}' is not a judge.", _SPECS)

    @cached_property
    def model(self) -> str:
        """The name under which replies are stored: the server's model, or the identity of one that runs here."""
        return self._named if self._local is None else self._local.identity(self._adapter.info())

    def prompt(self, name: str, default: str, *, optional: bool = False) -> str:
        """The prompt `name`: the file `NAME.txt` in the folder `prompts=`, else `default`. With such a folder the file
        must be there, unless it is `optional`."""
        if self._prompts is None:
            return default
        path = Path(str(self._prompts)) / f"{name}.txt"
        if optional and not path.is_file():
            return default
        if not path.is_file():
            raise BadInput(f"{path}: no such prompt.", "Write the prompt there, or remove prompts=.")
        return path.read_text("utf-8")

    def identity(self, prompt: str, official: tuple[str, str] | None = None) -> str:
        """Identity of a number by this judge: its model, the digest of the prompt, and `not comparable` unless both are
        `official`: the beginning of the model's name, and the digest of the benchmark's prompt without the white space
        around it."""
        same = official is not None and self.model.startswith(official[0]) and digest(prompt.strip()) == official[1]
        return f"{self.model}, prompt {digest(prompt)}{'' if same else f', {NOT_COMPARABLE}'}"

    def ask(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        votes: int,
        temperature: float,
        top_p: float,
        max_tokens: int,
    ) -> list[str]:
        """`votes` replies to the conversation, verbatim; empty where a server cut the reply before any text.

        The content of a message is a text, or a list of parts as in `ChatRequest`, of which recordings are stored by
        their digests. Raises `BadInput` for recordings and a judge that does not hear, `NotFetched` where `stored:` has
        no such reply, `EndpointError` where the server fails.
        """
        request = {
            "model": self.model,
            "messages": [{**message, "content": _stated(message["content"])} for message in messages],
            "n": votes,
            "temperature": temperature,
            "top_p": top_p,
            "max_tokens": max_tokens,
        }
        line = json.dumps(request, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        path = self._folder / f"{hashlib.sha256(line.encode()).hexdigest()}.json"
        if path.is_file():
            return _stored(path, votes)
        if self._scheme == "stored":
            raise NotFetched(
                f"No reply of '{self.model}' is stored for this request under {self._folder}.",
                f"Name a server: --judge openai:URL#{self.model}",
            )
        replies = self._votes(request, messages) if self._local is None else self._said(request, messages)
        _write(path, {"request": request, "replies": replies})
        return replies

    def prove(self) -> None:
        """Ask the server one short question, or load the model that runs here. Raises `EndpointError` where the server
        does not answer; with `stored:`, nothing is asked."""
        if self._local is not None:
            _ = self.model
        elif self._scheme == "openai":
            question = [{"role": "user", "content": "Reply with the digit 1."}]
            self._endpoint.complete({"model": self.model, "messages": question, "n": 1, "max_tokens": 8})

    def _votes(self, request: dict[str, Any], messages: Sequence[Mapping[str, Any]]) -> list[str]:
        """Asks again until all votes are there, since some servers give one choice whatever `n` is."""
        from speech_eval.adapters.remote.chat import content_of

        request = {**request, "messages": [{**m, "content": content_of(m["content"])} for m in messages]}
        replies: list[str] = []
        while len(replies) < request["n"]:
            replies += self._endpoint.complete({**request, "n": request["n"] - len(replies)})
        return replies[: request["n"]]

    def _said(self, request: dict[str, Any], messages: Sequence[Mapping[str, Any]]) -> list[str]:
        """The votes of the model that runs here, each drawn by a seed of its own."""
        parts = [{"role": message["role"], "content": self._parts(message["content"])} for message in messages]
        hears = any(part["type"] == "audio" for message in parts for part in message["content"])
        most = request["max_tokens"] if hears else min(request["max_tokens"], _LOCAL_TOKENS)
        asked = ChatRequest("judge", parts, max_new_tokens=most)
        return [
            self._adapter.reply([replace(asked, id=f"vote-{vote}", seed=vote)])[0].text or ""
            for vote in range(request["n"])
        ]

    def _parts(self, content: str | Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The parts of a message, recordings at the rate of the model that runs here."""
        if isinstance(content, str):
            return [{"type": "text", "text": content}]
        if not self._adapter.reads_audio and any(part["type"] == "audio" for part in content):
            raise BadInput(f"The judge '{self.model}' does not hear.", "Give --judge a model that takes audio.")
        rate = self._adapter.sample_rate
        return [
            {**part, "audio": part["audio"].resampled(rate)} if part["type"] == "audio" else dict(part)
            for part in content
        ]

    @cached_property
    def _adapter(self) -> AudioLanguageModel:
        assert self._local is not None
        adapter = self._local.build()
        assert isinstance(adapter, AudioLanguageModel)
        return adapter

    @cached_property
    def _endpoint(self) -> Any:
        from speech_eval.adapters.remote.endpoint import Endpoint, EndpointError

        class ChatEndpoint(Endpoint):
            def complete(self, body: dict[str, Any]) -> list[str]:
                answer = self._json("chat/completions", json=body)
                try:
                    choices = [(choice["message"].get("content"), choice) for choice in answer["choices"]]
                except (AttributeError, KeyError, TypeError) as error:
                    raise EndpointError(f"{self.url}: the answer has no choices.", "Check the URL.") from error
                texts = ["" if text is None and c.get("finish_reason") in _CUT else text for text, c in choices]
                if not texts or not all(isinstance(text, str) for text in texts):
                    raise EndpointError(f"{self.url}: a choice without text.", "Name a model that answers in text.")
                return texts

        return ChatEndpoint(self._url, self.model, **self._options)


_SPECS = "Write openai:URL#MODEL, stored:MODEL, or the spec of a language model of text, such as smollm2."
_SAMPLING = {"temperature": 0.5, "top_p": 0.95}  # of a model that runs here, unless its spec says otherwise


def _resolved(spec: str, parsed: modelspec.ModelSpec, options: Mapping[str, Any]) -> modelspec.ResolvedModel:
    """The language model of a spec, which samples its votes if it can."""
    try:
        found = modelspec.resolve(replace(parsed, options=dict(options)))
        known = inspect.signature(found.adapter_class).parameters
        drawn = {key: value for key, value in _SAMPLING.items() if key in known and key not in options}
        found = modelspec.resolve(replace(parsed, options={**options, **drawn}))
    except SpeechEvalError as error:
        raise BadInput(f"'{modelspec.redact(spec)}' is not a judge: {error.problem}", _SPECS) from error
    if "AudioLanguageModel" not in found.interfaces:
        raise BadInput(f"'{found.redacted}' is not a judge: it holds no conversation.", _SPECS)
    return found


def _stated(content: str | Sequence[Mapping[str, Any]]) -> Any:
    """The content of a message as it is stored: recordings by their digests."""
    if isinstance(content, str):
        return content
    return [
        {"type": "audio", "sha256": _audio_digest(part["audio"])} if part["type"] == "audio" else dict(part)
        for part in content
    ]


def _audio_digest(audio: Audio) -> str:
    return hashlib.sha256(f"{audio.rate} ".encode() + audio.samples.tobytes()).hexdigest()


def digest(text: str) -> str:
    """Eight hexadecimal digits that name a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _stored(path: Path, votes: int) -> list[str]:
    replies = read_record(path, "Delete the file to ask again.", "replies")["replies"]
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

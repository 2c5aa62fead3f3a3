"""The five interfaces of a worker: each method asks the worker's method of the same name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from speech_eval.adapters.base import (
    INTERFACES,
    Adapter,
    AudioCodec,
    AudioLanguageModel,
    ChatReply,
    ChatRequest,
    Codes,
    DuplexAgent,
    SpeechRecognizer,
    SpeechSynthesizer,
    SynthesisRequest,
    TranscriptionRequest,
)
from speech_eval.adapters.options import number, whole
from speech_eval.adapters.remote.worker.exchange import WorkerError
from speech_eval.adapters.remote.worker.folder import START_SECONDS, WorkerFolder, read_folder
from speech_eval.adapters.remote.worker.process import WorkerProcess
from speech_eval.audio import Audio
from speech_eval.errors import BadInput
from speech_eval.records import ModelInfo
from speech_eval.safety.redaction import names_credential

# The methods without which a worker does not have an interface.
_NEEDED = {
    "SpeechRecognizer": ("transcribe",),
    "SpeechSynthesizer": ("synthesize",),
    "AudioLanguageModel": ("reply",),
    "AudioCodec": ("encode", "decode"),
    "DuplexAgent": ("reset", "step"),
}


class _Worker(Adapter):
    """What the interfaces share: the process, and what the worker told about its model.

    `folder` holds `worker.toml` and `worker.py`; `python` is the interpreter of its environment, `start_timeout` the
    seconds that loading may take. All other options go to the worker's class.
    """

    code_files: ClassVar[Sequence[Path]] = ()  # the worker's own, which identify the model

    def __init__(self, folder: str, python: str = "", start_timeout: float = START_SECONDS, **options: Any) -> None:
        self._described = read_folder(folder)
        seconds = number("start_timeout", start_timeout, above=True, unit="seconds")
        interpreter, script = self._described.interpreter(python), self._described.script.absolute()
        secrets = [str(value) for name, value in options.items() if value and names_credential(name)]
        command, path = [str(interpreter), str(script)], self._described.search_path
        self._process = WorkerProcess(f"worker:{folder}", command, path, secrets)
        self._told = self._process.load(options, seconds)
        try:
            self._take(self._told)
        except BaseException:
            self.close()
            raise

    def _take(self, told: Any) -> None:
        """Check and take over what the worker told about itself."""
        self._methods = set(map(str, told.get("methods") or ()))
        for interface in self._described.interfaces:
            if missing := [name for name in _NEEDED[interface] if name not in self._methods]:
                raise BadInput(
                    f"worker:{self._described.path}: the worker has no method {' and '.join(missing)}.",
                    f"Add what a {interface} needs, or leave {interface} out of worker.toml.",
                )
        attributes = told.get("attributes")
        self._attributes: dict[str, Any] = attributes if isinstance(attributes, dict) else {}
        if (rate := self._attributes.get("sample_rate")) is not None:
            self.sample_rate = whole("sample_rate", rate, 1000, 384_000)
        if (seconds := self._attributes.get("chunk_seconds")) is not None:
            self.chunk_seconds = number("chunk_seconds", seconds, 0.0, 60.0, above=True, unit="seconds")

    def info(self) -> ModelInfo:
        """What the worker's `info` says of the model; else what `worker.toml` does."""
        stated = self._attributes.get("info")
        own = {key: str(value)[:500] for key, value in stated.items()} if isinstance(stated, dict) else {}
        described = self._described
        wraps = {"repository": described.repository, "commit": described.commit, "python": self._told.get("python")}
        return ModelInfo(
            name=own.pop("name", described.path.resolve().name),
            revision=own.pop("revision", described.commit),
            license=own.pop("license", described.license),
            weights_sha256=own.pop("weights_sha256", ""),
            metadata={"worker": {key: str(value)[:500] for key, value in wraps.items() if value}, **own},
        )

    def close(self) -> None:
        self._process.close()

    def _call(self, method: str, *arguments: Any, seed: int = 0) -> Any:
        return self._process.call(method, *arguments, seed=seed)

    def _pieces(self, method: str, whole_method: str, request: Any, seed: int) -> Iterator[Any]:
        """The pieces of a streamed answer; the whole answer of `whole_method` from a worker that cannot stream."""
        used = method if method in self._methods else whole_method
        for event, value in self._process.events(used, request, seed=seed):
            if event == "chunk" or value is not None or used != method:
                yield value


class WorkerRecognizer(_Worker, SpeechRecognizer):
    """`transcribe(request)` gives a text; `transcribe_stream` yields the text so far."""

    def transcribe(self, requests: Sequence[TranscriptionRequest]) -> list[str]:
        return [_text(self._call("transcribe", _recognition(r), seed=r.seed)) for r in requests]

    def transcribe_stream(self, request: TranscriptionRequest) -> Iterator[str]:
        pieces = self._pieces("transcribe_stream", "transcribe", _recognition(request), request.seed)
        return map(_text, pieces)


class WorkerSynthesizer(_Worker, SpeechSynthesizer):
    """`synthesize(request)` gives audio; `stream` yields it in pieces."""

    def synthesize(self, requests: Sequence[SynthesisRequest]) -> list[Audio]:
        return [_audio(self._call("synthesize", _synthesis(r), seed=r.seed)) for r in requests]

    def stream(self, request: SynthesisRequest) -> Iterator[Audio]:
        return map(_audio, self._pieces("stream", "synthesize", _synthesis(request), request.seed))


class WorkerChat(_Worker, AudioLanguageModel):
    """`reply(request)` gives a text, or a dict of `text` and `audio`; `reply_stream` yields such pieces."""

    def reply(self, requests: Sequence[ChatRequest]) -> list[ChatReply]:
        return [_reply(self._call("reply", _chat(r), seed=r.seed)) for r in requests]

    def reply_stream(self, request: ChatRequest) -> Iterator[ChatReply]:
        return map(_reply, self._pieces("reply_stream", "reply", _chat(request), request.seed))


class WorkerCodec(_Worker, AudioCodec):
    """`encode(audio)` gives a dict of `codebooks`, `frame_rates`, `codebook_sizes` and perhaps `metadata`, which
    `decode(codes)` gets back; `stream_decode` yields audio in pieces."""

    @property
    def depths(self) -> Sequence[int]:
        return [whole("depths", depth) for depth in self._attributes.get("depths") or ()]

    def encode(self, audios: Sequence[Audio]) -> list[Codes]:
        return [_codes(self._call("encode", audio)) for audio in audios]

    def decode(self, codes: Sequence[Codes]) -> list[Audio]:
        return [_audio(self._call("decode", _plain(item))) for item in codes]

    def stream_decode(self, codes: Codes) -> Iterator[Audio]:
        return map(_audio, self._pieces("stream_decode", "decode", _plain(codes), 0))


class WorkerAgent(_Worker, DuplexAgent):
    """`reset()` begins a conversation, `step(audio)` gives the audio of the agent's next `chunk_seconds`."""

    def reset(self) -> None:
        self._call("reset")

    def step(self, user_chunk: Audio) -> Audio:
        return _audio(self._call("step", user_chunk))


class Worker(WorkerRecognizer, WorkerSynthesizer, WorkerChat, WorkerCodec, WorkerAgent):
    """All five interfaces; `worker_class` gives the ones that a worker has."""


_BY_INTERFACE: dict[str, type[_Worker]] = {
    "SpeechRecognizer": WorkerRecognizer,
    "SpeechSynthesizer": WorkerSynthesizer,
    "AudioLanguageModel": WorkerChat,
    "AudioCodec": WorkerCodec,
    "DuplexAgent": WorkerAgent,
}


def worker_class(folder: WorkerFolder) -> type[Adapter]:
    """The adapter class of a worker's interfaces and files."""
    return _class(tuple(name for name in INTERFACES if name in folder.interfaces), tuple(folder.code))


@cache
def _class(interfaces: tuple[str, ...], code: tuple[Path, ...]) -> type[Adapter]:
    return type("Worker", tuple(_BY_INTERFACE[name] for name in interfaces), {"code_files": code})


# ------------------------------------------------------------------------------------------- requests and answers


def _recognition(request: TranscriptionRequest) -> dict[str, Any]:
    return _request(id=request.id, audio=request.audio, language=request.language, seed=request.seed)


def _synthesis(request: SynthesisRequest) -> dict[str, Any]:
    voice = {"prompt_audio": request.prompt_audio, "prompt_text": request.prompt_text}
    told = {"instruction": request.instruction} if request.instruction else {}
    return _request(id=request.id, text=request.text, language=request.language, seed=request.seed, **voice, **told)


def _chat(request: ChatRequest) -> dict[str, Any]:
    longest = request.max_new_tokens
    return _request(id=request.id, messages=request.messages, seed=request.seed, max_new_tokens=longest)


def _request(**fields: Any) -> dict[str, Any]:
    return {"$request": fields}


def _plain(codes: Codes) -> dict[str, Any]:
    return {
        "codebooks": list(codes.codebooks),
        "frame_rates": list(codes.frame_rates),
        "codebook_sizes": list(codes.codebook_sizes),
        "metadata": dict(codes.metadata),
    }


def _text(answer: Any) -> str:
    if not isinstance(answer, str):
        raise WorkerError(f"The worker answered {_kind(answer)}, not a text.")
    return answer


def _audio(answer: Any) -> Audio:
    if not isinstance(answer, Audio):
        raise WorkerError(f"The worker answered {_kind(answer)}, not an Audio.")
    return answer


def _reply(answer: Any) -> ChatReply:
    found = answer if isinstance(answer, dict) else {"text": answer}
    text, audio = found.get("text"), found.get("audio")
    if text is None and audio is None:
        raise WorkerError(f"The worker answered {_kind(answer)}, neither a text nor a dict of text and audio.")
    return ChatReply(None if text is None else _text(text), None if audio is None else _audio(audio))


def _codes(answer: Any) -> Codes:
    try:
        books = [np.asarray(book if len(book) else np.zeros(0, dtype=np.int64)) for book in answer["codebooks"]]
        rates = [float(rate) for rate in answer["frame_rates"]]
        sizes = [int(size) for size in answer["codebook_sizes"]]
        metadata = dict(answer.get("metadata") or {})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WorkerError(
            f"The worker's answer to encode has no codebooks, rates and sizes ({error!r:.200})."
        ) from error
    if not len(books) == len(rates) == len(sizes):
        raise WorkerError(f"The worker gave {len(books)} codebooks, {len(rates)} frame rates and {len(sizes)} sizes.")
    return Codes(books, rates, sizes, metadata)


def _kind(answer: Any) -> str:
    return "nothing" if answer is None else type(answer).__name__

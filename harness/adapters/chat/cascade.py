"""`cascade:ASR+LLM+TTS`: a recognizer, a text model and a synthesizer in a row, the baseline of spoken dialogue."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from speech_eval.adapters.base import (
    Adapter,
    AudioLanguageModel,
    ChatReply,
    ChatRequest,
    SpeechRecognizer,
    SpeechSynthesizer,
    SynthesisRequest,
    TranscriptionRequest,
)
from speech_eval.adapters.catalog import Target
from speech_eval.adapters.checkpoints import combined_digest
from speech_eval.adapters.options import whole
from speech_eval.adapters.spec import ResolvedModel, redact, resolve, split, unwrap
from speech_eval.audio import Audio
from speech_eval.errors import BadInput, SpeechEvalError
from speech_eval.records import ModelInfo

_INTERFACES = {"asr": "SpeechRecognizer", "llm": "AudioLanguageModel", "tts": "SpeechSynthesizer"}

Request = TypeVar("Request")
Answer = TypeVar("Answer")


class CascadeError(SpeechEvalError):
    """A part of a cascade failed; the message names it."""


class Cascade(AudioLanguageModel):
    """`ASR+LLM+TTS`, or `ASR+LLM` for replies in text only.

    Each part is a model spec, in brackets where it has options: `[whisper-base,num_beams=5]+smollm2`. Audio parts of a
    conversation are transcribed in `language`, the text model answers, and its answer is spoken. `system` is put before
    conversations that have no system message; `max_new_tokens` overrides the request's. Whatever a part raises becomes
    a `CascadeError` that names it.
    """

    def __init__(
        self,
        parts: str,
        language: str = "en",
        system: str | None = None,
        max_new_tokens: int | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        self.language = language
        self.system = system
        self.max_new_tokens = None if max_new_tokens is None else whole("max_new_tokens", max_new_tokens)
        self._models = resolve_parts(parts, trust_remote_code)
        self._parts = {role: _build(role, part) for role, part in self._models.items()}
        self.sample_rate = self._asr.sample_rate

    @property
    def _asr(self) -> SpeechRecognizer:
        part = self._parts["asr"]
        assert isinstance(part, SpeechRecognizer)
        return part

    def info(self) -> ModelInfo:
        parts = {role: self._models[role].describe(part) for role, part in self._parts.items()}
        counts = [part.parameters for part in parts.values()]
        own = {"language": self.language, "system": self.system, "max_new_tokens": self.max_new_tokens}
        return ModelInfo(
            name="+".join(part.name for part in parts.values()),
            revision=combined_digest({role: part.digest() for role, part in parts.items()}),
            weights_sha256=combined_digest({role: part.weights_sha256 for role, part in parts.items()}),
            license="; ".join(dict.fromkeys(part.license for part in parts.values() if part.license)),
            parameters=None if None in counts else sum(count for count in counts if count is not None),
            metadata={
                **{key: value for key, value in own.items() if value is not None},
                **{role: part.model_dump(mode="json", exclude_none=True) for role, part in parts.items()},
            },
        )

    def close(self) -> None:
        for part in self._parts.values():
            part.close()

    def reply(self, requests: Sequence[ChatRequest]) -> list[ChatReply]:
        """Text replies, with speech where the cascade has a synthesizer and the text is not empty."""
        llm = self._parts["llm"]
        assert isinstance(llm, AudioLanguageModel)
        answers = self._run("llm", llm.reply, self._transcribed(requests))
        texts = [answer.text or "" for answer in answers]
        if "tts" not in self._parts:
            return [ChatReply(text=text) for text in texts]
        tts = self._parts["tts"]
        assert isinstance(tts, SpeechSynthesizer)
        spoken = [
            SynthesisRequest(id=request.id, text=text, language=self.language, seed=request.seed)
            for request, text in zip(requests, texts, strict=True)
            if text.strip()
        ]
        speech = iter(self._run("tts", tts.synthesize, spoken))
        return [ChatReply(text=text, audio=next(speech) if text.strip() else None) for text in texts]

    def reply_stream(self, request: ChatRequest) -> Iterator[ChatReply]:
        """The text as the text model streams it, then its speech as the synthesizer does."""
        llm = self._parts["llm"]
        assert isinstance(llm, AudioLanguageModel)
        (written,) = self._transcribed([request])
        text = ""
        for piece in self._stream("llm", llm.reply_stream(written)):
            text += piece.text or ""
            yield ChatReply(text=piece.text)
        tts = self._parts.get("tts")
        if tts is None or not text.strip():
            return
        assert isinstance(tts, SpeechSynthesizer)
        spoken = SynthesisRequest(id=request.id, text=text, language=self.language, seed=request.seed)
        for audio in self._stream("tts", tts.stream(spoken)):
            yield ChatReply(audio=audio)

    def _transcribed(self, requests: Sequence[ChatRequest]) -> list[ChatRequest]:
        """The same conversations as the text model is asked."""
        return [self._for_llm(request, list(map(dict, request.messages))) for request in self.written(requests)]

    def written(self, requests: Sequence[ChatRequest]) -> list[ChatRequest]:
        """The same conversations as text. All their audio goes through the recognizer in full batches."""
        return written_out(
            requests,
            lambda wanted: self._run("asr", self._asr.transcribe, wanted),
            self._asr.sample_rate,
            self.language,
        )

    def _for_llm(self, request: ChatRequest, messages: list[dict[str, Any]]) -> ChatRequest:
        if self.system and not any(message["role"] == "system" for message in messages):
            messages = [{"role": "system", "content": [{"type": "text", "text": self.system}]}, *messages]
        return replace(request, messages=messages, max_new_tokens=self.max_new_tokens or request.max_new_tokens)

    def _run(
        self, role: str, method: Callable[[Sequence[Request]], list[Answer]], requests: Sequence[Request]
    ) -> list[Answer]:
        """A part's answers, in batches of its own size."""
        size, answers = self._parts[role].batch_size, []
        try:
            for start in range(0, len(requests), size):
                answers += method(requests[start : start + size])
        except Exception as error:
            raise self._broken(role, error) from error
        return answers

    def _stream(self, role: str, pieces: Iterator[Answer]) -> Iterator[Answer]:
        """A part's answer as it arrives."""
        try:
            yield from pieces
        except Exception as error:
            raise self._broken(role, error) from error

    def _broken(self, role: str, error: Exception) -> CascadeError:
        return CascadeError(f"The {role.upper()} '{self._models[role].redacted}' of the cascade failed: {error}")


def written_out(
    requests: Sequence[ChatRequest],
    transcribe: Callable[[Sequence[TranscriptionRequest]], list[str]],
    sample_rate: int,
    language: str,
) -> list[ChatRequest]:
    """The conversations with what `transcribe` hears, at `sample_rate`, in place of each recording. It is asked once,
    for all recordings."""
    wanted = [
        TranscriptionRequest(
            id=f"{request.id} (message {m}, part {p})",
            load_audio=_loader(part["audio"], sample_rate),
            language=language,
            seed=request.seed,
        )
        for request in requests
        for m, message in enumerate(request.messages)
        for p, part in enumerate(_content(message))
        if part["type"] == "audio"
    ]
    heard = iter(transcribe(wanted) if wanted else [])

    def as_text(message: Mapping[str, Any]) -> dict[str, Any]:
        parts = [
            {"type": "text", "text": next(heard)} if part["type"] == "audio" else dict(part)
            for part in _content(message)
        ]
        return {"role": message["role"], "content": parts}

    return [replace(request, messages=[as_text(message) for message in request.messages]) for request in requests]


def scheme(rest: str, options: dict[str, Any], trust_remote_code: bool) -> Target:
    """`cascade:ASR+LLM+TTS` or `cascade:ASR+LLM`."""
    trust = {"trust_remote_code": True} if trust_remote_code else {}
    return Cascade, {"parts": rest, **trust, **options}


def resolve_parts(text: str, trust_remote_code: bool = False) -> dict[str, ResolvedModel]:
    """The models of `ASR+LLM[+TTS]` by role. Raises `BadInput` for another number of parts or one of another kind."""
    pieces = [unwrap(piece.strip()) for piece in split(text, "+")]
    if len(pieces) not in (2, 3) or not all(pieces):
        raise BadInput(
            f"cascade:{redact(text)} does not name two or three models.",
            "Write cascade:ASR+LLM or cascade:ASR+LLM+TTS; a part with options stands in brackets: [NAME,key=value].",
        )
    return {role: _resolve(role, piece, trust_remote_code) for role, piece in zip(_INTERFACES, pieces, strict=False)}


def _resolve(role: str, text: str, trust_remote_code: bool) -> ResolvedModel:
    try:
        part = resolve(text, trust_remote_code=trust_remote_code)
    except SpeechEvalError as error:
        raise _named(error, role, redact(text)) from error
    if _INTERFACES[role] not in part.interfaces:
        raise BadInput(
            f"The {role.upper()} '{part.redacted}' of the cascade is not a {_INTERFACES[role]}.",
            "Order the parts as ASR+LLM+TTS.",
        )
    return part


def _build(role: str, part: ResolvedModel) -> Adapter:
    try:
        return part.build()
    except SpeechEvalError as error:
        raise _named(error, role, part.redacted) from error


def _named(error: SpeechEvalError, role: str, name: str) -> BadInput:
    return BadInput(f"The {role.upper()} '{name}' of the cascade: {error.problem}", error.remedy)


def _content(message: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _loader(audio: Audio, rate: int) -> Callable[[], Audio]:
    return lambda: audio.resampled(rate)

"""A recognizer, a text model and a synthesizer in a row: the baseline for every spoken-dialogue task."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from speech_eval.adapters import checkpoints as torch_support
from speech_eval.adapters import spec as modelspec
from speech_eval.adapters.base import (
    INTERFACES,
    Adapter,
    AudioLanguageModel,
    ChatReply,
    ChatRequest,
    SpeechRecognizer,
    SpeechSynthesizer,
    SynthesisRequest,
    TranscriptionRequest,
)
from speech_eval.audio import Audio
from speech_eval.errors import BadInput, SpeechEvalError
from speech_eval.records import ModelInfo

_INTERFACES = {
    "asr": INTERFACES["SpeechRecognizer"],
    "llm": INTERFACES["AudioLanguageModel"],
    "tts": INTERFACES["SpeechSynthesizer"],
}

Request = TypeVar("Request")
Answer = TypeVar("Answer")


class CascadeError(SpeechEvalError):
    """A part of a cascade failed; the message names it."""


class Cascade(AudioLanguageModel):
    """`ASR+LLM+TTS`, or `ASR+LLM` for replies in text alone.

    Each part is a model spec; its options stand in brackets, separated by semicolons: `whisper-base[num_beams=5]`.
    Audio parts of a conversation are transcribed in `language`, the text model answers, its answer is spoken.
    `system` is put before conversations that have no system message; `max_new_tokens` overrides the request's.
    Whatever a part raises becomes a `CascadeError` naming it.
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
        self.max_new_tokens = (
            None if max_new_tokens is None else torch_support.positive("max_new_tokens", max_new_tokens)
        )
        self._specs = dict(zip(_INTERFACES, split_parts(parts), strict=False))
        self._parts = {role: _build(role, spec, trust_remote_code) for role, spec in self._specs.items()}
        self.sample_rate = self._asr.sample_rate

    @property
    def _asr(self) -> SpeechRecognizer:
        part = self._parts["asr"]
        assert isinstance(part, SpeechRecognizer)
        return part

    def info(self) -> ModelInfo:
        parts = {role: modelspec.describe(self._specs[role], part) for role, part in self._parts.items()}
        counts = [part.parameters for part in parts.values()]
        own = {"language": self.language, "system": self.system, "max_new_tokens": self.max_new_tokens}
        return ModelInfo(
            spec="",
            name="+".join(part.name for part in parts.values()),
            interfaces=[],
            revision=torch_support.combined_digest({role: part.digest() for role, part in parts.items()}),
            weights_sha256=torch_support.combined_digest({role: part.weights_sha256 for role, part in parts.items()}),
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
        """The same conversations in text alone. All their audio goes through the recognizer in full batches."""
        wanted = [
            TranscriptionRequest(
                id=f"{request.id} (message {m}, part {p})",
                load_audio=_loader(part["audio"], self._asr.sample_rate),
                language=self.language,
                seed=request.seed,
            )
            for request in requests
            for m, message in enumerate(request.messages)
            for p, part in enumerate(_content(message))
            if part["type"] == "audio"
        ]
        heard = iter(self._run("asr", self._asr.transcribe, wanted))

        def written(message: Mapping[str, Any]) -> dict[str, Any]:
            parts = [
                {"type": "text", "text": next(heard)} if part["type"] == "audio" else dict(part)
                for part in _content(message)
            ]
            return {"role": message["role"], "content": parts}

        return [self._for_llm(request, [written(message) for message in request.messages]) for request in requests]

    def _for_llm(self, request: ChatRequest, messages: list[dict[str, Any]]) -> ChatRequest:
        if self.system and not any(message["role"] == "system" for message in messages):
            messages = [{"role": "system", "content": [{"type": "text", "text": self.system}]}, *messages]
        return replace(request, messages=messages, max_new_tokens=self.max_new_tokens or request.max_new_tokens)

    def _run(
        self, role: str, method: Callable[[Sequence[Request]], list[Answer]], requests: Sequence[Request]
    ) -> list[Answer]:
        """A part's answers, asked for in batches of the size it takes."""
        size, answers = self._parts[role].batch_size, []
        try:
            for start in range(0, len(requests), size):
                answers += method(requests[start : start + size])
        except Exception as error:
            raise self._broken(role, error) from error
        return answers

    def _stream(self, role: str, pieces: Iterator[Answer]) -> Iterator[Answer]:
        """A part's answer as it comes."""
        try:
            yield from pieces
        except Exception as error:
            raise self._broken(role, error) from error

    def _broken(self, role: str, error: Exception) -> CascadeError:
        name = modelspec.redact(self._specs[role].text)
        return CascadeError(f"The {role.upper()} '{name}' of the cascade failed: {error}")


def split_parts(text: str) -> list[modelspec.ModelSpec]:
    """The specs of `ASR+LLM[+TTS]`. Raises `BadInput` for another number of parts or options out of shape."""
    pieces = re.split(r"\+(?![^\[]*\])", text)
    if len(pieces) not in (2, 3) or not all(piece.strip() for piece in pieces):
        raise BadInput(f"cascade:{text} does not name two or three models.", "Write cascade:ASR+LLM or ASR+LLM+TTS.")
    return [_part(piece.strip()) for piece in pieces]


def _part(text: str) -> modelspec.ModelSpec:
    match = re.fullmatch(r"([^\[\]]+)(?:\[([^\[\]]*)\])?", text)
    if match is None:
        raise BadInput(f"The cascade's part '{text}' is out of shape.", "Write options as NAME[key=value;key=value].")
    target, options = match.groups()
    return modelspec.parse(",".join([target, *(options.split(";") if options else [])]))


def _build(role: str, spec: modelspec.ModelSpec, trust_remote_code: bool) -> Adapter:
    name = modelspec.redact(spec.text)
    try:
        adapter = modelspec.build(spec, trust_remote_code=trust_remote_code)
    except SpeechEvalError as error:
        raise BadInput(f"The {role.upper()} '{name}' of the cascade: {error.problem}", error.remedy) from error
    if not isinstance(adapter, _INTERFACES[role]):
        raise BadInput(
            f"The {role.upper()} '{name}' of the cascade is no {_INTERFACES[role].__name__}.",
            "Order the parts as ASR+LLM+TTS.",
        )
    return adapter


def _content(message: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _loader(audio: Audio, rate: int) -> Callable[[], Audio]:
    return lambda: audio.resampled(rate)

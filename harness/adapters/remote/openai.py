"""`openai:URL#MODEL`: models behind an OpenAI-compatible HTTP server: transcription, speech, and chat with audio.

`OpenAIEndpoint` offers all three; the option `kind=transcription`, `kind=speech` or `kind=chat` gives an adapter with
that interface only.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from speech_eval.adapters.base import (
    AudioLanguageModel,
    ChatReply,
    ChatRequest,
    SpeechRecognizer,
    SpeechSynthesizer,
    SynthesisRequest,
    TranscriptionRequest,
)
from speech_eval.adapters.catalog import Target
from speech_eval.adapters.options import choice
from speech_eval.adapters.remote.endpoint import Endpoint, EndpointError, words
from speech_eval.audio import Audio, read, wav_bytes
from speech_eval.audio import stream as audio_stream
from speech_eval.audio.wav import PCMReader
from speech_eval.errors import BadInput
from speech_eval.text import primary_language


class OpenAITranscription(Endpoint, SpeechRecognizer):
    """`POST /audio/transcriptions`: 16-bit WAV at 16 kHz out, JSON with `text` back. Temperature 0."""

    def transcribe(self, requests: Sequence[TranscriptionRequest]) -> list[str]:
        return self._map(self._transcribe, requests)

    def _transcribe(self, request: TranscriptionRequest) -> str:
        language = primary_language(request.language)
        answer = self._json(
            "audio/transcriptions",
            data={
                **self._model_field(),
                **{"response_format": "json", "temperature": "0"},
                **({} if language == "und" else {"language": language}),
            },
            files={"file": ("audio.wav", wav_bytes(request.audio), "audio/wav")},
        )
        text = answer.get("text") if isinstance(answer, dict) else None
        if not isinstance(text, str):
            raise EndpointError(f"{self.url}/audio/transcriptions: the answer has no 'text'.", "Check the URL.")
        return text


class OpenAISpeech(Endpoint, SpeechSynthesizer):
    """`POST /audio/speech` in `voice`, as `response_format` wav, or pcm (16-bit at `pcm_rate` Hz, without a header);
    audio in another format is taken by its content.

    `stream` yields samples as the bytes arrive. The API has no fields for a voice prompt, a language or a seed.
    """

    def synthesize(self, requests: Sequence[SynthesisRequest]) -> list[Audio]:
        return self._map(self._synthesize, requests)

    def _synthesize(self, request: SynthesisRequest) -> Audio:
        chunks = list(self.stream(request))
        if not chunks:
            raise EndpointError(f"{self.url}/audio/speech: the answer has no audio.", "See the server's log.")
        return Audio(np.concatenate([chunk.samples for chunk in chunks]), chunks[0].rate)

    def stream(self, request: SynthesisRequest) -> Iterator[Audio]:
        if not request.text.strip():
            raise BadInput(f"{request.id}: there is no text to speak.", "Give the sample a text.")
        body = {
            **self._model_field(),
            "input": request.text,
            "voice": self.voice,
            "response_format": self.response_format,
        }
        what = f"{self.url}/audio/speech"
        rate = self.pcm_rate if self.response_format == "pcm" else None
        with self._post("audio/speech", json=body) as response:
            try:
                yield from audio_stream(self._bytes(response), what, rate)
            except self._httpx.HTTPError as error:
                raise self._unreachable(error) from error


class OpenAIChat(Endpoint, AudioLanguageModel):
    """`POST /chat/completions` with text and `input_audio` parts. Temperature 0, the request's seed.

    `speak=true` asks for speech in `voice` too; the reply's text is then the transcript the server gives with it. As a
    stream (server-sent events) speech is 16-bit PCM at `pcm_rate` Hz; a server may also send the whole answer at once.
    """

    def reply(self, requests: Sequence[ChatRequest]) -> list[ChatReply]:
        return self._map(self._reply, requests)

    def reply_stream(self, request: ChatRequest) -> Iterator[ChatReply]:
        what = f"{self.url}/chat/completions"
        pcm = PCMReader(self.pcm_rate, what)
        with self._post("chat/completions", json=self._body(request, "pcm16") | {"stream": True}) as response:
            try:
                if not response.headers.get("content-type", "").startswith("text/event-stream"):
                    yield self._whole(self._parsed(self._read(response, self._longest), "chat/completions"))
                    return
                for event in self._events(self._lines(response), what):
                    if (piece := _piece(event, pcm, what)) is not None:
                        yield piece
            except self._httpx.HTTPError as error:
                raise self._unreachable(error) from error
        pcm.finish()

    def _events(self, lines: Iterable[str], what: str) -> Iterator[Any]:
        """The parsed `data` of an event stream up to its end, which must be there: `[DONE]` or a `finish_reason`."""
        ended = False
        for line in lines:
            if not line.startswith("data:"):
                continue
            data = line.removeprefix("data:").strip()
            if data == "[DONE]":
                return
            event = self._parsed(data.encode(), "chat/completions")
            if isinstance(event, dict) and event.get("error"):
                raise EndpointError(f"{what}: {self._safe(words(data))}.", "See the server's log.")
            choices = event.get("choices") if isinstance(event, dict) else None
            ended = ended or any(choice.get("finish_reason") for choice in choices or [])
            yield event
        if not ended:
            raise EndpointError(f"{what}: the stream was cut short.", "See the server's log.")

    def _reply(self, request: ChatRequest) -> ChatReply:
        return self._whole(self._json("chat/completions", json=self._body(request, "wav")))

    def _body(self, request: ChatRequest, audio_format: str) -> dict[str, Any]:
        body: dict[str, Any] = {
            **self._model_field(),
            "messages": [{"role": m["role"], "content": _content(m["content"])} for m in request.messages],
            "max_tokens": request.max_new_tokens,
            "temperature": 0,
            "seed": request.seed,
        }
        if self.speak:
            body |= {"modalities": ["text", "audio"], "audio": {"voice": self.voice, "format": audio_format}}
        return body

    def _whole(self, answer: Any) -> ChatReply:
        """The reply in an answer that is not a stream."""
        try:
            message = answer["choices"][0]["message"]
            text, audio = message.get("content"), message.get("audio") or {}
            if isinstance(text, list):
                text = "".join(part.get("text", "") for part in text)
            data, transcript = audio.get("data"), audio.get("transcript")
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise EndpointError(f"{self.url}/chat/completions: the answer has no message.", "Check the URL.") from error
        speech = self._decode(data) if data else None
        return ChatReply(text=transcript if text is None and speech is not None else text or "", audio=speech)

    def _decode(self, data: str) -> Audio:
        what = f"{self.url}/chat/completions"
        try:
            content = base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError, TypeError) as error:
            raise EndpointError(f"{what}: the audio is not base64.", "See the server's log.") from error
        return read(content, what)


class OpenAIEndpoint(OpenAITranscription, OpenAISpeech, OpenAIChat):
    """All three interfaces on one server, with the options of `Endpoint`."""


_KINDS: Mapping[str, type[Endpoint]] = {
    "auto": OpenAIEndpoint,
    "transcription": OpenAITranscription,
    "speech": OpenAISpeech,
    "chat": OpenAIChat,
}


def scheme(rest: str, options: dict[str, Any], trust_remote_code: bool) -> Target:
    """`openai:URL#MODEL`; the option `kind` narrows the interfaces."""
    url, _, model = rest.partition("#")
    kind = choice("kind", options.pop("kind", "auto"), tuple(_KINDS))
    return _KINDS[kind], {"url": url, "model": model, **options}


def _piece(event: Any, pcm: PCMReader, what: str) -> ChatReply | None:
    """The piece of the reply in one event of a chat stream; None for an event without one."""
    try:
        choices = event["choices"]
        delta = choices[0].get("delta") or {} if choices else {}
        audio = delta.get("audio") or {}
        text, data = delta.get("content") or audio.get("transcript"), audio.get("data")
        samples = pcm.feed(base64.b64decode(data, validate=True)) if data else ()
    except (KeyError, IndexError, TypeError, AttributeError, binascii.Error) as error:
        raise EndpointError(f"{what}: an event of the stream is out of shape.", "Check the URL.") from error
    if not text and not len(samples):
        return None
    return ChatReply(text=text or None, audio=Audio(np.asarray(samples), pcm.rate) if len(samples) else None)


def _content(content: Any) -> Any:
    """Parts of a message in the API's shape; a plain string stays one."""
    return content if isinstance(content, str) else [_part(part) for part in content]


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    if part.get("type") == "audio":
        data = base64.b64encode(wav_bytes(part["audio"])).decode("ascii")
        return {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}
    if part.get("type") == "text":
        return {"type": "text", "text": part["text"]}
    raise BadInput(f"A message part of type '{part.get('type')}'.", "Give parts of type text or audio.")

"""`POST /chat/completions` with text and `input_audio` parts, and replies in text, speech or both."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from speech_eval.adapters.base import AudioLanguageModel, ChatReply, ChatRequest
from speech_eval.adapters.remote.endpoint import EndpointError, Refused
from speech_eval.adapters.remote.messages import DONE, event_data
from speech_eval.adapters.remote.speech import Spoken
from speech_eval.audio import Audio, Samples, read, wav_bytes
from speech_eval.audio.wav import PCMReader, WAVReader, is_wav
from speech_eval.errors import BadInput

_PATH = "chat/completions"
_OPTIONAL = {"max_tokens", "temperature", "seed"}


class OpenAIChat(Spoken, AudioLanguageModel):
    """`POST /chat/completions` with text and `input_audio` parts. Temperature 0, the request's seed.

    `speak=true` asks for speech in `voice` (alloy) too; the reply's text is then the transcript the server gives with
    it. Text and speech may come in different choices. As a stream (server-sent events) speech is WAV, or 16-bit PCM at
    `pcm_rate` Hz unless the server states another; a server may also send the whole answer at once.
    """

    def __init__(self, *args: Any, speak: bool = False, **options: Any) -> None:
        super().__init__(*args, **options)
        self.speak = self.speaks = bool(speak)

    def reply(self, requests: Sequence[ChatRequest]) -> list[ChatReply]:
        return self._map(self._reply, requests)

    def reply_stream(self, request: ChatRequest) -> Iterator[ChatReply]:
        what = f"{self.url}/{_PATH}"
        with self._accepted_chat(request, "pcm16", {"stream": True}) as response:
            if not response.headers.get("content-type", "").startswith("text/event-stream"):
                yield self._whole(self._whole_json(response, _PATH))
                return
            speech = _Speech(self.pcm_rate, what)
            for event in self._events(event_data(self._lines(response)), what):
                if (piece := _piece(event, speech, what)) is not None:
                    yield piece
            if len(rest := speech.finish()):
                yield ChatReply(audio=Audio(rest, speech.rate))

    def _events(self, events: Iterator[str], what: str) -> Iterator[Any]:
        """The parsed events of a stream up to its end, which must be there: `[DONE]` or a `finish_reason`."""
        ended = False
        for data in events:
            if data == DONE:
                return
            event = self._parsed(data.encode(), _PATH)
            choices = event.get("choices") if isinstance(event, dict) else None
            ended = ended or any(choice.get("finish_reason") for choice in choices or [])
            yield event
        if not ended:
            raise EndpointError(f"{what}: the stream was cut short.", "See the server's log.")

    def _reply(self, request: ChatRequest) -> ChatReply:
        with self._accepted_chat(request, "wav", {}) as response:
            return self._whole(self._whole_json(response, _PATH))

    @contextmanager
    def _accepted_chat(self, request: ChatRequest, audio_format: str, way: dict[str, Any]) -> Iterator[Any]:
        """The open response, to the request without fields that the server refuses by their name."""
        while True:
            body = self._chat_body(request, audio_format) | way
            try:
                with self._post(_PATH, json=body) as response:
                    yield response
                    return
            except Refused as refusal:
                self._leave_out(refusal, body.keys() & _OPTIONAL)

    def _chat_body(self, request: ChatRequest, audio_format: str) -> dict[str, Any]:
        body: dict[str, Any] = {
            "messages": [{"role": m["role"], "content": content_of(m["content"])} for m in request.messages],
        }
        limit = "max_completion_tokens" if "max_tokens" in self._untaken else "max_tokens"
        optional = {limit: request.max_new_tokens, "temperature": 0, "seed": request.seed}
        body |= {name: value for name, value in optional.items() if name not in self._untaken}
        if self.speak:
            voice = self.voice or self.default_voice
            body |= {"modalities": ["text", "audio"], "audio": {"voice": voice, "format": audio_format}}
        return self._with_extra(body)

    def _whole(self, answer: Any) -> ChatReply:
        """The reply in an answer that is not a stream: its first text and its first speech, in whichever choice."""
        try:
            messages = [choice["message"] for choice in answer["choices"]]
            texts = [text for message in messages if (text := _text(message.get("content"))) is not None]
            audios = [audio for message in messages if (audio := message.get("audio"))]
            data = next((audio["data"] for audio in audios if audio.get("data")), None)
            transcript = next((audio["transcript"] for audio in audios if audio.get("transcript")), None)
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise EndpointError(f"{self.url}/{_PATH}: the answer has no message.", "Check the URL.") from error
        if not messages:
            raise EndpointError(f"{self.url}/{_PATH}: the answer has no message.", "Check the URL.")
        speech = read(_decoded(data, f"{self.url}/{_PATH}"), f"{self.url}/{_PATH}") if data else None
        text = next(filter(None, texts), None) or (transcript if speech is not None else None)
        return ChatReply(text=text or "", audio=speech)


class _Speech:
    """Speech that arrives in pieces, WAV or headerless, as the first bytes tell."""

    def __init__(self, pcm_rate: int, what: str) -> None:
        self._pcm_rate, self._what = pcm_rate, what
        self._reader: PCMReader | WAVReader | None = None

    @property
    def rate(self) -> int:
        return self._reader.rate if self._reader else self._pcm_rate

    def feed(self, data: bytes, rate: int | None) -> Samples:
        """The samples that `data` completes; `rate` is what the server states for samples without a header."""
        if self._reader is None:
            self._reader = WAVReader(self._what) if is_wav(data) else PCMReader(rate or self._pcm_rate, self._what)
        return self._reader.feed(data)

    def finish(self) -> Samples:
        """The samples held back. Raises `BadAudio` for speech that ends inside a sample."""
        return self._reader.finish() if self._reader else np.zeros(0, dtype=np.float32)


def _piece(event: Any, speech: _Speech, what: str) -> ChatReply | None:
    """The piece of the reply in one event of a stream; None for an event without one.

    vLLM-Omni marks a piece of speech with `modality` and puts it where others put text.
    """
    texts: list[str] = []
    found: list[Samples] = []
    try:
        for choice in event["choices"]:
            delta = choice.get("delta") or {}
            audio = delta.get("audio") or {}
            text, data = delta.get("content") or audio.get("transcript"), audio.get("data")
            if event.get("modality") == "audio":
                text, data = None, delta.get("content") or data
            if data:
                rate = (choice.get("audio_metadata") or {}).get("sample_rate_hz")
                found.append(speech.feed(_decoded(data, what), rate))
            texts += [text] if text else []
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise EndpointError(f"{what}: an event of the stream is out of shape.", "Check the URL.") from error
    samples = [piece for piece in found if len(piece)]
    if not texts and not samples:
        return None
    return ChatReply(text="".join(texts) or None, audio=_joined(samples, speech.rate))


def _joined(samples: Sequence[Samples], rate: int) -> Audio | None:
    return Audio(np.concatenate(samples), rate) if samples else None


def _decoded(data: Any, what: str) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError, TypeError) as error:
        raise EndpointError(f"{what}: the audio is not base64.", "See the server's log.") from error


def _text(content: Any) -> str | None:
    """The text of a message's content, a string or parts; None where it has none."""
    return "".join(part.get("text", "") for part in content) if isinstance(content, list) else content


def content_of(content: Any) -> Any:
    """Parts of a message in the API's shape; a plain string stays one."""
    return content if isinstance(content, str) else [_part(part) for part in content]


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    if part.get("type") == "audio":
        data = base64.b64encode(wav_bytes(part["audio"])).decode("ascii")
        return {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}
    if part.get("type") == "text":
        return {"type": "text", "text": part["text"]}
    raise BadInput(f"A message part of type '{part.get('type')}'.", "Give parts of type text or audio.")

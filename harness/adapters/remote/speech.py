"""`POST /audio/speech`: speech of a text, in the voice of a prompt where the server clones.

Fields beyond OpenAI's own are those of vLLM-Omni, SGLang-Omni and mlx-audio: `ref_audio` and `ref_text`, `language`
(an English name) or `lang_code` (a code), `seed`, and `stream`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np

from speech_eval.adapters.base import Speech, SpeechSynthesizer, SynthesisRequest
from speech_eval.adapters.options import choice, whole
from speech_eval.adapters.remote.endpoint import LONGEST_MESSAGE, Endpoint, EndpointError, Refused
from speech_eval.adapters.remote.fields import refused_field
from speech_eval.adapters.remote.messages import DONE, event_data, parsed, words
from speech_eval.adapters.remote.voice_prompt import WAYS, prompt_fields
from speech_eval.audio import Audio
from speech_eval.audio import stream as audio_stream
from speech_eval.errors import BadInput
from speech_eval.text import english_name, primary_language

SPEECH_RATE = 24_000  # of headerless samples
_FORMATS = ("wav", "pcm", "flac", "mp3", "opus", "aac")
# How to ask for a stream, until a server takes one: raw bytes, in the format asked for or headerless; then whatever it
# streams; then OpenAI's own field alone; then the whole.
_STREAMS: tuple[dict[str, Any], ...] = (
    {"stream": True, "stream_format": "audio"},
    {"stream": True, "stream_format": "audio", "response_format": "pcm"},
    {"stream": True},
    {"stream": True, "response_format": "pcm"},
    {"stream_format": "audio"},
    {"stream_format": "sse"},
    {},
)
_WHOLE: tuple[dict[str, Any], ...] = ({},)
_OPTIONAL = {"language", "lang_code", "seed", "instructions"}
_FORWARDED = frozenset({"voice", "response_format"})  # by LiteLLM, which drops every field that is not OpenAI's own
_RECORDED = {*_OPTIONAL, "voice", "response_format", "stream", "stream_format"}


class Spoken(Endpoint):
    """The options of endpoints that speak: `voice`, and `pcm_rate`, the rate of samples without a header."""

    default_voice = "alloy"

    def __init__(self, *args: Any, voice: str | None = None, pcm_rate: int = SPEECH_RATE, **options: Any) -> None:
        super().__init__(*args, **options)
        self.voice = voice
        self.pcm_rate = whole("pcm_rate", pcm_rate, 1000)


class OpenAISpeech(Spoken, SpeechSynthesizer):
    """`POST /audio/speech`, as `response_format`; the answer is decoded by its content, whatever was asked for.

    Without a prompt the voice is `voice`, or alloy; with one, `voice` is sent only where it is set. `voice_prompt` says
    how a prompt is sent: `data` as a data URL, `path` as a file for a server on this machine, `off` not at all, and
    `auto` as a data URL unless the server describes its requests and has no such field. A request whose prompt cannot
    be sent is refused.

    Language and seed are left out where the server has no field for them. The metadata of each answer keeps which of
    these fields were sent (`asked`), which the server does not have (`not_taken`), and the media type of the answer.
    """

    def __init__(
        self, *args: Any, response_format: str = "wav", voice_prompt: str | bool = "auto", **options: Any
    ) -> None:
        super().__init__(*args, **options)
        self.response_format = choice("response_format", response_format, _FORMATS)
        if isinstance(voice_prompt, bool):
            voice_prompt = "data" if voice_prompt else "off"
        self.voice_prompt = choice("voice_prompt", voice_prompt, WAYS)
        self._stream: dict[str, Any] | None = None  # the way of streaming that the server took

    def described(self) -> dict[str, Any]:
        fields = self._described
        known = {"described": None if fields is None else sorted(fields)}
        return {**super().described(), "voice": self.voice, "response_format": self.response_format, **known}

    @cached_property
    def _described(self) -> frozenset[str] | None:
        """The fields that the server describes, None where it does not say."""
        fields = self._description.fields("/audio/speech")
        return None if fields is None else frozenset(fields)

    def synthesize(self, requests: Sequence[SynthesisRequest]) -> list[Audio]:
        return self._map(self._synthesize, requests)

    def _synthesize(self, request: SynthesisRequest) -> Audio:
        chunks = list(self._spoken(request, _WHOLE))
        if not chunks:
            raise EndpointError(f"{self.url}/audio/speech: the answer has no audio.", "See the server's log.")
        samples = np.concatenate([chunk.samples for chunk in chunks])
        return Speech(samples, chunks[0].rate, chunks[0].metadata)

    def stream(self, request: SynthesisRequest) -> Iterator[Audio]:
        ways: list[dict[str, Any]] = []
        for way in _STREAMS if self._stream is None else (self._stream,):
            known = {name: way[name] for name in way if self._described is None or name in self._described}
            ways += [known] if known not in ways else []
        return self._spoken(request, ways)

    # ------------------------------------------------------------------------------------------------ asking

    def _spoken(self, request: SynthesisRequest, ways: Sequence[dict[str, Any]]) -> Iterator[Speech]:
        """The answer as it arrives; all pieces share one metadata, which is complete at the end."""
        if not request.text.strip():
            raise BadInput(f"{request.id}: there is no text to speak.", "Give the sample a text.")
        self._check_prompt(request)
        with prompt_fields(request, self.voice_prompt) as prompt, self._accepted(request, prompt, ways) as answer:
            body, response = answer
            forwarded = self._forwarded(response, prompt)
            asked = {name: body[name] for name in sorted(body.keys() & _RECORDED)}
            metadata: dict[str, Any] = {
                "asked": {**asked, "voice_prompt": bool(prompt)},
                "answer": response.headers.get("content-type", ""),
                "not_taken": sorted(self._untaken | (asked.keys() - forwarded if forwarded else set())),
            }
            headerless = body.get("response_format") == "pcm"
            pieces = self._audio_bytes(response, metadata, headerless)
            rate = self._pcm_rate(response) if headerless else None
            for piece in audio_stream(pieces, f"{self.url}/audio/speech", rate):
                yield Speech(piece.samples, piece.rate, metadata)

    def _check_prompt(self, request: SynthesisRequest) -> None:
        if request.load_prompt is None:
            return
        if self.voice_prompt == "off":
            raise BadInput(f"{request.id}: the sample has a voice prompt, and voice_prompt=off.", "Leave it out.")
        if self.voice_prompt == "auto" and self._described is not None and "ref_audio" not in self._described:
            raise EndpointError(
                f"{self.url}/audio/speech: the server has no field 'ref_audio' for the sample's voice prompt.",
                "Use a model that clones voices; voice_prompt=data sends the field nevertheless.",
            )

    def _forwarded(self, response: Any, prompt: dict[str, str]) -> frozenset[str]:
        """The fields that a proxy in front of the server passes on; none named where there is no such proxy.

        Raises `EndpointError` where it would lose a voice prompt: LiteLLM (1.108.7) answers as if it had sent it.
        """
        if not any(name.startswith("x-litellm-") for name in response.headers):
            return frozenset()
        if prompt and self.voice_prompt == "auto":
            raise EndpointError(
                f"{self.url}/audio/speech: a LiteLLM proxy answers, which passes no voice prompt on.",
                "Name the server behind it; voice_prompt=data trusts a proxy that does.",
            )
        return _FORWARDED

    @contextmanager
    def _accepted(
        self, request: SynthesisRequest, prompt: dict[str, str], ways: Sequence[dict[str, Any]]
    ) -> Iterator[tuple[dict[str, Any], Any]]:
        """The body and the open response of the first way of asking that the server takes."""
        remaining, streams = list(ways), ways is not _WHOLE
        while True:
            body = self._with_extra(self._body(request, prompt) | remaining[0])
            try:
                with self._post("audio/speech", json=body) as response:
                    if streams:
                        self._stream = remaining[0]
                    yield body, response
                    return
            except Refused as refusal:
                if refused_field(refusal.said, prompt):
                    raise  # a voice prompt is not left out
                if len(remaining) == 1 or refused_field(refusal.said, body.keys() & _OPTIONAL):
                    self._leave_out(refusal, body.keys() & _OPTIONAL)
                else:
                    del remaining[0]

    def _body(self, request: SynthesisRequest, prompt: dict[str, str]) -> dict[str, Any]:
        voice = self.voice or (None if prompt else self.default_voice)
        body: dict[str, Any] = {"input": request.text, "voice": voice, "response_format": self.response_format}
        told = {"instructions": request.instruction} if request.instruction else {}
        optional: dict[str, Any] = {**self._language(request.language), "seed": request.seed, **told}
        for name, value in optional.items():
            if self._described is not None and name not in self._described:
                self._untaken.add(name)
            elif name not in self._untaken:
                body[name] = value
        return body | prompt

    def _language(self, tag: str) -> dict[str, str]:
        """`language` as an English name, or `lang_code` as a code where the server describes that field instead."""
        code = primary_language(tag)
        if code == "und":
            return {}
        if self._described is not None and "lang_code" in self._described and "language" not in self._described:
            return {"lang_code": code}
        return {"language": english_name(tag)}

    # ----------------------------------------------------------------------------------------------- hearing

    def _pcm_rate(self, response: Any) -> int:
        stated = str(response.headers.get("x-sample-rate", ""))
        return int(stated) if stated.isdecimal() else self.pcm_rate

    def _audio_bytes(self, response: Any, metadata: dict[str, Any], headerless: bool) -> Iterator[bytes]:
        """The bytes of the audio, out of events where the answer is a stream of them."""
        kind = response.headers.get("content-type", "")
        if "x-finish-reason" in response.headers:
            metadata["stopped"] = response.headers["x-finish-reason"] == "stop"
        if kind.startswith("text/event-stream"):
            yield from self._of_events(response, metadata)
            return
        pieces = self._bytes(response)
        head = next(pieces, b"")
        if kind.startswith(("application/json", "text/")) or (head[:1] == b"{" and not headerless):
            said = self._read_on(head, pieces)
            problem = (
                words(said) if parsed(said) is not None else f"the answer is not audio: {self._safe(said)[:200]!r}"
            )
            raise EndpointError(f"{self.url}/audio/speech: {self._safe(problem)}.", "See the server's log.")
        yield from chain((head,), pieces)

    @staticmethod
    def _read_on(head: bytes, pieces: Iterator[bytes]) -> str:
        while len(head) < LONGEST_MESSAGE and (more := next(pieces, b"")):
            head += more
        return head[:LONGEST_MESSAGE].decode("utf-8", "replace")

    def _of_events(self, response: Any, metadata: dict[str, Any]) -> Iterator[bytes]:
        what = f"{self.url}/audio/speech"
        for data in event_data(self._lines(response)):
            if data == DONE:
                return
            event = parsed(data)
            self._check(event, "audio/speech")
            kind = event.get("type") if isinstance(event, dict) else None
            if kind == "speech.audio.done":
                if "finish_reason" in event:
                    metadata["stopped"] = event["finish_reason"] == "stop"
                return
            if kind == "speech.audio.delta":
                try:
                    yield base64.b64decode(event.get("audio") or event.get("delta") or "", validate=True)
                except (binascii.Error, ValueError, TypeError) as error:
                    raise EndpointError(f"{what}: an event's audio is not base64.", "See the server's log.") from error
            elif not isinstance(event, dict):
                raise EndpointError(f"{what}: an event of the stream is out of shape.", "Check the URL.")
        raise EndpointError(f"{what}: the stream was cut short.", "See the server's log.")

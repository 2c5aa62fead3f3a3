"""`realtime:URL#MODEL`: a server that listens and answers over a websocket (`/v1/realtime`), in real time.

`RealtimeEndpoint` is a duplex agent and a recognizer; the option `kind=conversation` or `kind=transcription` gives an
adapter with that interface only.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from speech_eval.adapters.base import Adapter, DuplexAgent, SpeechRecognizer, TranscriptionRequest
from speech_eval.adapters.catalog import Target
from speech_eval.adapters.options import choice, number
from speech_eval.adapters.remote.address import Address, json_object
from speech_eval.adapters.remote.endpoint import EndpointError
from speech_eval.adapters.remote.playback import Playback, Resampler
from speech_eval.adapters.remote.realtime_protocol import (
    RATE,
    Event,
    Protocol,
    Transcript,
    interrupts,
    protocol_of,
    spoken,
)
from speech_eval.adapters.remote.websocket import Socket, wait_until
from speech_eval.audio import Audio, Samples
from speech_eval.errors import require
from speech_eval.records import ModelInfo
from speech_eval.text import primary_language

_FIRST_EVENT_SECONDS = 2.0  # a server that speaks first has done so by then
_PIECE_SECONDS = 0.08  # of speech to transcribe, in one event


class Realtime(Adapter):
    """What both interfaces share: the address and the settings of a session.

    `url`, `api_key_env` and `headers` are those of `Address`, with `ws` or `wss`. `extra`, a JSON object, is laid over
    the settings of a session (`session.update`): voice, instructions, turn detection. `timeout` is how long the server
    may be silent where it owes an answer.
    """

    sample_rate = RATE

    def __init__(
        self,
        url: str,
        model: str = "",
        api_key_env: str = "OPENAI_API_KEY",
        headers: str = "",
        extra: str = "",
        timeout: float = 60.0,
    ) -> None:
        require("websockets", "api")
        self._address = Address(url, ("ws", "wss"), api_key_env, headers)
        self.url, self.model = self._address.url, model
        self._extra = json_object("extra", extra)
        self._address.hide(self._extra)
        self._timeout = number("timeout", timeout, above=True, unit="seconds")

    def info(self) -> ModelInfo:
        """Raises `EndpointUnavailable` where nothing listens at the URL. The protocol is told by the first event."""
        socket, protocol = self._opened(transcribe=not isinstance(self, DuplexAgent), language="")
        _close(socket, protocol)
        metadata = {"url": self.url, "query": self._address.query, "protocol": protocol.name}
        return ModelInfo(name=self.model or self.url, metadata=metadata)

    def _opened(self, transcribe: bool, language: str) -> tuple[Socket, Protocol]:
        """A connection whose session is set up."""
        query = {"model": self.model} if self.model and self._address.query.get("autostart") != "0" else {}
        socket = Socket(self._address, {**query, **({"intent": "transcription"} if transcribe else {})}, self._timeout)
        try:
            protocol = protocol_of(socket.next(_FIRST_EVENT_SECONDS), self.model, self._extra)
            for event in protocol.opening(transcribe, language):
                socket.send(event)
        except BaseException:
            socket.close()
            raise
        return socket, protocol


class RealtimeConversation(Realtime, DuplexAgent):
    """A conversation in real time: a step sends a chunk once it would have been said, and plays what has come.

    Speech that comes faster than it is heard waits, and is dropped where the user interrupts it. A conversation of 30
    seconds takes 30 seconds.
    """

    chunk_seconds = 0.08

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._session: tuple[Socket, Protocol] | None = None

    def reset(self) -> None:
        self.close()
        self._session = self._opened(transcribe=False, language="")
        self._playback, self._item = Playback(RATE), ""
        self._resampler = Resampler(RATE, self._session[1].rate)
        self._began, self._steps = 0.0, 0

    def step(self, user_chunk: Audio) -> Audio:
        if self._session is None:
            self.reset()
        assert self._session is not None
        socket, protocol = self._session
        self._began = self._began or time.monotonic()
        self._steps += 1
        wait_until(self._began + self._steps * self.chunk_seconds)
        if len(samples := self._resampler.feed(user_chunk.samples)):
            socket.send(protocol.append(_pcm16(samples)))
        while (event := socket.next(0.0)) is not None:
            self._take(event, socket, protocol)
        return Audio(self._playback.take(round(self.chunk_seconds * RATE)), RATE)

    def _take(self, event: Event, socket: Socket, protocol: Protocol) -> None:
        if (speech := spoken(event)) is not None:
            item = str(event.get("item_id") or "")
            if item != self._item:
                self._item, self._playback.played = item, 0
            self._playback.add(self._decoded(speech[0]), speech[1])
        elif interrupts(event) and self._playback.drop() and self._item:
            socket.send(protocol.truncate(self._item, self._playback.played / RATE))

    def _decoded(self, data: object) -> bytes:
        try:
            return base64.b64decode(data, validate=True)  # type: ignore[arg-type]
        except (ValueError, TypeError) as error:
            raise EndpointError(f"{self.url}: the audio is not base64.", "See the server's log.") from error

    def close(self) -> None:
        if self._session is not None:
            _close(*self._session)
            self._session = None


class RealtimeTranscription(Realtime, SpeechRecognizer):
    """A transcript that grows while speech is still being said: `transcribe_stream` sends it in real time, `transcribe`
    at once."""

    def transcribe(self, requests: Sequence[TranscriptionRequest]) -> list[str]:
        return [list(self._texts(request, pace=0.0))[-1] for request in requests]

    def transcribe_stream(self, request: TranscriptionRequest) -> Iterator[str]:
        return self._texts(request, pace=1.0)

    def _texts(self, request: TranscriptionRequest, pace: float) -> Iterator[str]:
        language = primary_language(request.language)
        socket, protocol = self._opened(transcribe=True, language="" if language == "und" else language)
        try:
            transcript = Transcript()
            samples = request.audio.resampled(protocol.rate).samples
            size = round(_PIECE_SECONDS * protocol.rate)
            began = time.monotonic()
            for number_, at in enumerate(range(0, len(samples), size), 1):
                said = began + pace * number_ * _PIECE_SECONDS
                yield from _heard_until(said, socket, transcript)
                socket.send(protocol.append(_pcm16(samples[at : at + size])))
            for event in protocol.ending():
                socket.send(event)
            transcript.finished = False
            while not transcript.finished:
                if (answer := socket.next(self._timeout)) is None:
                    raise EndpointError(f"{self.url}: no transcript within {self._timeout:g} s.", "Raise timeout=.")
                if transcript.take(answer):
                    yield transcript.text
        finally:
            _close(socket, protocol)


def _heard_until(moment: float, socket: Socket, transcript: Transcript) -> Iterator[str]:
    """The transcript each time it grows before a moment of the monotonic clock."""
    while True:
        left = moment - time.monotonic()
        event = socket.next(max(left, 0.0))
        if event is not None and transcript.take(event):
            yield transcript.text
        elif event is None and left <= 0.0:
            return


def _close(socket: Socket, protocol: Protocol) -> None:
    for event in protocol.closing():
        socket.send(event)
    socket.close()


def _pcm16(samples: Samples) -> str:
    return base64.b64encode(np.clip(np.round(samples * 32767.0), -32768, 32767).astype("<i2").tobytes()).decode("ascii")


class RealtimeEndpoint(RealtimeConversation, RealtimeTranscription):
    """Both interfaces on one server."""


_KINDS: Mapping[str, type[Realtime]] = {
    "auto": RealtimeEndpoint,
    "conversation": RealtimeConversation,
    "transcription": RealtimeTranscription,
}


def scheme(rest: str, options: dict[str, Any], trust_remote_code: bool) -> Target:
    """`realtime:URL#MODEL`; the option `kind` narrows the interfaces."""
    url, _, model = rest.partition("#")
    kind = choice("kind", options.pop("kind", "auto"), tuple(_KINDS))
    return _KINDS[kind], {"url": url, "model": model, **options}

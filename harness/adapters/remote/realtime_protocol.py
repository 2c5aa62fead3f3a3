"""What is said over `/v1/realtime`: the events of OpenAI's protocol, and how three servers differ from it.

A server shows by its first event, `session.created`, which one it is. Sources: vLLM 0.33.0
(`speech_to_text/realtime/protocol.py`), vLLM-Omni 0.30.0 (`protocol/realtime`), SGLang-Omni 0.1.9
(`serve/realtime/schema.py`, `events.py`), mlx-audio 0.6.2 (`server.py`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Event = dict[str, Any]
RATE = 24_000  # Hz, 16-bit mono, in both directions, unless the server says otherwise
_HEARD_RATE = 16_000  # of vLLM and of SGLang's transcription
_INTERRUPTED = {"input_audio_buffer.speech_started", "output_audio_buffer.cleared", "response.cancelled"}
_AUDIO = {"response.output_audio.delta", "response.audio.delta"}


class Protocol:
    """OpenAI's events; also those of mlx-audio and of vLLM-Omni's duplex sessions. `session` is laid over the settings
    of the session."""

    name = "openai"
    rate = RATE

    def __init__(self, model: str, session: Mapping[str, Any]) -> None:
        self.model, self.session = model, session
        self._count = itertools.count(1)

    def opening(self, transcribe: bool, language: str) -> Iterator[Event]:
        """What is sent first: the formats, and for a transcription that the client says where speech ends."""
        audio_format = {"type": "audio/pcm", "rate": self.rate}
        heard: Event = {"format": audio_format}
        session: Event = {"type": "realtime", "output_modalities": ["audio"], "audio": {"input": heard}}
        if transcribe:
            named = {"model": self.model or None, "language": language or None}
            heard |= {"turn_detection": None, "transcription": {k: v for k, v in named.items() if v}}
            session = {"type": "transcription", "audio": {"input": heard}}
        else:
            session["audio"]["output"] = {"format": audio_format}
            session |= {"model": self.model} if self.model else {}
        yield self._event("session.update", session=_merged(session, self.session))

    def append(self, audio: str) -> Event:
        """More of what the user says, base64 of 16-bit samples."""
        return self._event("input_audio_buffer.append", audio=audio)

    def ending(self) -> Iterator[Event]:
        """What is sent once all speech to transcribe has been."""
        yield self._event("input_audio_buffer.commit")

    def closing(self) -> Iterator[Event]:
        """What ends the session; without it vLLM-Omni keeps the place of a client that went away."""
        yield self._event("session.close")

    def truncate(self, item: str, played: float) -> Event:
        """Tells that `played` seconds of an answer were heard before the user interrupted it."""
        milliseconds = round(1000 * played)
        return self._event("conversation.item.truncate", item_id=item, content_index=0, audio_end_ms=milliseconds)

    def _event(self, kind: str, **fields: Any) -> Event:
        return {"type": kind, "event_id": f"{kind}-{next(self._count)}", **fields}


class VLLM(Protocol):
    """vLLM: a bare model name instead of a session, 16 kHz, and a commit that begins and another that ends."""

    name = "vllm"
    rate = _HEARD_RATE

    def opening(self, transcribe: bool, language: str) -> Iterator[Event]:
        yield {"type": "session.update", "model": self.model}
        yield {"type": "input_audio_buffer.commit", "final": False}

    def append(self, audio: str) -> Event:
        return {"type": "input_audio_buffer.append", "audio": audio}

    def ending(self) -> Iterator[Event]:
        yield {"type": "input_audio_buffer.commit", "final": True}

    def closing(self) -> Iterator[Event]:
        return iter(())


class SGLangTranscription(Protocol):
    """SGLang-Omni with `intent=transcription`: 16 kHz, and texts of segments."""

    name = "sglang-transcription"
    rate = _HEARD_RATE

    def opening(self, transcribe: bool, language: str) -> Iterator[Event]:
        named = {"language": language} if language else {}
        yield self._event("session.update", session={**named, **self.session})

    def ending(self) -> Iterator[Event]:
        yield self._event("transcription.done")

    def closing(self) -> Iterator[Event]:
        return iter(())


class SGLang(Protocol):
    """SGLang-Omni's conversations, which number the pieces of audio."""

    name = "sglang"

    def append(self, audio: str) -> Event:
        event = super().append(audio)
        return event | {"sglang": {"seq": self._sequence()}}

    def _sequence(self) -> int:
        self._appended = getattr(self, "_appended", -1) + 1
        return self._appended


def protocol_of(created: Event | None, model: str, session: Mapping[str, Any]) -> Protocol:
    """The protocol of the server that said `created` first; OpenAI's where it said nothing."""
    stated = (created or {}).get("session")
    if created is not None and not isinstance(stated, dict):
        return VLLM(model, session)
    stated = stated or {}
    if stated.get("intent") == "transcription" and "decode_interval_ms" in stated:
        return SGLangTranscription(model, session)
    return SGLang(model, session) if "sglang" in stated else Protocol(model, session)


def spoken(event: Event) -> tuple[str, int | None] | None:
    """The base64 samples in an event and their rate where it states one; None for an event without speech."""
    if event.get("type") not in _AUDIO:
        return None
    rate = event.get("sample_rate_hz")
    return event.get("delta") or event.get("audio") or "", rate if isinstance(rate, int) else None


def interrupts(event: Event) -> bool:
    """Whether a client stops playing what it has: the user began to speak, or the answer was cancelled."""
    response = event.get("response")
    cancelled = isinstance(response, dict) and response.get("status") == "cancelled"
    return event.get("type") in _INTERRUPTED or (event.get("type") == "response.done" and cancelled)


@dataclass
class Transcript:
    """A transcript that grows by events, item by item."""

    parts: dict[str, str] = field(default_factory=dict)
    finished: bool = False  # no item waits for more text

    @property
    def text(self) -> str:
        pieces = (part.strip() for part in self.parts.values())
        return " ".join(piece for piece in pieces if piece) if len(self.parts) > 1 else "".join(self.parts.values())

    def take(self, event: Event) -> bool:
        """Whether the event said something about the transcript."""
        kind = str(event.get("type"))
        item = str(event.get("item_id") or event.get("segment_id") or "")
        if kind.endswith("transcription.delta"):
            self.parts[item] = self.parts.get(item, "") + str(event.get("delta", ""))
            self.finished = False
        elif kind == "transcription.segment":
            self.parts[item] = str(event.get("text", ""))
            self.finished = False
        elif kind.endswith("input_audio_transcription.completed"):
            self.parts[item] = str(event.get("transcript", ""))
            self.finished = True
        elif kind in ("transcription.done", "transcription.completed"):
            self.parts, self.finished = {"": str(event.get("text", ""))}, True
        else:
            return False
        return True


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid over `base`, object by object."""
    nested = {
        name: _merged(base[name], value)
        for name, value in over.items()
        if isinstance(value, Mapping) and isinstance(base.get(name), Mapping)
    }
    return {**base, **over, **nested}

"""`POST /audio/transcriptions`: 16-bit WAV at 16 kHz out, the text back, whole or as it grows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

from speech_eval.adapters.base import SpeechRecognizer, TranscriptionRequest
from speech_eval.adapters.remote.endpoint import Endpoint, EndpointError, Refused
from speech_eval.adapters.remote.messages import DONE, event_data, parsed
from speech_eval.audio import wav_bytes
from speech_eval.text import primary_language

_PATH = "audio/transcriptions"
_OPTIONAL = {"stream", "temperature", "language", "response_format"}


class OpenAITranscription(Endpoint, SpeechRecognizer):
    """`POST /audio/transcriptions` with `response_format=json`, temperature 0, and the sample's language as a code.

    `transcribe_stream` asks for `stream=true`. It takes events (of OpenAI, vLLM, SGLang and faster-whisper servers, or
    bare pieces of text) and JSON lines, and from a server that does not stream the whole text. A field that the server
    refuses by its name is left out from then on.
    """

    def transcribe(self, requests: Sequence[TranscriptionRequest]) -> list[str]:
        return self._map(self._transcribe, requests)

    def _transcribe(self, request: TranscriptionRequest) -> str:
        *_, text = self._texts(request, stream=False)
        return text

    def transcribe_stream(self, request: TranscriptionRequest) -> Iterator[str]:
        return self._texts(request, stream=True)

    def _texts(self, request: TranscriptionRequest, stream: bool) -> Iterator[str]:
        file = {"file": ("audio.wav", wav_bytes(request.audio), "audio/wav")}
        while True:
            form = self._form(request.language, stream)
            try:
                with self._post(_PATH, data=form, files=file) as response:
                    yield from self._heard(response)
                return
            except Refused as refusal:
                self._leave_out(refusal, form.keys() & _OPTIONAL)

    def _form(self, tag: str, stream: bool) -> dict[str, Any]:
        language = primary_language(tag)
        form = {"response_format": "json", "temperature": "0"}
        form |= {} if language == "und" else {"language": language}
        if stream:
            form["stream"] = "true"
            if self._streams_lines:
                del form["response_format"]
        taken = {name: value for name, value in form.items() if name not in self._untaken}
        return {name: _value(value) for name, value in self._with_extra(taken).items()}

    @cached_property
    def _streams_lines(self) -> bool:
        """Whether the server streams only in its own default format, JSON lines."""
        schema = (self._description.fields(f"/{_PATH}") or {}).get("response_format")
        return isinstance(schema, dict) and schema.get("default") == "ndjson"

    def described(self) -> dict[str, Any]:
        return {**super().described(), "streams_json_lines": self._streams_lines}

    def _heard(self, response: Any) -> Iterator[str]:
        """The transcript so far, each time it grows; the last one is final."""
        kind = response.headers.get("content-type", "")
        if kind.startswith("text/event-stream"):
            yield from self._growing(event_data(self._lines(response)))
        elif "ndjson" in kind:
            yield from self._growing(line for line in self._lines(response) if line.strip())
        else:
            answer = self._whole_json(response, _PATH)
            text = answer.get("text") if isinstance(answer, dict) else None
            if not isinstance(text, str):
                raise EndpointError(f"{self.url}/{_PATH}: the answer has no 'text'.", "Check the URL.")
            if text.startswith("data:") and text.endswith("\n\n"):  # LiteLLM puts the server's events into the text
                *_, text = self._growing(event_data(text.split("\n")))
            yield text

    def _growing(self, events: Iterator[str]) -> Iterator[str]:
        text, ended = "", None
        for data in events:
            if data == DONE:
                ended = True
                break
            event = parsed(data)
            self._check(event, _PATH)
            piece, whole = _piece(data, event)
            text = piece if whole else text + piece
            if piece:
                yield text
            # Bare text and JSON lines end where the body does; the events of OpenAI and vLLM have an end of their own.
            if isinstance(event, dict) and ("choices" in event or "type" in event):
                ended = event.get("type") == "transcript.text.done" or _finished(event)
            elif ended is None:
                ended = True
        if not ended:
            raise EndpointError(f"{self.url}/{_PATH}: the stream was cut short.", "See the server's log.")
        yield text


def _piece(data: str, event: Any) -> tuple[str, bool]:
    """The text in one event, and whether it is the whole transcript so far rather than the next piece of it."""
    if not isinstance(event, dict):
        return data, False  # bare text
    if isinstance(choices := event.get("choices"), list):
        return "".join(str((choice.get("delta") or {}).get("content") or "") for choice in choices), False
    if event.get("type") == "transcript.text.done" and isinstance(event.get("text"), str):
        return event["text"], True
    if isinstance(accumulated := event.get("accumulated"), str):
        return accumulated, True
    return str(event.get("delta") or event.get("text") or ""), False


def _finished(event: dict[str, Any]) -> bool:
    choices = event.get("choices") or []
    return isinstance(choices, list) and any(choice.get("finish_reason") for choice in choices)


def _value(value: Any) -> Any:
    """A value of `extra` as a form holds it."""
    return json.dumps(value) if isinstance(value, dict) else value

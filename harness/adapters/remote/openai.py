"""`openai:URL#MODEL`: models behind an OpenAI-compatible HTTP server: transcription, speech, and chat with audio.

`OpenAIEndpoint` offers all three; the option `kind=transcription`, `kind=speech` or `kind=chat` gives an adapter with
that interface only. Samples are sent to the server the user names and nowhere else. The key is read from an environment
variable when a request is sent; it is neither kept nor stored, and it is removed from error messages.
"""

from __future__ import annotations

import base64
import binascii
import email.utils
import json
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit

import numpy as np

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
from speech_eval.adapters.options import choice, number, whole
from speech_eval.audio import Audio, read, wav_bytes
from speech_eval.audio import stream as audio_stream
from speech_eval.audio.wav import PCMReader
from speech_eval.errors import BadInput, SpeechEvalError, require
from speech_eval.records import ModelInfo

Request = TypeVar("Request")
Result = TypeVar("Result")

SPEECH_RATE = 24_000  # of response_format=pcm, which carries no header
_RETRIED = {408, 409, 429}
_LONGEST_WAIT = 60.0
_FIRST_WAIT = 0.5


class EndpointError(SpeechEvalError):
    """The server could not be reached, refused the request, or gave an answer that cannot be used."""


class Endpoint(Adapter):
    """What the three interfaces share: the connection, retries and bounded concurrency.

    `url` is the API's base, such as `http://127.0.0.1:8000/v1`; user names, passwords and queries in it are refused.
    `api_key_env` names the environment variable that holds the key; unset means no key is sent. Errors of the
    connection and statuses 408, 409, 429 and 5xx are tried `retries` times more, after the time the server asks for
    (`Retry-After`, at most 60 s) or 0.5, 1, 2 … seconds. A batch is sent as up to `concurrency` requests at once.
    """

    concurrent = True

    def __init__(
        self,
        url: str,
        model: str = "",
        api_key_env: str = "OPENAI_API_KEY",
        timeout: float = 120.0,
        retries: int = 3,
        concurrency: int = 1,
        voice: str = "alloy",
        response_format: str = "wav",
        pcm_rate: int = SPEECH_RATE,
        speak: bool = False,
    ) -> None:
        httpx = require("httpx", "api")
        self.url, self.model = _check_url(url), model
        # The value is not repeated: someone may have put the key itself here.
        if not re.fullmatch(r"[A-Z_][A-Z0-9_]*", str(api_key_env)):
            raise BadInput("api_key_env is not the name of an environment variable.", "Put the key in one, name it.")
        self._api_key_env = api_key_env
        self.retries = whole("retries", retries, 0)
        self.batch_size = self.concurrency = whole("concurrency", concurrency)
        self.voice = voice
        self.response_format = choice("response_format", response_format, ("wav", "pcm"))
        self.pcm_rate = whole("pcm_rate", pcm_rate, 1000)
        self.speak = bool(speak)
        self._httpx = httpx
        self._client = httpx.Client(
            timeout=number("timeout", timeout, above=True, unit="seconds"),
            limits=httpx.Limits(max_connections=None),
            headers={"User-Agent": "speech-eval-harness"},
        )

    def info(self) -> ModelInfo:
        return ModelInfo(
            name=self.model or self.url,
            metadata={"url": self.url, "voice": self.voice, "response_format": self.response_format},
        )

    def close(self) -> None:
        self._client.close()

    # ------------------------------------------------------------------------------------------------ sending

    def _map(self, function: Callable[[Request], Result], requests: Sequence[Request]) -> list[Result]:
        """Answers in the order of the requests, at most `concurrency` of them sent at once."""
        if len(requests) == 1 or self.concurrency == 1:
            return [function(request) for request in requests]
        with ThreadPoolExecutor(min(self.concurrency, len(requests))) as pool:
            return list(pool.map(function, requests))

    def _json(self, path: str, **content: Any) -> Any:
        """The parsed JSON of one POST."""
        with self._post(path, **content) as response:
            try:
                body = response.read()
            except self._httpx.HTTPError as error:
                raise self._unreachable(error) from error
        return self._parsed(body, path)

    def _parsed(self, body: bytes, path: str) -> Any:
        try:
            return json.loads(body)
        except ValueError as error:
            shown = self._safe(body[:200].decode("utf-8", "replace"))
            raise EndpointError(f"{self.url}/{path}: the answer is not JSON: {shown!r}.", "Check the URL.") from error

    @contextmanager
    def _post(self, path: str, **content: Any) -> Iterator[Any]:
        """An open response of status 200, its body unread; retries before the body begins, never after."""
        response = None
        for attempt in range(self.retries + 1):
            final = attempt == self.retries
            try:
                request = self._client.build_request("POST", f"{self.url}/{path}", headers=self._headers(), **content)
                response = self._client.send(request, stream=True)
                if response.status_code == 200:
                    break
                response.read()
            except self._httpx.TransportError as error:
                if final:
                    raise self._unreachable(error) from error
                time.sleep(_backoff(attempt))
                continue
            if final or not (response.status_code in _RETRIED or response.status_code >= 500):
                raise self._refusal(path, response)
            time.sleep(_retry_after(response.headers) or _backoff(attempt))
        assert response is not None
        try:
            yield response
        finally:
            response.close()

    def _headers(self) -> dict[str, str]:
        key = self._key()
        return {"Authorization": f"Bearer {key}"} if key else {}

    def _key(self) -> str:
        key = os.environ.get(self._api_key_env, "").strip()
        if not (key.isascii() and key.isprintable()):
            raise BadInput(
                f"${self._api_key_env} holds characters that no key has.", "Set it to the key and nothing else."
            )
        return key

    # ------------------------------------------------------------------------------------------------- errors

    def _safe(self, text: str) -> str:
        """One line of at most 300 characters without the key or anything that looks like one."""
        key = os.environ.get(self._api_key_env, "").strip()
        if key:
            text = text.replace(key, "***")
        text = re.sub(r"(?i)bearer\s+\S+|\bsk-[\w*.-]+", "***", text)
        return " ".join(text.split())[:300]

    def _unreachable(self, error: Exception) -> EndpointError:
        reason = self._safe(f"{type(error).__name__}: {error}")
        return EndpointError(f"{self.url}: no complete answer ({reason}).", "Check that the server runs and the URL.")

    def _refusal(self, path: str, response: Any) -> EndpointError:
        remedy = "See the server's log." if response.status_code >= 500 else "Check the model's name and the options."
        if response.status_code in (401, 403):
            remedy = f"Set ${self._api_key_env} to a valid key."
        if response.status_code == 429:
            remedy = "Lower concurrency=, or wait."
        if response.is_redirect:
            remedy = "Give the address it redirects to."
        message = self._safe(_message(response.text))
        return EndpointError(f"{self.url}/{path}: status {response.status_code}: {message}.", remedy)

    def _model_field(self) -> dict[str, Any]:
        return {"model": self.model} if self.model else {}


class OpenAITranscription(Endpoint, SpeechRecognizer):
    """`POST /audio/transcriptions`: 16-bit WAV at 16 kHz out, JSON with `text` back. Temperature 0."""

    def transcribe(self, requests: Sequence[TranscriptionRequest]) -> list[str]:
        return self._map(self._transcribe, requests)

    def _transcribe(self, request: TranscriptionRequest) -> str:
        language = request.language.replace("_", "-").split("-")[0].lower()
        answer = self._json(
            "audio/transcriptions",
            data={**self._model_field(), "response_format": "json", "temperature": "0", "language": language},
            files={"file": ("audio.wav", wav_bytes(request.audio), "audio/wav")},
        )
        text = answer.get("text") if isinstance(answer, dict) else None
        if not isinstance(text, str):
            raise EndpointError(f"{self.url}/audio/transcriptions: the answer has no 'text'.", "Check the URL.")
        return text


class OpenAISpeech(Endpoint, SpeechSynthesizer):
    """`POST /audio/speech` in `voice`, as `response_format` wav, or pcm (16-bit at `pcm_rate` Hz, without a header).

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
                yield from audio_stream(response.iter_bytes(), what, rate)
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
                    yield self._whole(self._parsed(response.read(), "chat/completions"))
                    return
                for event in self._events(response.iter_lines(), what):
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
                raise EndpointError(f"{what}: {self._safe(_message(data))}.", "See the server's log.")
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


def _check_url(url: object) -> str:
    parts = urlsplit(str(url))
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadInput("The server's URL is not an http address.", "Write openai:http://127.0.0.1:8000/v1#MODEL.")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise BadInput(
            f"The URL of {parts.hostname} carries a user name, a password or a query.",
            "Put the key in an environment variable and name it: api_key_env=NAME.",
        )
    return str(url).rstrip("/")


def _backoff(attempt: int) -> float:
    return min(_FIRST_WAIT * 2.0**attempt, _LONGEST_WAIT)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds the server asks to wait, at most 60: a number or an HTTP date; None where it says nothing usable."""
    value = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d+(\.\d+)?", value):
        return min(float(value), _LONGEST_WAIT)
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return min(max(moment.timestamp() - time.time(), 0.0), _LONGEST_WAIT)


def _message(text: str) -> str:
    """The server's own words: `error.message` of the usual JSON, else the body as it is."""
    try:
        error = json.loads(text)["error"]
        return str(error["message"] if isinstance(error, dict) else error)
    except (ValueError, KeyError, TypeError):
        return text or "no message"


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

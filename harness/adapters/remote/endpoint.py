"""The connection to an OpenAI-compatible server: key, retries, bounded answers, and refusals that will not change.

Samples are sent to the server the user names and nowhere else. The key is read from an environment variable when a
request is sent; it is neither kept nor stored, and it is removed from error messages.
"""

from __future__ import annotations

import base64
import email.utils
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from speech_eval.adapters.base import Adapter
from speech_eval.adapters.options import choice, number, whole
from speech_eval.errors import BadInput, ModelUnavailable, SpeechEvalError, require
from speech_eval.records import ModelInfo
from speech_eval.safety.redaction import redact

Request = TypeVar("Request")
Result = TypeVar("Result")

SPEECH_RATE = 24_000  # of response_format=pcm, which carries no header
_RETRIED = {408, 409, 429}
_CERTAIN = {401, 402, 403, 404, 405, 410}  # whatever the sample, the next request is refused as this one was
_NO_MODEL = re.compile(r"(?i)\bmodel\b.*(?:not found|not exist|unknown|not supported)|(?:unknown|no such) model|quota")
_LONGEST_WAIT = 60.0
_FIRST_WAIT = 0.5


# Bytes of one answer, so that no server fills the memory: messages, JSON without sound, and anything with sound.
_LONGEST_MESSAGE = 1 << 16
_LONGEST_TEXT = 1 << 24
_LONGEST_SPEECH = 1 << 29
_LONGEST_LINE = 1 << 26  # of an event stream
_BODY_TIMEOUTS = 10  # a body that trickles is given up after so many times `timeout`


class EndpointError(SpeechEvalError):
    """The server could not be reached, refused the request, or gave an answer that cannot be used."""


class EndpointUnavailable(EndpointError, ModelUnavailable):
    """Nothing listens there, or it refuses the key or the model: every request will fail."""


class BadKey(BadInput, ModelUnavailable):
    """The environment variable does not hold a key."""


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
        self._timeout = number("timeout", timeout, above=True, unit="seconds")
        self._client = httpx.Client(
            timeout=self._timeout,
            limits=httpx.Limits(max_connections=None),
            headers={"User-Agent": "speech-eval-harness"},
        )

    def info(self) -> ModelInfo:
        """The revision is what the server says the model is (`GET /models`), empty where it says nothing.

        Raises `EndpointUnavailable` where nothing listens at the URL.
        """
        return ModelInfo(
            name=self.model or self.url,
            revision=self._served(),
            metadata={"url": self.url, "voice": self.voice, "response_format": self.response_format},
        )

    def _served(self) -> str:
        """The id of the model, and the `root` behind it where that differs; of all models where none is named."""
        try:
            with self._sent("GET", "models") as response:
                listed = json.loads(self._read(response, _LONGEST_TEXT))["data"]
            found = {str(model["id"]): str(model.get("root") or model["id"]) for model in listed}
        except EndpointUnavailable as error:
            if isinstance(error.__cause__, self._httpx.ConnectError):
                raise
            return ""  # a server may keep its list from those it answers
        except (EndpointError, BadKey, self._httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError):
            return ""
        chosen = {self.model: found[self.model]} if self.model in found else {} if self.model else found
        names = (name if root == name else f"{name}={root}" for name, root in sorted(chosen.items()))
        return self._safe(", ".join(names))

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
                body = self._read(response, self._longest)
            except self._httpx.HTTPError as error:
                raise self._unreachable(error) from error
        return self._parsed(body, path)

    @property
    def _longest(self) -> int:
        return _LONGEST_SPEECH if self.speak else _LONGEST_TEXT

    def _read(self, response: Any, longest: int) -> bytes:
        return b"".join(self._bytes(response, longest))

    def _bytes(self, response: Any, longest: int = _LONGEST_SPEECH) -> Iterator[bytes]:
        """The body as it arrives. Raises `EndpointError` beyond `longest` bytes, and for one that takes for ever."""
        count, began = 0, time.monotonic()
        for data in response.iter_bytes():
            count += len(data)
            if count > longest:
                raise EndpointError(f"{self.url}: an answer of more than {longest} bytes.", "See the server's log.")
            if time.monotonic() - began > _BODY_TIMEOUTS * self._timeout:
                raise EndpointError(f"{self.url}: an answer that does not end.", "See the server's log.")
            yield data

    def _lines(self, response: Any) -> Iterator[str]:
        """The lines of a body as they arrive."""
        left = b""
        for data in self._bytes(response):
            *lines, left = (left + data).split(b"\n") if b"\n" in data else (left + data,)
            if len(left) > _LONGEST_LINE:
                raise EndpointError(f"{self.url}: a line of more than {_LONGEST_LINE} bytes.", "See the server's log.")
            yield from (line.decode("utf-8", "replace") for line in lines)
        yield left.decode("utf-8", "replace")

    def _parsed(self, body: bytes, path: str) -> Any:
        try:
            return json.loads(body)
        except ValueError as error:
            shown = self._safe(body[:200].decode("utf-8", "replace"))
            raise EndpointError(f"{self.url}/{path}: the answer is not JSON: {shown!r}.", "Check the URL.") from error

    def _post(self, path: str, **content: Any) -> AbstractContextManager[Any]:
        return self._sent("POST", path, **content)

    @contextmanager
    def _sent(self, method: str, path: str, **content: Any) -> Iterator[Any]:
        """An open response of status 200, its body unread; retries before the body begins, never after."""
        response = None
        for attempt in range(self.retries + 1):
            final = attempt == self.retries
            try:
                request = self._client.build_request(method, f"{self.url}/{path}", headers=self._headers(), **content)
                response = self._client.send(request, stream=True)
                if response.status_code == 200:
                    break
                message = self._message(response)
            except self._httpx.TransportError as error:
                if final:
                    raise self._unreachable(error) from error
                time.sleep(_backoff(attempt))
                continue
            if final or not (response.status_code in _RETRIED or response.status_code >= 500):
                raise self._refusal(path, response, message)
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
            raise BadKey(
                f"${self._api_key_env} holds characters that no key has.", "Set it to the key and nothing else."
            )
        return key

    # ------------------------------------------------------------------------------------------------- errors

    def _safe(self, text: str) -> str:
        """One line of at most 300 characters without the key or anything that looks like one."""
        key = os.environ.get(self._api_key_env, "").strip()
        encoded = base64.b64encode(key.encode()).decode().rstrip("=")
        return " ".join(redact(text, key, encoded, quote(key, safe="")).split())[:300]

    def _unreachable(self, error: Exception) -> EndpointError:
        reason = self._safe(f"{type(error).__name__}: {error}")
        kind = EndpointUnavailable if isinstance(error, self._httpx.ConnectError) else EndpointError
        return kind(f"{self.url}: no complete answer ({reason}).", "Check that the server runs and the URL.")

    def _message(self, response: Any) -> str:
        """The server's own words in a refusal, cut where they are long."""
        body = b""
        for data in self._bytes(response):
            body += data
            if len(body) >= _LONGEST_MESSAGE:
                break
        return self._safe(words(body[:_LONGEST_MESSAGE].decode("utf-8", "replace")))

    def _refusal(self, path: str, response: Any, message: str) -> EndpointError:
        remedy = "See the server's log." if response.status_code >= 500 else "Check the model's name and the options."
        if response.status_code in (401, 403):
            remedy = f"Set ${self._api_key_env} to a valid key."
        if response.status_code == 429:
            remedy = "Lower concurrency=, or wait."
        if response.is_redirect:
            remedy = "Give the address it redirects to."
        certain = response.status_code in _CERTAIN or response.is_redirect or _NO_MODEL.search(message)
        kind = EndpointUnavailable if certain else EndpointError
        return kind(f"{self.url}/{path}: status {response.status_code}: {message}.", remedy)

    def _model_field(self) -> dict[str, Any]:
        return {"model": self.model} if self.model else {}


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


def words(text: str) -> str:
    """The server's own words: `error.message` of the usual JSON, else the body as it is."""
    try:
        error = json.loads(text)["error"]
        return str(error["message"] if isinstance(error, dict) else error)
    except (ValueError, KeyError, TypeError):
        return text or "no message"

"""The connection to an OpenAI-compatible server: retries, bounded answers, and refusals that will not change.

Samples are sent to the server the user names and nowhere else.
"""

from __future__ import annotations

import email.utils
import logging
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from typing import Any, TypeVar

from speech_eval.adapters.base import Adapter
from speech_eval.adapters.options import number, whole
from speech_eval.adapters.remote.address import Address, BadKey, json_object
from speech_eval.adapters.remote.fields import Described, refused_field
from speech_eval.adapters.remote.messages import MOST_VALUES, error_in, values, words
from speech_eval.errors import ModelUnavailable, SpeechEvalError, require
from speech_eval.records import ModelInfo
from speech_eval.text.files import parse_json

logger = logging.getLogger(__name__)

Request = TypeVar("Request")
Result = TypeVar("Result")

_RETRIED = {408, 409, 429}
_CERTAIN = {401, 402, 403, 404, 405, 410}  # whatever the sample, the next request is refused as this one was
_NO_MODEL = re.compile(r"(?i)\bmodel\b.*(?:not found|not exist|unknown|not supported)|(?:unknown|no such) model|quota")
_LONGEST_WAIT = 60.0
_FIRST_WAIT = 0.5

# Bytes of one answer, so that no server fills the memory: messages, JSON without sound, and anything with sound.
LONGEST_MESSAGE = 1 << 16
_LONGEST_TEXT = 1 << 24
_LONGEST_SPEECH = 1 << 29
_LONGEST_LINE = 1 << 26  # of an event stream
_BODY_TIMEOUTS = 10  # a body that trickles is given up after so many times `timeout`


class EndpointError(SpeechEvalError):
    """The server could not be reached, refused the request, or gave an answer that cannot be used."""


class EndpointUnavailable(EndpointError, ModelUnavailable):
    """Nothing listens there, or it refuses the key or the model: every request will fail."""


class Refused(EndpointError):
    """The server does not take the request as it is (status 400 or 422). `said` is its answer, uncut and unredacted, to
    look for the names of fields in."""

    said: str = ""


class Endpoint(Adapter):
    """What all interfaces share: the connection, retries and bounded concurrency.

    `url`, `api_key_env` and `headers` are those of `Address`. Errors of the connection and statuses 408, 409, 429 and
    5xx are tried `retries` times more, after the time the server asks for (`Retry-After`, at most 60 s) or 0.5, 1, 2 …
    seconds. A batch is sent as up to `concurrency` requests at once. `extra`, a JSON object, is laid over the body of
    every request; a field that is null in it is left out.
    """

    concurrent = True
    speaks = False  # whether answers in JSON hold sound

    def __init__(
        self,
        url: str,
        model: str = "",
        api_key_env: str = "OPENAI_API_KEY",
        headers: str = "",
        extra: str = "",
        timeout: float = 120.0,
        retries: int = 3,
        concurrency: int = 1,
    ) -> None:
        self._httpx = require("httpx", "api")
        self._address = Address(url, ("http", "https"), api_key_env, headers)
        self.url, self.model = self._address.url, model
        self.extra = json_object("extra", extra)
        self._address.hide(self.extra)
        self.retries = whole("retries", retries, 0)
        self.batch_size = self.concurrency = whole("concurrency", concurrency)
        self._untaken: set[str] = set()  # fields that the server refused by their name, left out from then on
        self._timeout = number("timeout", timeout, above=True, unit="seconds")
        self._client = self._httpx.Client(
            timeout=self._timeout,
            limits=self._httpx.Limits(max_connections=None),
            headers={"User-Agent": "speech-eval-harness"},
        )

    def info(self) -> ModelInfo:
        """The revision is what the server says the model is (`GET /models`), empty where it says nothing.

        Raises `EndpointUnavailable` where nothing listens at the URL.
        """
        metadata = {"url": self.url, "query": self._address.query, **self.described()}
        return ModelInfo(name=self.model or self.url, revision=self._served(), metadata=metadata)

    def described(self) -> dict[str, Any]:
        """What the manifest keeps of how requests are made."""
        return {}

    @cached_property
    def _description(self) -> Described:
        """What the server says of its own requests, asked for once and before anything is timed."""
        return Described(lambda: self._fetched("/openapi.json", retries=0))

    def _served(self) -> str:
        """The id of the model, and the `root` behind it where that differs; of all models where none is named."""
        try:
            listed = parse_json(self._fetched("models"))["data"]
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

    def _with_extra(self, body: dict[str, Any]) -> dict[str, Any]:
        """The body with `extra` laid over it, and the model where one is named."""
        named = {"model": self.model} if self.model else {}
        return {name: value for name, value in {**named, **body, **self.extra}.items() if value is not None}

    def _leave_out(self, refusal: Refused, names: Iterable[str]) -> None:
        """Leave out from now on the one of `names` that the server calls a field it does not have. Raises the refusal
        where it is about something else."""
        field = refused_field(refusal.said, list(names))
        if field is None:
            raise refusal
        logger.info("%s has no field '%s'; it is left out", self.url, field)
        self._untaken.add(field)

    def _json(self, path: str, **content: Any) -> Any:
        """The parsed JSON of one POST."""
        with self._post(path, **content) as response:
            return self._whole_json(response, path)

    def _whole_json(self, response: Any, path: str) -> Any:
        """The parsed JSON of an answer. Raises `EndpointError` with the server's words where it reports an error."""
        return self._parsed(self._read(response, _LONGEST_SPEECH if self.speaks else _LONGEST_TEXT), path)

    def _parsed(self, body: bytes, path: str) -> Any:
        if (count := values(body)) > MOST_VALUES:
            raise EndpointError(f"{self.url}/{path}: an answer of about {count} values.", "See the server's log.")
        try:
            answer = parse_json(body)
        except ValueError as error:
            shown = self._safe(body[:LONGEST_MESSAGE].decode("utf-8", "replace"))[:200]
            raise EndpointError(f"{self.url}/{path}: the answer is not JSON: {shown!r}.", "Check the URL.") from error
        self._check(answer, path)
        return answer

    def _check(self, answer: Any, path: str) -> None:
        """Raise `EndpointError` where an answer or event of status 200 reports an error."""
        if said := error_in(answer):
            raise EndpointError(f"{self.url}/{path}: {self._safe(said)}.", "See the server's log.")

    def _fetched(self, path: str, retries: int | None = None) -> bytes:
        with self._sent("GET", path, retries=retries) as response:
            return self._read(response, _LONGEST_TEXT)

    def _read(self, response: Any, longest: int) -> bytes:
        return b"".join(self._bytes(response, longest))

    def _bytes(self, response: Any, longest: int = _LONGEST_SPEECH) -> Iterator[bytes]:
        """The body as it arrives. Raises `EndpointError` for one that breaks off, is longer than `longest` bytes, or
        takes for ever."""
        count, began = 0, time.monotonic()
        try:
            for data in response.iter_bytes():
                count += len(data)
                if count > longest:
                    raise EndpointError(f"{self.url}: an answer of more than {longest} bytes.", "See the server's log.")
                if time.monotonic() - began > _BODY_TIMEOUTS * self._timeout:
                    raise EndpointError(f"{self.url}: an answer that does not end.", "See the server's log.")
                yield data
        except self._httpx.HTTPError as error:
            raise self._unreachable(error) from error

    def _lines(self, response: Any) -> Iterator[str]:
        """The lines of a body as they arrive."""
        left = b""
        for data in self._bytes(response):
            *lines, left = (left + data).split(b"\n") if b"\n" in data else (left + data,)
            if len(left) > _LONGEST_LINE:
                raise EndpointError(f"{self.url}: a line of more than {_LONGEST_LINE} bytes.", "See the server's log.")
            yield from (line.decode("utf-8", "replace") for line in lines)
        yield left.decode("utf-8", "replace")

    def _post(self, path: str, **content: Any) -> AbstractContextManager[Any]:
        return self._sent("POST", path, **content)

    @contextmanager
    def _sent(self, method: str, path: str, retries: int | None = None, **content: Any) -> Iterator[Any]:
        """An open response of status 200, its body unread; retries before the body begins, never after. A path that
        begins with `/` is one of the host."""
        url = str(self._httpx.URL(self.url).copy_with(path=path)) if path.startswith("/") else f"{self.url}/{path}"
        response = None
        most = self.retries if retries is None else retries
        for attempt in range(most + 1):
            final = attempt == most
            try:
                content |= {"headers": self._address.headers(), "params": self._address.query or None}
                response = self._client.send(self._client.build_request(method, url, **content), stream=True)
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

    # ------------------------------------------------------------------------------------------------- errors

    def _safe(self, text: str) -> str:
        """One line without keys."""
        return self._address.safe(text)

    def _unreachable(self, error: Exception) -> EndpointError:
        reason = self._safe(f"{type(error).__name__}: {error}")
        kind = EndpointUnavailable if isinstance(error, self._httpx.ConnectError) else EndpointError
        return kind(f"{self.url}: no complete answer ({reason}).", "Check that the server runs and the URL.")

    def _message(self, response: Any) -> str:
        """The body of a refusal, cut where it is long."""
        body = b""
        for data in self._bytes(response):
            body += data
            if len(body) >= LONGEST_MESSAGE:
                break
        response.close()
        return body[:LONGEST_MESSAGE].decode("utf-8", "replace")

    def _refusal(self, path: str, response: Any, said: str) -> EndpointError:
        status, message = response.status_code, self._safe(words(said))
        remedy = "See the server's log." if status >= 500 else "Check the model's name and the options."
        if status in (401, 403):
            remedy = f"Set ${self._address.api_key_env} to a valid key."
        if status in (404, 405):
            remedy = (
                "Check the URL and the model's name, and say what the server does: kind=transcription, for example."
            )
        if status == 429:
            remedy = "Lower concurrency=, or wait."
        if response.is_redirect:
            remedy = "Give the address it redirects to."
        kind: type[EndpointError] = EndpointError
        if status in _CERTAIN or response.is_redirect or _NO_MODEL.search(message):
            kind = EndpointUnavailable
        elif status in (400, 422):
            kind = Refused
        refusal = kind(f"{self.url}/{path}: status {status}: {message}.", remedy)
        if isinstance(refusal, Refused):
            refusal.said = said
        return refusal


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

"""A connection that carries JSON events both ways. Events are taken as they come, by a thread of their own."""

from __future__ import annotations

import contextlib
import json
import queue
import threading
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from speech_eval.adapters.remote.address import Address
from speech_eval.adapters.remote.endpoint import EndpointError, EndpointUnavailable
from speech_eval.adapters.remote.messages import MOST_VALUES, error_in, parsed, values, words
from speech_eval.errors import require

_CERTAIN = {401, 402, 403, 404, 405, 410}
_LONGEST_EVENT = 1 << 24  # bytes
_LONGEST_SESSION = 1 << 29
_COURTESIES = ("conversation.item.truncate", "session.close")  # events that a server need not know
_CLOSING_SECONDS = 2.0


class Socket:
    """An open connection. Raises `EndpointUnavailable` where nothing listens or the key or path is refused."""

    def __init__(self, address: Address, query: Mapping[str, str], timeout: float) -> None:
        require("websockets", "api")
        from websockets.exceptions import InvalidStatus, WebSocketException
        from websockets.sync.client import connect

        self._address, self.url = address, address.url
        asked = urlencode({**query, **address.query})
        try:
            self._socket = connect(
                f"{address.url}?{asked}" if asked else address.url,
                additional_headers=address.headers(),
                user_agent_header="speech-eval-harness",
                open_timeout=timeout,
                close_timeout=_CLOSING_SECONDS,
                max_size=_LONGEST_EVENT,
            )
        except InvalidStatus as error:
            said = words((error.response.body or b"").decode("utf-8", "replace"))
            kind = EndpointUnavailable if error.response.status_code in _CERTAIN else EndpointError
            raise kind(
                f"{self.url}: status {error.response.status_code}: {address.safe(said)}.",
                f"Check the URL, and that ${address.api_key_env} is set where the server wants a key.",
            ) from error
        except (OSError, WebSocketException) as error:
            kind = EndpointUnavailable if isinstance(error, ConnectionError) else EndpointError
            reason = address.safe(f"{type(error).__name__}: {error}")
            raise kind(f"{self.url}: no connection ({reason}).", "Check that the server runs and the URL.") from error
        self._events: queue.Queue[dict[str, Any] | EndpointError] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True, name="realtime")
        self._reader.start()

    def send(self, event: Mapping[str, Any]) -> None:
        from websockets.exceptions import ConnectionClosed

        with contextlib.suppress(ConnectionClosed):  # why it closed is among what was received
            self._socket.send(json.dumps(event))

    def next(self, seconds: float) -> dict[str, Any] | None:
        """The next event, None where none comes within `seconds`. Raises `EndpointError` with the server's words where
        it reports an error, and where it ended the connection."""
        try:
            event = self._events.get(timeout=seconds) if seconds > 0 else self._events.get_nowait()
        except queue.Empty:
            return None
        if isinstance(event, EndpointError):
            self._events.put(event)  # it is the last one
            raise event
        if said := error_in(event):
            detail = event.get("error")
            answered = str(detail.get("event_id") or "") if isinstance(detail, dict) else ""
            if not answered.startswith(_COURTESIES):
                raise EndpointError(f"{self.url}: {self._address.safe(said)}.", "See the server's log.")
        return event

    def close(self) -> None:
        self._socket.close()
        self._reader.join(_CLOSING_SECONDS)

    def _read(self) -> None:
        from websockets.exceptions import ConnectionClosed

        size, count, reason = 0, 0, "the server closed the connection"
        try:
            for message in self._socket:
                size, count = size + len(message), count + values(message)
                if size > _LONGEST_SESSION or count > MOST_VALUES:
                    reason = f"more than {_LONGEST_SESSION} bytes or {MOST_VALUES} values"
                    break
                event = parsed(message if isinstance(message, str) else message.decode("utf-8", "replace"))
                if not isinstance(event, dict):
                    reason = "a message is not a JSON object"
                    break
                self._events.put(event)
        except ConnectionClosed as error:
            reason = self._address.safe(f"{reason} ({error})")
        self._events.put(EndpointError(f"{self.url}: {reason}.", "See the server's log."))


def wait_until(moment: float) -> None:
    """Sleep until a moment of the monotonic clock."""
    if (seconds := moment - time.monotonic()) > 0:
        time.sleep(seconds)

"""What servers say: event streams, JSON lines, and their words where something is wrong."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from speech_eval.text.files import parse_json

MOST_VALUES = 1 << 22  # in the JSON of an answer or a session: each takes some ten times its bytes in memory
DONE = "[DONE]"  # the last event of a stream, at servers that have one


def event_data(lines: Iterable[str]) -> Iterator[str]:
    """The `data` of each server-sent event; nothing is read after `DONE`.

    One space after the colon is not part of the data; the lines of one event are joined.
    """
    data: list[str] = []
    for line in chain((line.rstrip("\r") for line in lines), ("",)):
        if line.startswith("data:"):
            data.append(line.removeprefix("data:").removeprefix(" "))
        elif not line and data:
            yield (event := "\n".join(data))
            if event == DONE:
                return
            data = []


def parsed(text: str) -> Any:
    """The JSON in a text, None where it cannot be read."""
    try:
        return parse_json(text)
    except ValueError:
        return None


def values(text: str | bytes) -> int:
    """About the number of values in a JSON text, without reading it."""
    data = text.encode("utf-8", "replace") if isinstance(text, str) else text
    return data.count(b",") + data.count(b"[") + data.count(b"{")


def error_in(answer: Any) -> str:
    """The server's words in an answer or event that reports an error; empty for any other."""
    if not isinstance(answer, dict):
        return ""
    kind = str(answer.get("type") or answer.get("object") or "")
    if answer.get("error") or kind == "error" or kind.endswith(".error"):
        return words(json.dumps(answer))
    return ""


def words(text: str) -> str:
    """What a body says is wrong: `error.message` of the usual JSON, `detail` or `message` of others, else the text."""
    body = parsed(text)
    if not isinstance(body, dict):
        return text or "no message"
    error = body.get("error") or body.get("detail") or body.get("message")
    if isinstance(error, dict):
        error = error.get("message") or error
    if isinstance(error, list):
        error = "; ".join(_complaint(item) for item in error)
    return (error if isinstance(error, str) else json.dumps(error)) if error else text or "no message"


def _complaint(item: Any) -> str:
    """One entry of a validation error: where it is and what is wrong."""
    if not isinstance(item, dict) or "msg" not in item:
        return str(item)
    return f"{'.'.join(str(part) for part in item.get('loc', ()))}: {item['msg']}"

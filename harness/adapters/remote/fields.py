"""Which fields a server takes: those that it describes in its OpenAPI document, and those that it refuses by name.

Most open servers are written with FastAPI, which serves the description at `/openapi.json`. A server that does not
describe a request says nothing about its fields.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from speech_eval.adapters.remote.messages import parsed
from speech_eval.errors import SpeechEvalError
from speech_eval.text.files import parse_json

_FIELD = r"(?:fields?|param(?:eter)?s?|arguments?|propert(?:y|ies))\b(?!\s+value)"
_UNKNOWN = rf"(?:un(?:known|recognized|expected|supported)|extra|additional)\b(?:[^\w.;]*\w+){{0,3}}?[^\w.;]*\b{_FIELD}"


class Described:
    """The fields of the requests that a server describes. `fetch` returns its OpenAPI document, or raises."""

    def __init__(self, fetch: Callable[[], bytes]) -> None:
        try:
            document = parse_json(fetch())
        except (SpeechEvalError, ValueError):
            document = None
        self._document: Mapping[str, Any] = document if isinstance(document, dict) else {}

    def fields(self, path: str) -> dict[str, Any] | None:
        """Field to its schema, of the POST whose path ends with `path`; None where the server does not say."""
        try:
            operation = next(
                found["post"] for name, found in self._document["paths"].items() if name.rstrip("/").endswith(path)
            )
            content = operation["requestBody"]["content"]
            schema = self._resolved(next(iter(content.values()))["schema"])
            fields = dict(schema["properties"])
        except (KeyError, StopIteration, TypeError, AttributeError):
            return None
        return None if schema.get("additionalProperties") else fields

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        for _ in range(8):
            if "$ref" not in schema:
                break
            found: Any = self._document
            for part in str(schema["$ref"]).removeprefix("#/").split("/"):
                found = found[part]
            schema = found
        return schema


def refused_field(said: str, names: Collection[str]) -> str | None:
    """The first of `names` that a refusal calls a field the server does not have; a refused value does not count."""
    detail = found.get("detail") if isinstance(found := parsed(said), dict) else None
    for item in detail if isinstance(detail, list) else ():
        if isinstance(item, dict) and item.get("type") == "extra_forbidden" and item.get("loc", [""])[-1] in names:
            return str(item["loc"][-1])
    for name in names:
        # Between the word and the name there may be a list of other names, and no end of a sentence.
        quoted = rf"(?<![\w.-]){re.escape(name)}(?![\w-])"
        for pattern in (
            rf"{_UNKNOWN}[^.;]*?{quoted}",
            rf"{quoted}['\"`]?\s+(?:is|was)\s+not\s+(?:supported|permitted|allowed|recognized|accepted)",
            rf"{quoted}['\"`]?\s*:\s*Extra inputs are not permitted",
            rf"not support (?:the )?(?:following )?{_FIELD}[^.;]*?{quoted}",
        ):
            if re.search(pattern, said, re.IGNORECASE):
                return name
    return None

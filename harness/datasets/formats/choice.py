"""Questions with options: rows of any benchmark as `question`, `choices` and `reference`, by its catalog entry."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from speech_eval.datasets.catalog import Choice
from speech_eval.errors import BadInput
from speech_eval.text.files import parse_json

# The columns of a prepared row, for the fields of a sample; an entry may name others.
COLUMNS: Mapping[str, tuple[str, ...]] = {"id": ("id",), "audio": ("audio", "context"), "text": ("reference",)}
KEPT = frozenset({"question", "choices"})  # metadata, whatever they hold


def layout(about: Choice) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """What prepares a row. Raises `BadInput` where a column that the entry names is absent."""

    def prepare(row: Mapping[str, Any]) -> dict[str, Any]:
        row = _unpacked(row, about)
        own = {about.question, about.answer, *about.choices}
        kept = {name: value for name, value in row.items() if name not in own}
        question = row[about.question] if about.question in row or not about.options else ""
        return {**kept, "question": question, "choices": _choices(row, about), "reference": _reference(row, about)}

    return prepare


def _unpacked(row: Mapping[str, Any], about: Choice) -> Mapping[str, Any]:
    inside: dict[str, Any] = {}
    for name in about.unpack:
        value = row.get(name)
        try:
            inside |= parse_json(value) if isinstance(value, str) else value or {}
        except (ValueError, TypeError) as error:
            raise BadInput(f"the column {name} holds no object.", "Correct the data.") from error
    found = {**inside, **{name: value for name, value in row.items() if name not in about.unpack}}
    if about.question not in found and not about.options:
        _given(found, about.question)
    return found


def _choices(row: Mapping[str, Any], about: Choice) -> list[str] | str:
    if about.options:
        return list(about.options)
    if len(about.choices) == 1:
        value = _given(row, about.choices[0])
        if not isinstance(value, str | list | tuple):
            raise BadInput(f"the column {about.choices[0]} holds no options.", "Correct the data.")
        return value if isinstance(value, str) else [str(option) for option in value]
    return [str(row[name]) for name in about.choices if row.get(name) is not None]


def _reference(row: Mapping[str, Any], about: Choice) -> Any:
    """The answer; where the entry has the options, the only one that the answer names ("The speaker is a male.")."""
    given = _given(row, about.answer)
    named = [option for option in about.options if re.search(rf"\b{re.escape(option)}\b", str(given), re.IGNORECASE)]
    return named[0] if len(named) == 1 else given


def _given(row: Mapping[str, Any], name: str) -> Any:
    if row.get(name) is None:
        raise BadInput(f"there is no column {name} (there are {', '.join(row)}).", "Correct `choice` in the catalog.")
    return row[name]

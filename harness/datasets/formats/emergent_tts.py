"""EmergentTTS-Eval: rows by their number, which decides whose speech a judge hears first; the category is the set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

from speech_eval.datasets.catalog import Entry


def layout(entry: Entry) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """What prepares a row: its `id` and `row` are its number, counted from 0."""
    numbers = count()

    def prepare(row: Mapping[str, Any]) -> dict[str, Any]:
        number = next(numbers)
        return {**row, "id": str(number), "row": number, "set": row.get("category")}

    return prepare

"""Sets of AudioBench whose columns are nested: the fields within them as columns of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from speech_eval.datasets.catalog import Entry


def layout(entry: Entry) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """What prepares a row: the texts of `instruction` and `answer`, of which the first is the reference and all are
    `keys`; the dimension of an instruction is the row's `set`."""

    def prepare(row: Mapping[str, Any]) -> dict[str, Any]:
        instruction, answers = _text(row.get("instruction")), _text(row.get("answer"))
        keys = [str(key) for key in (answers if isinstance(answers, list) else [answers]) if key is not None]
        made = {**row, "instruction": instruction, "answer": keys[0] if keys else None, "keys": keys}
        return made | ({"set": row["instruction_type"]} if row.get("instruction_type") else {})

    return prepare


def _text(value: Any) -> Any:
    return value.get("text") if isinstance(value, Mapping) else value

"""Sets of AudioBench whose columns are nested: the fields within them as columns of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from speech_eval.datasets.catalog import Entry


def layout(entry: Entry) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """What prepares a row: the texts of `instruction` and `answer`, of which the first is the reference and all are
    `keys`; the dimension of an instruction is the row's `set`. An instruction that is spoken is kept as text too, and
    options that are one text follow their question."""

    def prepare(row: Mapping[str, Any]) -> dict[str, Any]:
        spoken = row.get("instruction") is None
        instruction = _text(row.get("speech_instruction") if spoken else row.get("instruction"))
        answers = _text(row.get("answer"))
        if isinstance(row.get("choices"), str):
            instruction = f"Question:\n{instruction}\n Choices:\n{row['choices']}"
        keys = [str(key) for key in (answers if isinstance(answers, list) else [answers]) if key is not None]
        made = {**row, "instruction": instruction, "answer": keys[0] if keys else None, "keys": keys}
        return made | ({"set": row["instruction_type"]} if row.get("instruction_type") else {})

    return prepare


def _text(value: Any) -> Any:
    return value.get("text") if isinstance(value, Mapping) else value

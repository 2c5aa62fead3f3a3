"""InstructTTSEval: each row has three instructions for one text; a dataset of the catalog takes one kind of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from speech_eval.datasets.catalog import Entry
from speech_eval.errors import BadInput


def layout(entry: Entry) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """What prepares a row: the column that the entry's fact `kind` names becomes `instruction`."""
    kind = entry.facts["kind"]

    def prepare(row: Mapping[str, Any]) -> dict[str, Any]:
        if not row.get(kind):
            raise BadInput(
                f"there is no instruction {kind} (there are {', '.join(row)}).", "Look at the dataset's page."
            )
        return {**row, "instruction": row[kind]}

    return prepare

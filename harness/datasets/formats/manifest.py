"""A manifest: JSON lines, an optional header and one sample per line. Also `metadata.jsonl` of an AudioFolder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from speech_eval.datasets.catalog import Entry
from speech_eval.datasets.dataset import Dataset
from speech_eval.datasets.formats.rows import Row, dataset, invalid, lines_of, samples
from speech_eval.errors import BadInput
from speech_eval.records import DatasetInfo


def read(path: Path, entry: Entry | None = None) -> Dataset:
    """The dataset of a manifest. Files are relative to its folder, or lie in an asset that the header names (all files
    in a manifest of the catalog that names assets).

    Raises `BadInput` naming file and line for what cannot be used.
    """
    rows = list(_rows(path))
    if not rows or "name" not in rows[0][1] or {"id", "file_name"} & rows[0][1].keys():
        return dataset(path, rows)
    number, header = rows[0]
    try:
        info = DatasetInfo.model_validate(header)
    except ValidationError as error:
        raise invalid(path, number, error) from None
    root = None if entry and info.assets else path.parent
    return Dataset.of(info, samples(path, rows[1:], root, info.assets), root)


def _rows(path: Path) -> Iterator[Row]:
    for number, line in lines_of(path):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise BadInput(
                f"{path}:{number}: not a JSON record ({error}).", "Write one JSON object per line."
            ) from None
        if not isinstance(row, dict):
            raise BadInput(f"{path}:{number}: not a JSON object.", "Write one JSON object per line.")
        yield number, row

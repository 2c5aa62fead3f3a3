"""A table with a header line, such as `metadata.csv` of an AudioFolder."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from speech_eval.datasets.catalog import Entry
from speech_eval.datasets.dataset import Dataset
from speech_eval.datasets.formats.rows import Row, dataset, text_of
from speech_eval.errors import BadInput


def read(path: Path, entry: Entry | None = None) -> Dataset:
    """The dataset of a CSV file. Raises `BadInput` naming the line for a row of another length than the header."""
    return dataset(path, _rows(path))


def _rows(path: Path) -> Iterator[Row]:
    reader = csv.DictReader(io.StringIO(text_of(path), newline=""))
    for row in reader:
        if None in row or None in row.values():
            raise BadInput(
                f"{path}:{reader.line_num}: the line does not have as many fields as the header.",
                "Quote texts that hold commas.",
            )
        # An empty cell of an optional column is an absent value; an empty text is the user's mistake.
        yield reader.line_num, {key: value for key, value in row.items() if value or key == "text"}

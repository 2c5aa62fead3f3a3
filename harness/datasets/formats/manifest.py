"""JSON lines, or a JSON array: a manifest with an optional header, `metadata.jsonl` of an AudioFolder, rows of NeMo and
of lhotse."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NoReturn

from pydantic import ValidationError

from speech_eval.datasets import spoken
from speech_eval.datasets.catalog import Entry
from speech_eval.datasets.dataset import Dataset
from speech_eval.datasets.formats import columns, lhotse, nemo
from speech_eval.datasets.formats.rows import Row, dataset, invalid, lines_of, samples
from speech_eval.datasets.roots import located
from speech_eval.errors import BadInput
from speech_eval.records import DatasetInfo


def read(path: Path, entry: Entry | None = None) -> Dataset:
    """The dataset of a manifest. Files are relative to its folder, or lie in an asset that the header names (all files
    in a manifest of the catalog that names assets).

    Raises `BadInput` naming file and line for what cannot be used.
    """
    rows = list(rows_of(path))
    first = rows[0][1] if rows else {}
    if lhotse.is_cut(first):
        return lhotse.read(path, rows)
    if lhotse.is_supervision(first):
        listed = [file for file in (lhotse.recordings_of(path),) if file.is_file()]
        return lhotse.read(path, lhotse.of_supervisions(path, rows, [*chain(*map(rows_of, listed))]), listed)
    if nemo.is_row(first):
        return nemo.read(path, rows)
    if "name" not in first or columns.is_header(list(first)):
        return dataset(path, rows, taken_for="an AudioFolder" if "file_name" in first else "")
    number, header = rows[0]
    try:
        info = DatasetInfo.model_validate(header)
    except ValidationError as error:
        raise invalid(path, number, error) from None
    if entry and entry.spoken:
        made = Dataset.of(info, samples(path, rows[1:], None), spoken.folder())
        return dataclasses.replace(made, spoken=True)
    if entry and info.assets:
        return Dataset.of(info, samples(path, rows[1:], None, info.assets))
    fields = partial(columns.plainly, locate=lambda relative: _located(relative, path.parent, info))
    return Dataset.of(info, samples(path, rows[1:], path.parent, info.assets, fields), path.parent)


def _located(relative: str, folder: Path, info: DatasetInfo) -> str:
    return relative if relative.split("/")[0] in info.assets else located(relative, folder)


def rows_of(path: Path) -> Iterator[Row]:
    """The records of a file of JSON lines, which may be compressed by gzip, or of one JSON array.

    Raises `BadInput` naming the line that is not a JSON object.
    """
    numbered = list(lines_of(path))
    if numbered and numbered[0][1].lstrip().startswith("[") and path.suffix == ".json":
        numbered = [(1, "\n".join(line for _, line in numbered))]
    for number, line in numbered:
        try:
            found = json.loads(line, parse_constant=_no_number)
        except (ValueError, RecursionError) as error:
            raise BadInput(
                f"{path}:{number}: not a JSON record ({error}).", "Write one JSON object per line."
            ) from None
        for row in found if isinstance(found, list) and path.suffix == ".json" else [found]:
            if not isinstance(row, dict):
                raise BadInput(f"{path}:{number}: not a JSON object.", "Write one JSON object per line.")
            yield number, row


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number of JSON")

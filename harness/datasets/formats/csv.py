"""A table with a header line: `metadata.csv` of an AudioFolder, `path,sentence`, `.tsv` of Common Voice.

The delimiter (comma, semicolon, tab or bar) is that of the header line.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from speech_eval.datasets.catalog import Entry
from speech_eval.datasets.dataset import AUDIO_SUFFIXES, Dataset
from speech_eval.datasets.formats import columns, ljspeech
from speech_eval.datasets.formats.rows import Row, dataset, text_of
from speech_eval.errors import BadInput

DELIMITERS = (",", ";", "\t", "|")
_PLACES = ("clips", "wavs", "wav", "audio", "data")  # folders of recordings beside a table


def read(path: Path, entry: Entry | None = None) -> Dataset:
    """The dataset of a table. Raises `BadInput` naming the line for a row of another length than the header, and the
    columns where none of them names a recording or an id."""
    text = text_of(path)
    first = next((line for line in text.split("\n") if line.strip()), "").rstrip("\r")
    delimiter = max(DELIMITERS, key=first.count)
    names = [name.strip().strip('"') for name in first.split(delimiter)]
    if not columns.is_header(names):
        if delimiter == "|" and len(names) > 1:
            return ljspeech.read(path, entry)
        if Path(names[0]).suffix.lower() not in AUDIO_SUFFIXES:
            raise BadInput(
                f"{path}:1: no column names a recording or an id; the columns are {', '.join(names) or 'none'}.",
                "Begin with a header line that has a column 'file_name' (or 'path', 'audio'), or 'id'.",
            )
        text = delimiter.join(["file_name", "text"][: len(names)]) + "\n" + text
    common_voice = "client_id" in names and "sentence" in names
    kind = "a list of Common Voice" if common_voice else "an AudioFolder" if "file_name" in names else "a table"
    name = path.resolve().parent.name + f"-{path.stem}" if common_voice else None
    return dataset(path, _rows(path, text, delimiter), taken_for=kind, name=name, places=_PLACES)


def _rows(path: Path, text: str, delimiter: str) -> Iterator[Row]:
    quotes = delimiter in ",;"  # texts between tabs or bars hold quotes as they are
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting)
    try:
        for row in reader:
            if None in row or None in row.values():
                raise BadInput(
                    f"{path}:{reader.line_num}: the line does not have as many fields as the header.",
                    f"Quote texts that hold '{delimiter}'."
                    if quoting == csv.QUOTE_MINIMAL
                    else "Remove the tab or bar.",
                )
            # An empty cell is an absent value. Only JSON can say that a text is empty.
            yield reader.line_num, {key.strip(): value for key, value in row.items() if value.strip()}
    except csv.Error as error:
        raise BadInput(f"{path}:{reader.line_num}: not a table ({error}).", "Check the quotes of the line.") from None

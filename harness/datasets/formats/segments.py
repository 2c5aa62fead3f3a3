"""Lists whose rows may be parts of longer recordings: NeMo, Kaldi, ESPnet, lhotse."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from speech_eval.datasets.dataset import Dataset
from speech_eval.datasets.formats import columns, imported
from speech_eval.datasets.formats.rows import Row, dataset
from speech_eval.datasets.roots import absolute, located
from speech_eval.errors import BadInput

SPAN = "\0span"  # the key of a row's `Span`


class Span(NamedTuple):
    """Seconds `start` to `end` (None: to the end) of a channel."""

    start: float = 0.0
    end: float | None = None
    channel: int = 0


def number(value: object) -> float:
    """A time of a list in seconds. Raises `ValueError` for what is not one."""
    found = float(str(value))
    if not 0 <= found < 1e9:
        raise ValueError(f"{value} is not a time in seconds")
    return found


def read(
    path: Path, rows: Sequence[Row], *, taken_for: str, name: str | None = None, files: Iterable[Path] = ()
) -> Dataset:
    """The dataset of a list whose rows may have a `Span`. Where one is less than its recording, all are cut out and
    kept in the cache; `files` are what the rows come from besides `path`.

    Raises `BadInput` naming the line where a recording that is to be cut is missing.
    """
    folder = path.parent
    spans = {line: row.pop(SPAN, Span()) for line, row in rows}
    parts: dict[int, imported.Part] = {}
    for line, row in rows:
        if column := columns.which(row).get("audio"):
            try:
                file = absolute(located(str(row[column]), folder), folder)
            except BadInput as error:
                raise BadInput(f"{path}:{line}: {error.problem}", error.remedy) from None
            parts[line] = imported.Part(file, *spans[line])
    cut = [part for line, part in parts.items() if spans[line] != Span()]
    if missing := next((part.file for part in cut if not part.file.is_file()), None):
        raise BadInput(f"{path}: the recording {missing} is missing.", "Put it there, or correct the list.")
    if all(part.whole for part in cut):
        return dataset(path, rows, taken_for=taken_for, name=name)

    def written() -> Iterator[dict[str, Any]]:
        for line, row in rows:
            used = columns.which(row)
            other = {key: value for key, value in row.items() if key != used.get("audio")}
            if "id" not in used and line in parts:
                other["id"] = f"{columns.id_of(parts[line].file.name)}-{line}"
            yield other | ({"audio": parts[line]} if line in parts else {})

    sources = {part.file for part in parts.values() if part.file.is_file()} | set(files)
    return imported.read(path, sources, written, taken_for=taken_for, name=name or path.stem)

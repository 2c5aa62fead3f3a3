"""Files of the library `datasets`: parquet, and folders of `save_to_disk` (extra `hub`).

Recordings in them are taken as they are stored, without decoding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from speech_eval.datasets.catalog import Entry
from speech_eval.datasets.dataset import Dataset
from speech_eval.datasets.formats import columns, imported
from speech_eval.datasets.formats.splits import chosen, split_of
from speech_eval.datasets.roots import absolute, located
from speech_eval.errors import BadAudio, BadInput, require

EXTRA = "hub"
SAVED, SAVED_SPLITS = "state.json", "dataset_dict.json"  # in a folder of `save_to_disk`


def read(path: Path, entry: Entry | None = None) -> Dataset:
    """The dataset of a parquet file."""
    return read_shards(path, [path])


def read_folder(folder: Path, files: Sequence[Path]) -> Dataset:
    """The dataset of the parquet files of a folder, of one split where their names have it."""
    by_split: dict[str, list[Path]] = {}
    for file in files:
        by_split.setdefault(split_of(file.stem), []).append(file)
    split, others = chosen(by_split)
    return read_shards(folder, by_split[split], split=split, note=others)


def read_shards(source: Path, files: Sequence[Path], *, split: str = "", note: str = "") -> Dataset:
    """The dataset of parquet files that belong together. Raises `BadInput` for a file that is not parquet."""
    pyarrow = require("pyarrow", EXTRA)
    parquet = require("pyarrow.parquet", EXTRA, "pyarrow")

    def rows() -> Iterator[Mapping[str, Any]]:
        for file in files:
            try:
                for batch in parquet.ParquetFile(file).iter_batches(batch_size=64):
                    yield from batch.to_pylist()
            except (pyarrow.ArrowException, OSError) as error:
                raise BadInput(f"{file}: not a readable parquet file ({error}).", "Download it again.") from None

    return _imported(source, files, rows, f"parquet ({note})" if note else "parquet", split)


def read_saved(folder: Path) -> Dataset:
    """The dataset of a folder of `save_to_disk`, or of one split of several."""
    library = require("datasets", EXTRA)
    split, note, place = "", "", folder
    if (folder / SAVED_SPLITS).is_file():
        split, note = chosen([path.parent.name for path in folder.glob(f"*/{SAVED}")])
        place = folder / split

    def rows() -> Iterator[Mapping[str, Any]]:
        try:
            found = library.load_from_disk(str(place))
        except Exception as error:  # the library's own, which share no base class
            raise BadInput(f"{place}: `datasets` cannot load it ({error}).", "Save it again.") from None
        for column, feature in found.features.items():
            if isinstance(feature, library.Audio):
                found = found.cast_column(column, library.Audio(decode=False))
        yield from found

    files = sorted(place.glob("*.arrow"))
    taken_for = f"save_to_disk of datasets ({note})" if note else "save_to_disk of datasets"
    return _imported(folder, [place / SAVED, *files], rows, taken_for, split)


def _imported(
    source: Path, files: Iterable[Path], rows: Callable[[], Iterable[Mapping[str, Any]]], taken_for: str, split: str
) -> Dataset:
    folder = source if source.is_dir() else source.parent

    def prepared() -> Iterator[Mapping[str, Any]]:
        for row in rows():
            column = columns.which(name for name, value in row.items() if value is not None).get("audio")
            yield row if column is None else {**_without(row, column), **_recording(row[column], column, folder)}

    name = "-".join(filter(None, (source.resolve().stem, split)))
    return imported.read(source, files, prepared, taken_for=taken_for, name=name)


def _without(row: Mapping[str, Any], column: str) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != column}


def _recording(value: Any, column: str, folder: Path) -> dict[str, Any]:
    """The recording of a cell, and the id that its path gives."""
    path = value.get("path") if isinstance(value, Mapping) else value if isinstance(value, str) else None
    data = value.get("bytes") if isinstance(value, Mapping) else value
    if isinstance(data, bytes):
        return {"audio": data} | ({"id": columns.id_of(path)} if path else {})
    if path is None:
        raise BadAudio(f"{folder}: a cell of '{column}' holds neither bytes nor a path.", "Save the data again.")
    file = absolute(located(path, folder), folder)
    if not file.is_file():
        raise BadAudio(f"{folder}: the recording {path} is missing.", "Put it there, or save the data with its audio.")
    return {"audio": imported.Part(file), "id": columns.id_of(path)}

"""From the rows of a file to samples, whatever the layout of the file: errors name the file and the line."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import io
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from speech_eval.assets.archives import safe_relative
from speech_eval.audio import audio_sha256
from speech_eval.datasets import languages
from speech_eval.datasets.dataset import Dataset
from speech_eval.datasets.formats import columns
from speech_eval.datasets.roots import absolute, located
from speech_eval.errors import BadAudio, BadInput
from speech_eval.records import DatasetInfo, Sample
from speech_eval.text.files import LARGEST_LIST, read_bytes

Row = tuple[int, dict[str, Any]]  # the number of the line, and its fields


def text_of(path: Path) -> str:
    """The text of a UTF-8 file, which may be compressed by gzip, without a byte order mark."""
    data = read_bytes(path)
    if path.suffix == ".gz":
        data = _unzipped(path, data)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        raise BadInput(f"{path}:{number}: the text is not UTF-8.", "Save the file as UTF-8.") from None


def _unzipped(path: Path, data: bytes) -> bytes:
    try:
        with gzip.open(io.BytesIO(data)) as stream:
            text = stream.read(LARGEST_LIST + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise BadInput(f"{path}: not a complete gzip file ({error}).", "Compress it again, or unpack it.") from None
    if len(text) > LARGEST_LIST:
        raise BadInput(
            f"{path}: more than {LARGEST_LIST >> 30} GiB when unpacked.", "Unpack it, and check what it holds."
        )
    return text


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, numbered from 1. Only a line feed ends a line: JSON text may hold other breaks."""
    for number, line in enumerate(text_of(path).split("\n"), start=1):
        if line.strip():
            yield number, line.rstrip("\r")


def dataset(
    path: Path,
    rows: Iterable[Row],
    *,
    taken_for: str = "",
    name: str | None = None,
    root: Path | None = None,
    places: Sequence[str] = (),
) -> Dataset:
    """A dataset of a file without a header, named `name`, else after the file (after its folder for `metadata.*`).

    Paths are relative to `root`, by default the folder of the file, or to one of the `places` in it. The note of the
    dataset says what the file was `taken_for` and which columns were read.
    """
    given, root = list(rows), root or path.parent
    names = tuple(dict.fromkeys(key for _, row in given for key in row))
    found = samples(path, given, root, fields=partial(columns.fields, locate=lambda p: located(p, root, places)))
    info = DatasetInfo(
        name=name or (path.resolve().parent.name if path.stem == "metadata" else path.stem),
        version="0",
        description=f"Read from {path.name}.",
        languages=sorted({sample.language for sample in found}),
        license="unknown",
        source="local files",
    )
    used = columns.said(columns.which(names))
    read = ", ".join(filter(None, (taken_for and f"{path.name} is read as {taken_for}", used)))
    note = read and f"{read if taken_for else f'{read[0].upper()}{read[1:]}'}."
    return dataclasses.replace(Dataset.of(info, found, root), columns=names, note=note)


def samples(
    path: Path,
    rows: Iterable[Row],
    root: Path | None,
    assets: Iterable[str] = (),
    fields: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict,
) -> list[Sample]:
    """The samples of the rows, of which `fields` makes the fields of a sample.

    Files under `root` get a sha256 where the row has none; with None, no file is read.
    """
    seen: dict[str, int] = {}
    found = []
    for number, row in rows:
        sample = _sample(path, number, row, fields)
        if sample.id in seen:
            raise BadInput(
                f"{path}:{number}: the id '{sample.id}' is already on line {seen[sample.id]}.",
                "Give every sample an id of its own.",
            )
        seen[sample.id] = number
        found.append(sample if root is None else _with_digests(sample, root, set(assets)))
    if not found:
        raise BadInput(f"{path}: the dataset has no samples.", "Add one line per sample.")
    return found


def _sample(
    path: Path, number: int, row: Mapping[str, Any], fields: Callable[[Mapping[str, Any]], Mapping[str, Any]]
) -> Sample:
    try:
        given = fields(row)
        if "id" not in given:
            raise BadInput(
                f"there is no id and no path of a recording; the columns are {', '.join(row)}.",
                "Name a column 'id', or 'file_name' for the path of a recording.",
            )
        sample = Sample.model_validate({**given, "language": languages.stated(given.get("language"))})
        sample.line().encode()
        for relative in filter(None, (sample.audio, sample.prompt_audio)):
            safe_relative(relative)
    except ValidationError as error:
        raise invalid(path, number, error) from None
    except BadInput as error:
        raise BadInput(f"{path}:{number}: {error.problem}", error.remedy) from None
    except (ValueError, TypeError) as error:  # what JSON cannot state: half a surrogate pair, an infinite number
        raise BadInput(f"{path}:{number}: a value cannot be stored ({error}).", "Correct or remove it.") from None
    return sample


def invalid(path: Path, number: int, error: ValidationError) -> BadInput:
    """The first complaint of pydantic about a line."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    return BadInput(f"{path}:{number}: field '{field}': {first['msg']}.", "See docs/data.md for the fields of a line.")


def _with_digests(sample: Sample, root: Path, assets: set[str]) -> Sample:
    found = {}
    for field in ("audio", "prompt_audio"):
        relative = getattr(sample, field)
        if relative is None or getattr(sample, f"{field}_sha256") is not None or relative.split("/")[0] in assets:
            continue
        if (file := absolute(relative, root)).is_file():
            with contextlib.suppress(BadAudio):  # said where it is read
                found[f"{field}_sha256"] = audio_sha256(file)
    return sample.model_copy(update=found) if found else sample

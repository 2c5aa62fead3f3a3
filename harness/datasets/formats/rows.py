"""From the rows of a file to samples, whatever the layout of the file: errors name the file and the line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from speech_eval.assets.archives import safe_relative
from speech_eval.cache import file_sha256
from speech_eval.datasets import languages
from speech_eval.datasets.dataset import Dataset
from speech_eval.datasets.formats import audio_folder
from speech_eval.errors import BadInput
from speech_eval.records import DatasetInfo, Sample

Row = tuple[int, dict[str, Any]]  # the number of the line, and its fields


def text_of(path: Path) -> str:
    """The text of a UTF-8 file, without a byte order mark."""
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        raise BadInput(f"{path}:{number}: the text is not UTF-8.", "Save the file as UTF-8.") from None


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, numbered from 1. Only a line feed ends a line: JSON text may hold other breaks."""
    for number, line in enumerate(text_of(path).split("\n"), start=1):
        if line.strip():
            yield number, line.rstrip("\r")


def dataset(path: Path, rows: Iterable[Row], name: str | None = None) -> Dataset:
    """A dataset of a file without a header, named `name`, else after the file (after its folder for `metadata.*`)."""
    found = samples(path, rows, path.parent)
    info = DatasetInfo(
        name=name or (path.resolve().parent.name if path.stem == "metadata" else path.stem),
        version="0",
        description=f"Read from {path.name}.",
        languages=sorted({sample.language for sample in found}),
        license="unknown",
        source="local files",
    )
    return Dataset.of(info, found, path.parent)


def samples(path: Path, rows: Iterable[Row], root: Path | None, assets: Iterable[str] = ()) -> list[Sample]:
    """The samples of the rows. Files under `root` get a sha256 where the row has none; with None, no file is read."""
    seen: dict[str, int] = {}
    found = []
    for number, row in rows:
        sample = _sample(path, number, row)
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


def _sample(path: Path, number: int, row: Mapping[str, Any]) -> Sample:
    given = audio_folder.sample_fields(row) if "file_name" in row else row
    try:
        sample = Sample.model_validate({**given, "language": languages.stated(given.get("language"))})
    except BadInput as error:
        raise BadInput(f"{path}:{number}: {error.problem}", error.remedy) from None
    except ValidationError as error:
        raise invalid(path, number, error) from None
    if sample.text is not None and not sample.text.strip():
        raise BadInput(f"{path}:{number}: the text is empty.", "Write what is said, or leave 'text' out.")
    for relative in filter(None, (sample.audio, sample.prompt_audio)):
        try:
            safe_relative(relative)
        except BadInput as error:
            raise BadInput(f"{path}:{number}: {error.problem}", error.remedy) from None
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
        if relative is None or getattr(sample, f"{field}_sha256") is not None:
            continue
        if relative.split("/")[0] not in assets and (root / relative).is_file():
            found[f"{field}_sha256"] = file_sha256(root / relative)
    return sample.model_copy(update=found) if found else sample

"""Hub datasets of the catalog on this machine: fetched once, as a manifest with its recordings in the cache."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from speech_eval.assets.store import cache_dir
from speech_eval.cache import make_once
from speech_eval.datasets import formats, hub
from speech_eval.datasets.catalog import Entry, HubSource, catalog
from speech_eval.datasets.dataset import AUDIO_SUFFIXES, split_name
from speech_eval.datasets.formats import choice
from speech_eval.errors import BadInput, NotFetched
from speech_eval.progress import Progress, silent
from speech_eval.statistics.macro import SUBSET

logger = logging.getLogger(__name__)

_CHANGED = "The dataset has changed on the hub; download it and write a manifest (docs/data.md)."
_SUFFIXES = {b"RIFF": ".wav", b"fLaC": ".flac", b"OggS": ".ogg"}


def fetch(location: str, progress: Progress = silent) -> None:
    """Fetch the hub datasets that `location` names: one, a group, a split, or several separated by commas.

    Names of other datasets and paths need nothing. Raises `MissingExtra` without the libraries of the extra `hub`,
    `NotFetched` where the hub cannot be reached or refuses, `BadInput` where its columns are not the known ones.
    """
    known = catalog()
    for part in location.split(","):
        base, _ = split_name(part.strip())
        name = known.aliases.get(base, base)
        for member in known.groups.get(name, (name,)):
            if member in known.datasets:
                _fetch(member, known.datasets[member], progress)


def folder_of(name: str) -> Path:
    """Where a hub dataset lies once it is fetched."""
    return cache_dir() / "hub" / name.replace(":", "-")


def present(name: str) -> Path:
    """The folder of a hub dataset. Raises `NotFetched` where it is not on this machine, or is not on the hub."""
    if catalog().datasets[name].hub is None:
        raise _brought(name)
    path = folder_of(name)
    if not path.is_dir():
        raise NotFetched(f"The dataset '{name}' is not on this machine yet.", f"Run: speech-eval data fetch {name}")
    return path


def _brought(name: str) -> NotFetched:
    return NotFetched(f"The dataset '{name}' cannot be fetched for you.", catalog().datasets[name].remedy)


def _fetch(name: str, entry: Entry, progress: Progress) -> None:
    named = entry.hub
    if named is None and entry.manifest is None:
        raise _brought(name)
    if named is None:
        return

    def make(work: Path) -> None:
        source = hub.pinned(named, entry.remedy)
        logger.info("fetch: %s from %s", name, describe(source))
        if source.files:
            hub.files(source, source.files, entry.remedy, work)
            if not (work / source.files[0]).is_file():
                raise NotFetched(f"{source.repo} holds no {source.files[0]}.", entry.remedy)
        else:
            _write(name, entry, source, work, progress)

    make_once(folder_of(name), make)


def _write(name: str, entry: Entry, source: HubSource, work: Path, progress: Progress) -> None:
    """Write the manifest and every recording into the folder `work`."""
    prepare = formats.row_layout(entry.model_copy(update={"hub": source}))
    lines: dict[str, dict[str, Any]] = {}
    count = 0
    for number, given in enumerate(hub.rows(source, entry.remedy)):
        count = number + 1
        progress(f"{name}: fetch", number, source.rows)
        try:
            row = prepare(given)
        except BadInput as error:
            raise BadInput(f"{name}, row {number}: {error.problem}", error.remedy) from error
        if row is None:
            continue
        line = _line(name, entry, source, number, row, work)
        if line["id"] in lines:
            line["id"] = f"{line['id']}-{number}"
        lines[line["id"]] = line
    if not lines:
        raise BadInput(f"{name}: {source.repo} gave no rows with a text.", "Look at the dataset's page on the hub.")
    if source.rows not in (None, count):
        raise BadInput(f"{name}: {source.repo} gave {count} rows, and {source.rows} are known.", _CHANGED)
    header = {
        "name": name,
        "version": version(source),
        "description": describe(source),
        "languages": [entry.language],
        "license": entry.license,
        "source": f"hub dataset {source.repo}",
    }
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in (header, *lines.values()))
    (work / formats.LISTS[0]).write_text(text, encoding="utf-8")


def version(source: HubSource) -> str:
    return (source.revision or "unpinned")[:12]


def describe(source: HubSource) -> str:
    return f"{source.repo}, {source.config or 'default'}, {source.split}"


def _line(
    name: str, entry: Entry, source: HubSource, number: int, row: Mapping[str, Any], work: Path
) -> dict[str, Any]:
    """One row as a line of a manifest; its recordings are written to `work`."""
    line: dict[str, Any] = {"language": entry.language}
    used = set()
    for field, columns in {**(choice.COLUMNS if entry.choice else {}), **entry.columns}.items():
        column = next((column for column in columns if row.get(column) is not None), None)
        if column is not None:
            used.add(column)
            line[field] = row[column]
        elif field not in entry.optional:
            raise BadInput(
                f"{name}, row {number}: no column {' or '.join(columns)} (there are {', '.join(row)}).",
                _CHANGED,
            )
    if "text" in entry.optional and not str(line.get("text", "")).strip():
        line.pop("text", None)
    line["id"] = re.sub(r"[^\w.+-]+", "-", Path(str(line.get("id", number))).name) or str(number)
    for field in ("audio", "prompt_audio"):
        if field in line:
            line[field], line[f"{field}_sha256"] = _recording(line[field], f"{number}-{field}", source, work)
    plain = {key for key, value in row.items() if key not in used and isinstance(value, str | int | float)}
    metadata = {
        key: row[key] for key in row if key in plain | entry.metadata | (choice.KEPT if entry.choice else set())
    }
    own = metadata.get(SUBSET) if SUBSET in entry.metadata else None  # else a column that happens to have that name
    return line | {"metadata": {**metadata, **entry.facts, SUBSET: own or name.rpartition(":")[2]}}


def _recording(value: Any, stem: str, source: HubSource, work: Path) -> tuple[str, str]:
    """Write a recording as the hub has it, and return the name of its file and its sha256."""
    path = value.get("path") if isinstance(value, Mapping) else value
    data = (value.get("bytes") if isinstance(value, Mapping) else None) or hub.downloaded(
        source, str(path)
    ).read_bytes()
    suffix = Path(str(path or "")).suffix
    file = stem + (_SUFFIXES.get(data[:4]) or (suffix if suffix.lower() in AUDIO_SUFFIXES else ".mp3"))
    (work / file).write_bytes(data)
    return file, hashlib.sha256(data).hexdigest()

"""Datasets by name or path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from speech_eval.datasets import formats
from speech_eval.datasets.catalog import Entry, catalog
from speech_eval.datasets.dataset import Dataset, split, split_name, union
from speech_eval.datasets.fetch import describe, present, version
from speech_eval.datasets.languages import settle
from speech_eval.errors import NotFetched, UnknownName, clipped, nearest


def names() -> list[str]:
    """Every dataset and group of the catalog."""
    return sorted({*catalog().datasets, *catalog().groups})


def registered(location: str) -> bool:
    """Whether a location, as of `--data`, names datasets of the catalog alone, and no path."""
    known = {*names(), *catalog().aliases}
    return all(name.strip() in known for name in split_name(location)[0].split(","))


def bundled() -> list[str]:
    """The datasets whose manifests are installed: those of this package, and those that other packages add."""
    return sorted(name for name, entry in catalog().datasets.items() if entry.manifest)


def fallback(name: str) -> str | None:
    """The dataset to use where the recordings of `name` cannot be fetched (no Debian packages); None for most."""
    base, _ = split_name(name)
    entry = _entry(base)
    return entry.fallback if entry else None


def load_dataset(name_or_path: str | Path, wanted: str = "", *, language: str | None = None) -> Dataset:
    """A dataset by the name of the catalog, or your own by path: a manifest, a folder, a CSV file or a `meta.lst`.

    `NAME@train` or `NAME@held-out` takes that split of any of them; several, separated by commas, are united. A name of
    the catalog has precedence over a file of that name. `wanted` is the dataset that a task names: it tells which list
    of a benchmark's own folder is meant. `language` is that of the samples that state none; without it their text tells
    it, or it stays `und`.

    Fetches nothing. Raises `UnknownName` for what is neither a name nor a path, `NotFetched` for a hub dataset that is
    not on this machine, `BadInput` naming file and line for data that cannot be used.
    """
    name, path = str(name_or_path), Path(name_or_path)
    base, part = split_name(name)
    if part:
        return split(load_dataset(base, wanted, language=language), part)
    if members := catalog().groups.get(name):
        return union(name, [load_dataset(member, language=language) for member in members])
    if "," in name and not path.exists():
        return union(name, [load_dataset(member.strip(), wanted, language=language) for member in name.split(",")])
    entry = _entry(name)
    if entry and entry.manifest:
        return settle(formats.read(entry.manifest, entry), language)
    if entry:
        path = present(catalog().aliases.get(name, name))
    else:
        entry = _entry(wanted)
    if not (path.is_dir() or path.is_file()):
        raise _unknown(name)
    return settle(formats.read(path, entry), language)


def locate(location: str, wanted: str) -> str:
    """`location`, or the list in it where it is a folder and the dataset `wanted` has a list of its own in such a one.

    A benchmark's folder may hold the lists of several datasets; the path of one list needs no `wanted` to be read.
    """
    entry = _entry(wanted)
    if entry and entry.lists and location not in names() and Path(location).is_dir():
        return str(formats.list_of(Path(location), entry) or location)
    return location


def summary(name: str | Path) -> dict[str, Any]:
    """Facts about a dataset as plain data. `n` and `sha256` are None for a hub dataset that is not on this machine,
    `seconds` also where a sample does not state its length."""
    try:
        dataset = load_dataset(name)
    except NotFetched:
        if name not in names():
            raise
        return _catalog_summary(str(name))
    lengths = [sample.metadata.get("seconds") for sample in dataset.samples]
    seconds = None if None in lengths else round(sum(length for length in lengths if length is not None), 1)
    info = dataset.info.model_dump(exclude={"schema_version"})
    return {**info, "n": len(dataset), "seconds": seconds, "sha256": dataset.sha256, "present": dataset.is_present()}


def _catalog_summary(name: str) -> dict[str, Any]:
    entries = [catalog().datasets[member] for member in catalog().groups.get(name, (name,))]
    sources = [entry.hub for entry in entries if entry.hub]
    return {
        "name": name,
        "version": ", ".join(dict.fromkeys(version(source) for source in sources)),
        "description": "; ".join(describe(source) for source in sources),
        "languages": sorted({entry.language for entry in entries}),
        "license": "; ".join(dict.fromkeys(entry.license for entry in entries)),
        "source": "; ".join(dict.fromkeys(f"hub dataset {source.repo}" for source in sources)),
        "n": None,
        "seconds": None,
        "sha256": None,
        "present": False,
    }


def _entry(name: str) -> Entry | None:
    return catalog().datasets.get(catalog().aliases.get(name, name))


def _unknown(name: str) -> UnknownName:
    known = nearest(name, [*names(), *catalog().aliases], "speech-eval data list")
    return UnknownName(
        f"There is no dataset and no file named '{clipped(name)}'.",
        f"{known}; or give the path of a manifest or folder.",
    )

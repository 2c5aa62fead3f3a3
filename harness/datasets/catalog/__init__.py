"""The datasets known by name: the YAML files of this folder, and those of installed packages.

A package adds datasets with an entry point of the group `speech_eval.datasets` that names a package of YAML files. The
keys of a file are `datasets` (name: entry), `groups` (name: names of datasets) and `defaults` (fields of every entry).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from speech_eval.errors import BadInput
from speech_eval.text import language_tag

GROUP = "speech_eval.datasets"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class HubSource(_Model):
    """Where a dataset lies on the dataset hub; `revision` pins it, else the newest commit is fetched and recorded.

    `split` is one, several with `+` between them, or `*` for all. `rows` is the number of rows that the splits are
    known to have. `files` lists patterns of files to download unchanged, for a repository in the layout of the original
    benchmark; the first is the list of samples. Otherwise the rows of `config` and `split` become a manifest. `texts`
    is a second repository whose rows hold texts that the layout of the entry looks up.
    """

    repo: str
    config: str | None = None
    split: str = "test"
    revision: str | None = None
    rows: int | None = None
    files: tuple[str, ...] = ()
    texts: str | None = None


class Choice(_Model):
    """Questions about recordings whose answer is one of several options. An entry with them is a task of that name.

    `question`, `choices` and `answer` name columns: `choices` is one column (a list, or a text with one option per
    letter) or one column per option, `options` are those of every question where no column has them. `unpack` names
    columns that hold objects, or JSON, whose fields are columns too. `prompt` is what a model is asked after the
    recording, with `{question}` and `{options}` or any column in braces; `option` writes one option with `{letter}` and
    `{text}`, `between` stands between them, and at least `least` are written, those that lack as None. `metric` reads
    the answers, `further` are metrics beside it; `protocol` is the id of the procedure.
    """

    question: str = "question"
    choices: tuple[str, ...] = ("choices",)
    options: tuple[str, ...] = ()
    answer: str = "answer"
    unpack: tuple[str, ...] = ()
    prompt: str = "{question}\n{options}"
    option: str = "{letter}. {text}"
    between: str = "\n"
    least: int = 0
    metric: str = "choice[options@1]"
    primary: str = "accuracy"
    further: tuple[str, ...] = ()
    protocol: str
    description: str = ""


class Entry(_Model):
    """One dataset: a `manifest` (absolute path), a `hub` source, or neither where the user brings it with `--data`.

    `columns` names, for each field of a sample, the columns that may hold it; the first that a row has is taken, and
    every field outside `optional` must have one. Other columns of text and numbers become metadata, and so do those
    named in `metadata` whatever they hold; `facts` is metadata of every row. `layout` names the module of `formats`
    that changes or drops rows first. `choice` says that the samples are questions with options. `spoken` says that
    the recordings of a manifest are made on this machine, from the `speech` of each sample. `lists` are the paths of
    the list of samples in the benchmark's own folder. `fallback` is a dataset to use where the recordings cannot be
    fetched. `remedy` is the advice where the hub cannot be read, or there is none.
    """

    manifest: Path | None = None
    spoken: bool = False
    hub: HubSource | None = None
    layout: str | None = None
    columns: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    optional: frozenset[str] = frozenset({"id"})
    metadata: frozenset[str] = frozenset()
    facts: Mapping[str, str] = Field(default_factory=dict)
    language: str = ""
    license: str = "see the page of the dataset"
    choice: Choice | None = None
    lists: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    fallback: str | None = None
    remedy: str = "Check the network, and HF_TOKEN for a gated dataset, or give a folder of your own with --data."

    @model_validator(mode="after")
    def _has_one_source(self) -> Entry:
        if self.manifest is not None and self.hub is not None:
            raise ValueError("an entry has either 'manifest' or 'hub'")
        if self.manifest is None and self.hub is None and "remedy" not in self.model_fields_set:
            raise ValueError("an entry without 'manifest' and 'hub' needs a 'remedy'")
        if self.hub and not self.language:
            raise ValueError("an entry with 'hub' states its 'language'")
        return self

    @field_validator("language")
    @classmethod
    def _is_a_language(cls, value: str) -> str:
        try:
            return language_tag(value) if value else ""
        except BadInput as error:
            raise ValueError(error.problem) from None


class _File(_Model):
    """One YAML file."""

    defaults: dict[str, Any] = Field(default_factory=dict)
    datasets: dict[str, dict[str, Any]] = Field(default_factory=dict)
    groups: dict[str, tuple[str, ...]] = Field(default_factory=dict)

    def entry(self, name: str, folder: Path) -> Entry:
        given = {**self.defaults, **self.datasets[name]}
        for part in ("hub", "choice"):
            if part in given:
                given[part] = {**self.defaults.get(part, {}), **given[part]}
        found = Entry.model_validate(given)
        return found if found.manifest is None else found.model_copy(update={"manifest": folder / found.manifest})


class Catalog(_Model):
    """Datasets and groups of datasets by name; `aliases` maps further names to the names of datasets."""

    datasets: dict[str, Entry] = Field(default_factory=dict)
    groups: dict[str, tuple[str, ...]] = Field(default_factory=dict)

    @property
    def aliases(self) -> dict[str, str]:
        return {alias: name for name, entry in self.datasets.items() for alias in entry.aliases}


@cache
def catalog() -> Catalog:
    """Every file, read once per process. Raises `BadInput` naming the file, or the package, that cannot be used."""
    folders = [Path(__file__).parent, *(_folder(point) for point in entry_points(group=GROUP))]
    return read(path for folder in folders for path in sorted(folder.glob("*.yaml")))


def read(paths: Iterable[Path]) -> Catalog:
    """The catalog of these files. Raises `BadInput` for a file that cannot be used or a name that is taken."""
    found = Catalog()
    taken: set[str] = set()
    for path in paths:
        try:
            file = _File.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
            entries = {name: file.entry(name, path.parent) for name in file.datasets}
        except (ValidationError, yaml.YAMLError) as error:
            raise BadInput(f"{path}: {error}", "See 'One catalog entry' in docs/data.md for the fields.") from None
        for name in (*entries, *file.groups, *(alias for entry in entries.values() for alias in entry.aliases)):
            if name in taken:
                raise BadInput(f"{path}: the dataset '{name}' is already in the catalog.", "Choose another name.")
            taken.add(name)
        found.datasets.update(entries)
        found.groups.update(file.groups)
    named = {name for members in found.groups.values() for name in members}
    named |= {entry.fallback for entry in found.datasets.values() if entry.fallback}
    if unknown := sorted(named - found.datasets.keys()):
        raise BadInput(
            f"The catalog has no dataset '{unknown[0]}'.", "Correct the group or the fallback that names it."
        )
    return found


def _folder(point: EntryPoint) -> Path:
    """The folder of the package that an entry point names; its parents are imported, the package itself is not."""
    try:
        spec = importlib.util.find_spec(point.module)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
    else:
        if spec and spec.submodule_search_locations:
            return Path(next(iter(spec.submodule_search_locations)))
        reason = "there is no such package"
    raise BadInput(
        f"The entry point '{point.name}' of {GROUP} names '{point.value}': {reason}.",
        f"Correct or uninstall {point.dist.name if point.dist else 'the distribution that declares it'}.",
    )

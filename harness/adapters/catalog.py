"""The model catalog: the known models by name, and the schemes of model specs. Imports no adapter.

A new family is one module with an adapter class and one `Entry` in entries.py. Other packages add to the catalog
through entry points: `speech_eval.models` names a list of entries (`module:ENTRIES`), `speech_eval.adapters` one
adapter class (`module:Class`), `speech_eval.schemes` a scheme. A file given with `--plugin` uses `register_adapter`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any, Protocol, TypeVar

from speech_eval.adapters.base import Adapter, interfaces_of
from speech_eval.adapters.entries import ENTRIES
from speech_eval.adapters.entry import Entry
from speech_eval.errors import BadInput
from speech_eval.registry import Registry, load_attr

A = TypeVar("A", bound=type[Adapter])


class _Models(Registry[Entry]):
    """Entries by name: the built-in ones, those of installed packages, and those of plug-ins."""

    listed = "speech-eval list models"

    def __init__(self) -> None:
        super().__init__("model", "speech_eval.adapters", {})
        self._loaded.update({entry.name: entry for entry in ENTRIES})

    def _discover(self) -> None:
        for point in entry_points(group="speech_eval.models"):
            try:
                found = load_attr(point.value)
            except (ImportError, AttributeError) as error:
                raise BadInput(
                    f"The entry point '{point.name}' of the installed package "
                    f"'{point.dist.name if point.dist else '?'}' cannot be loaded ({error}).",
                    "Reinstall or remove that package.",
                ) from error
            for entry in found:
                self._loaded.setdefault(entry.name, entry)
        for point in entry_points(group=self.group):
            source = f"the package {point.dist.name}" if point.dist else ""
            self._loaded.setdefault(point.name, Entry(point.name, point.value, source=source))


MODELS: Registry[Entry] = _Models()


class Scheme(Protocol):
    """How `NAME:REST` becomes a model. `options` are those after the commas, as keywords of the adapter."""

    def __call__(self, rest: str, options: dict[str, Any], trust_remote_code: bool) -> Target:
        """The adapter class and all keywords of its constructor. Raises `BadInput` for a REST that it cannot read."""


Target = tuple[type[Adapter], dict[str, Any]]


class _Schemes(Registry[Scheme]):
    """Schemes by name: those of the catalog's entries, and `hf` and `outputs`, which choose the adapter themselves."""

    def _discover(self) -> None:
        self._lazy.update({name: scheme for name in MODELS if (scheme := MODELS.get(name).scheme)})
        super()._discover()


SCHEMES: Registry[Scheme] = _Schemes(
    "scheme",
    "speech_eval.schemes",
    {"hf": "speech_eval.adapters.checkpoints:hub_scheme", "outputs": "speech_eval.adapters.stored:scheme"},
)


def register_adapter(name: str) -> Callable[[A], A]:
    """Decorator for an adapter class: `--model NAME` builds it, options after the name arrive as keywords."""

    def decorate(cls: A) -> A:
        summary = (inspect.getdoc(cls) or "").split("\n\n")[0].replace("\n", " ")
        entry = Entry(name, cls, tuple(interfaces_of(cls)), summary, source=f"the module {cls.__module__}")
        MODELS.add(name, entry, cls)
        return cls

    return decorate

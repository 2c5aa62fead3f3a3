"""The registry: things by name, loaded when they are asked for, so that listing names imports nothing heavy.

Names come from a built-in table of `module:attr` strings, from entry points of installed packages, and from decorators
in a plug-in file. The tables are beside what they list: `adapters/catalog.py`, `metrics/catalog.py`; tasks register
themselves (`engine/task.py`).
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Generic, TypeVar

from speech_eval.errors import BadInput, UnknownName, clipped, nearest
from speech_eval.safety.guest import contained

logger = logging.getLogger(__name__)
T = TypeVar("T")
_PLUGIN = "speech_eval_plugin_"  # begins the names of modules that are files of the user's


class Registry(Generic[T]):
    """Things of one kind by name. `group` is the entry-point group, `builtin` maps names to `module:attr`."""

    listed = ""  # the command that lists the names

    def __init__(self, kind: str, group: str, builtin: dict[str, str]) -> None:
        self.kind = kind
        self.group = group
        self._lazy: dict[str, str] = dict(builtin)
        self._loaded: dict[str, T] = {}
        self._notebook: dict[str, str] = {}
        self._scanned = False

    def add(self, name: str, thing: T, definition: Callable[..., Any] | None = None) -> None:
        """Register `thing`. A name that is taken by something else is an error, never a silent override.

        `definition` is the decorated class or function. One of a notebook or script (the module `__main__`) replaces
        what an earlier definition of the same name registered, so that a cell can be run again.
        """
        if self._loaded.get(name) == thing:
            return
        place = definition.__qualname__ if definition is not None and definition.__module__ == "__main__" else ""
        if name in self._loaded and not (place and place == self._notebook.get(name)):
            raise BadInput(f"The {self.kind} name '{name}' is already registered.", "Choose another name.")
        self._loaded[name] = thing
        self._notebook[name] = place

    def replace(self, name: str, thing: T) -> None:
        """Register `thing` in place of whatever has the name."""
        self._loaded[name] = thing

    def get(self, name: str) -> T:
        """The thing registered under `name`; raises `UnknownName` with the nearest names."""
        if name not in self._loaded:
            self._scan()  # may register it
        if name not in self._loaded and name in self._lazy:
            self._loaded.setdefault(name, load_attr(self._lazy[name]))  # which may register itself
        if name in self._loaded:
            return self._loaded[name]
        raise UnknownName(f"No {self.kind} is named '{clipped(name)}'.", nearest(name, self.names(), self.listed))

    @property
    def known(self) -> frozenset[str]:
        """The names so far, without asking installed packages."""
        return frozenset((*self._lazy, *self._loaded))

    def names(self) -> list[str]:
        self._scan()
        return sorted({*self._lazy, *self._loaded})

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __contains__(self, name: object) -> bool:
        self._scan()
        return name in self._lazy or name in self._loaded

    def _scan(self) -> None:
        if not self._scanned:
            self._scanned = True
            self._discover()

    def _discover(self) -> None:
        """Add what installed packages offer; called once, when the registry is first read."""
        for point in entry_points(group=self.group):
            self._lazy.setdefault(point.name, point.value)


_folders: set[Path] = set()  # of the user's files that were executed


def load_attr(target: str) -> Any:
    """Import `module:attr`."""
    module, _, attr = target.partition(":")
    return getattr(importlib.import_module(module), attr)


def load_file(path: str | Path) -> Any:
    """Execute a Python file once and return its module. The file is the user's own code, run with their rights.

    It may import what lies beside it, after what is installed.
    """
    path = Path(path).resolve()
    if not path.is_file():
        raise BadInput(f"{path}: no such Python file.", "Give the path of a file that exists.")
    name = f"{_PLUGIN}{path.stem}_{abs(hash(str(path))):x}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise BadInput(f"{path}: not a Python file.", "Give a file ending in .py.")
    _look_beside(path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with contained(str(path)):
            spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        logger.info("load: %s failed", path, exc_info=error)
        raise BadInput(f"{path}: {type(error).__name__} while loading: {error}", "Run the file by itself.") from error
    return module


def _look_beside(path: Path) -> None:
    """Have modules in the folder of a user's file found. Raises `BadInput` where one of them is loaded from the folder
    of another such file: it would be taken for this one's."""
    for file in path.parent.glob("*.py"):
        held = Path(getattr(sys.modules.get(file.stem), "__file__", None) or file).resolve()
        if held != file.resolve() and held.parent in _folders:
            raise BadInput(f"{path}: the module '{file.stem}' is loaded already, from {held}.", "Use two commands.")
    _folders.add(path.parent)
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))


def plugin_file(thing: Any) -> str | None:
    """The absolute path of the user's file that defines a class or function; None for installed code."""
    name = str(getattr(thing, "__module__", ""))
    return sys.modules[name].__file__ if name.startswith(_PLUGIN) and name in sys.modules else None

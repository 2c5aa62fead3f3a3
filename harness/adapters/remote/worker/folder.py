"""The folder of a worker: what its `worker.toml` says, and where its interpreter is."""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from speech_eval.adapters.base import INTERFACES
from speech_eval.adapters.catalog import Target
from speech_eval.adapters.options import number
from speech_eval.errors import BadInput

DESCRIPTION = "worker.toml"
SCRIPT = "worker.py"
LIBRARY = Path(__file__).with_name("library")  # all that a worker can import of this project
PYTHON = Path(".venv", "bin", "python")
_LISTS = ("interfaces", "environment")
START_SECONDS = 900.0  # that loading a model may take


@dataclass(frozen=True)
class WorkerFolder:
    """A worker, as the `worker.toml` of its folder describes it.

    `interfaces` are those that its class implements. `environment` are the commands that make its environment, run in
    the folder; this project never runs them. `repository`, `commit`, `license`, `summary` and `source`, its maker, tell
    what it wraps.
    """

    path: Path
    interfaces: Sequence[str]
    environment: Sequence[str] = ()
    repository: str = ""
    commit: str = ""
    license: str = ""
    summary: str = ""
    source: str = ""

    @property
    def script(self) -> Path:
        return self.path / SCRIPT

    @property
    def search_path(self) -> list[Path]:
        """Where the worker finds modules that its environment does not have: the library, and its folder `source`,
        where a repository that is not a package is cloned."""
        return [LIBRARY, (self.path / "source").absolute()]

    @property
    def code(self) -> list[Path]:
        """The files that decide its answers: its description and the Python files beside it."""
        return [self.path / DESCRIPTION, *sorted(self.path.glob("*.py"))]

    def interpreter(self, python: str = "") -> Path:
        """The interpreter of its environment, or the one that is given. Raises `BadInput` with the commands that make
        the environment where there is none."""
        found = Path(python) if python else self.path / PYTHON
        if found.is_file():
            return found.absolute()  # not resolved: through its link an interpreter knows its environment
        commands = " && ".join([f"cd {shlex.quote(str(self.path))}", *self.environment])
        remedy = f"Make it: {commands}" if self.environment else "Make one with python -m venv, and install the model."
        raise BadInput(
            f"worker:{self.path}: its environment is missing, there is no {found}.",
            f"{remedy} (or name an interpreter that you have: worker:{self.path},python=PATH)",
        )


def read_folder(path: str | Path) -> WorkerFolder:
    """The worker in a folder. Raises `BadInput` for a folder without one, and for a description that is not valid."""
    path = Path(path)
    description = path / DESCRIPTION
    if not (description.is_file() and (path / SCRIPT).is_file()):
        raise BadInput(
            f"worker:{path}: no folder with {DESCRIPTION} and {SCRIPT} is there.",
            "docs/workers.md shows how to write them; python -m speech_eval.workers lists those to copy.",
        )
    try:
        stated = tomllib.loads(description.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{description}: not valid TOML ({error}).", "Correct that line.") from error
    return WorkerFolder(path, **_checked(stated, description))


def _checked(stated: Mapping[str, Any], file: Path) -> Mapping[str, Any]:
    texts = tuple(field.name for field in fields(WorkerFolder) if field.type == "str")
    for name, value in stated.items():
        if name not in (*_LISTS, *texts):
            raise BadInput(f"{file}: unknown key '{name}'.", f"Use {', '.join((*_LISTS, *texts))}.")
        items = value if name in _LISTS and isinstance(value, list) else [value] if name in texts else [None]
        if not all(isinstance(item, str) for item in items):
            kind, example = ("a list of texts", '["…"]') if name in _LISTS else ("a text", '"…"')
            raise BadInput(f"{file}: '{name}' is not {kind}.", f"Write {name} = {example}.")
    interfaces = stated.get("interfaces") or []
    if not interfaces or not set(interfaces) <= set(INTERFACES):
        raise BadInput(f"{file}: 'interfaces' names none or an unknown one.", f"Choose of {', '.join(INTERFACES)}.")
    return stated


def scheme(rest: str, options: dict[str, Any], trust_remote_code: bool) -> Target:
    """`worker:DIR`: the options `python` and `start_timeout` are the harness', all others the worker's."""
    from speech_eval.adapters.remote.worker.adapters import worker_class

    folder = read_folder(rest)
    folder.interpreter(str(options.get("python", "")))
    number("start_timeout", options.get("start_timeout", START_SECONDS), above=True, unit="seconds")
    return worker_class(folder), {"folder": rest, **options}

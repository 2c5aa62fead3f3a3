"""Stand-ins for the systems behind the shipped workers, with the signatures of the originals and nothing else.

`tests/workers/signatures.json` was read from the pinned source (`benchmarks/build_data/worker_signatures.py`). A call
that the original would refuse raises here; a name that the original does not have, or that was not read, is missing.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from speech_eval.adapters.remote.worker.folder import LIBRARY

ROOT = Path(__file__).resolve().parents[2]
SIGNATURES: dict[str, Any] = json.loads((ROOT / "tests" / "workers" / "signatures.json").read_text("utf-8"))
Answer = Callable[[dict[str, Any]], Any]


class Original:
    """One worker's original. `calls` are the calls that it got, as (name, arguments by name)."""

    def __init__(self, worker: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.worker, self.calls = worker, []
        self._names = {key.rpartition(":")[2]: told for key, told in SIGNATURES[worker]["names"].items()}
        self._folder, self._patch = folder, monkeypatch

    def function(self, name: str, answer: Answer | None = None) -> Any:
        """A function, method or constructor of the original that notes its arguments and gives `answer` of them."""
        told = self._names[name]

        def called(arguments: dict[str, Any]) -> Any:
            owner = arguments.pop("self", None) or arguments.pop("cls", None)
            self.calls.append((name, arguments))
            return None if answer is None else answer({"owner": owner, **arguments})

        space: dict[str, Any] = {"called": called}
        exec(f"def stand_in({told['parameters']}): return called(dict(locals()))", space)
        kinds: Mapping[str, Any] = {"classmethod": classmethod, "staticmethod": staticmethod, "property": property}
        return kinds.get(told["kind"], lambda found: found)(space["stand_in"])

    def cls(self, *names: str, answers: Mapping[str, Answer] | None = None, **attributes: Any) -> Any:
        """A class with all that was read of these classes of the original, one of which the others inherit from."""
        members: dict[str, Any] = {}
        for name in self._names:
            outer, _, last = name.removesuffix("=").rpartition(".")
            if outer in names:
                members[last] = attributes.pop(last) if name.endswith("=") else None
                if not name.endswith("="):
                    members[last] = self.function(name, (answers or {}).get(last))
        assert not attributes, f"not read from the source: {sorted(attributes)}"
        return type(names[0], (), members)

    def module(self, name: str, **members: Any) -> None:
        """Make `import NAME` give these members."""
        parts = name.split(".")
        for end in range(1, len(parts) + 1):
            module = ModuleType(".".join(parts[:end]))
            if end == len(parts):
                vars(module).update(members)
            self._patch.setitem(sys.modules, module.__name__, module)
            if end > 1:
                setattr(sys.modules[".".join(parts[: end - 1])], parts[end - 1], module)

    def build(self, **options: Any) -> Any:
        """The worker, made as `serve` makes it."""
        target = self._folder / self.worker
        (target / "source").mkdir(parents=True)
        shutil.copy(ROOT / "workers" / self.worker / "worker.py", target)
        self._patch.chdir(self._folder)  # some workers go to another folder
        self._patch.setattr(sys, "path", [str(LIBRARY), *sys.path])
        import speech_eval_worker

        made: list[Any] = []
        self._patch.setattr(speech_eval_worker, "serve", lambda make: made.append(make))
        spec = importlib.util.spec_from_file_location(f"worker_of_{self.worker}", target / "worker.py")
        assert spec is not None and spec.loader is not None
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
        return made[0](**options)

    def asked(self, name: str) -> list[dict[str, Any]]:
        """The arguments of all calls of one name."""
        return [arguments for called, arguments in self.calls if called == name]

    def uncalled(self) -> set[str]:
        """What was read of the original and never called."""
        called = {name for name, _ in self.calls}
        return {name for name, told in self._names.items() if told["kind"] != "attribute" and name not in called}

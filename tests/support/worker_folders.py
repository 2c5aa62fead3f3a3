"""Workers for tests: folders with a worker of the test's own and a bare environment, which has no packages."""

from __future__ import annotations

import json
import venv
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from speech_eval.adapters import spec as modelspec


@cache
def bare_python() -> str:
    """The interpreter of an environment without any package."""
    folder = Path(mkdtemp(prefix="speech-eval-test-"))
    venv.create(folder, with_pip=False, symlinks=True)
    return str(folder / "bin" / "python")


def worker_folder(folder: Path, code: str, *interfaces: str) -> Path:
    """A folder `worker` in `folder` with a worker of these interfaces."""
    path = folder / "worker"
    path.mkdir(parents=True)
    (path / "worker.toml").write_text(f"interfaces = {json.dumps(interfaces)}\n", "utf-8")
    (path / "worker.py").write_text(code, "utf-8")
    return path


def built(folder: Path, **options: Any) -> Any:
    """The adapter of a worker, in the bare environment unless `python` is another."""
    words = {"python": bare_python(), **options}
    return modelspec.resolve(",".join([f"worker:{folder}", *(f"{k}={v}" for k, v in words.items())])).build()

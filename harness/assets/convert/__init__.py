"""Conversions of registry-shipped weights to plain transformers directories, done once and kept in the cache."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path


def once(target: Path, make: Callable[[Path], None]) -> Path:
    """Make directory `target` by `make(temporary directory)` unless it is there already, and return it.

    The directory appears whole or not at all: it is made beside its place under a lock, then renamed.
    """
    from filelock import FileLock

    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.parent / f".{target.name}.lock"):
        if target.is_dir():
            return target
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        try:
            make(work)
            work.chmod(0o755)  # mkdtemp and safetensors make private files; a cache may be shared
            for file in work.rglob("*"):
                file.chmod(0o755 if file.is_dir() else 0o644)
            work.rename(target)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return target

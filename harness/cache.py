"""Files that are made once and kept: digests, writing in one step, and making a directory under a lock."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

from speech_eval.errors import SpeechEvalError


def file_sha256(path: str | os.PathLike[str]) -> str:
    """sha256 of a file's bytes, in hex."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def file_sha256_once(path: Path) -> str:
    """`file_sha256`, read once in this process for each state of the file (size and times of change)."""
    found = path.stat()
    return _hashed(path, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


@lru_cache(maxsize=1 << 16)
def _hashed(path: Path, size: int, mtime_ns: int, ctime_ns: int) -> str:
    return file_sha256(path)


# The files that `write_atomically` leaves where it is killed.
TEMPORARY = re.compile(r"\.speech-eval-[0-9a-f]{16}\.tmp")


def make_folder(path: Path) -> None:
    """Make a folder and those above it, if they are not there. Raises `SpeechEvalError` naming one that cannot be."""
    with disk_errors(path):
        path.mkdir(parents=True, exist_ok=True)


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that a reader, or a kill, sees the old content or the whole new one.

    A link at `path` is replaced, not followed. Raises `SpeechEvalError` that names the file where the file system
    refuses.
    """
    temporary = path.with_name(f".speech-eval-{secrets.token_hex(8)}.tmp")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as handle:  # a new file: never one that somebody else put there
                handle.write(data)
                handle.flush()
                os.fsync(handle.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn what the file system refuses into an error that names the file and the remedy."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise SpeechEvalError(
                f"{path}: no space left on the disk. What was done so far is kept.",
                "Free some space and give the same command again.",
            ) from error
        reason = error.strerror or str(error)
        raise SpeechEvalError(f"{path}: cannot be written ({reason}).", "Choose another --output.") from error


def make_once(target: Path, make: Callable[[Path], None]) -> Path:
    """Make the directory `target` with `make(temporary directory)` unless it exists, and return it.

    The directory appears whole or not at all: it is made beside its place under a lock, then renamed. Safe to call
    from several processes at once.
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

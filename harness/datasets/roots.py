"""Where the recordings of people's data may lie: in the folder of the list, or in a folder that the user allows."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from speech_eval.errors import BadInput

ROOTS = "SPEECH_EVAL_DATA_ROOTS"  # environment variable: folders, separated like those of PATH


def roots() -> dict[str, Path]:
    """The folders that the user allows, by the first part of the paths in them: `@corpora` for `/data/corpora`.

    Raises `BadInput` where two of them have the same name.
    """
    found: dict[str, Path] = {}
    for text in filter(None, os.environ.get(ROOTS, "").split(os.pathsep)):
        folder = Path(text).resolve()
        if found.setdefault(f"@{folder.name}", folder) != folder:
            raise BadInput(f"{ROOTS} names two folders '{folder.name}'.", "Name a folder above both of them.")
    return found


def absolute(relative: str, root: Path) -> Path:
    """The file of a path that `located` gave. Raises `BadInput` for a link out of the folders that are allowed."""
    first, _, rest = relative.partition("/")
    if first.startswith("@") and (allowed := roots().get(first)):
        return allowed / rest
    path, folder = root / relative, root.resolve()
    real = Path(os.path.realpath(path))
    if real == folder / relative or any(map(real.is_relative_to, (folder, *_blobs(folder), *roots().values()))):
        return path
    raise BadInput(
        f"{path} is a link to {real}, outside the folder of the data.",
        f"Allow the folder that holds the recordings: {ROOTS}={real.parent}",
    )


def _blobs(folder: Path) -> list[Path]:
    """Where the files are that the links of a snapshot in the hub's cache lead to."""
    return [parent.parent / "blobs" for parent in folder.parents if parent.name == "snapshots"]


def located(path: str, folder: Path, places: Sequence[str] = ()) -> str:
    """A path that a list in `folder` states, as a path of the dataset: relative to `folder`, or `@NAME/…` in an allowed
    folder. `places` are folders in `folder` to look in too.

    The path of a file that does not exist stays as it is. Raises `BadInput` for an address, a path of another system,
    and an absolute path outside the folders.
    """
    if re.match(r"\w{2,}://", path):
        raise BadInput(f"'{path}' is an address, not a file.", "Download the recordings first.")
    if not (path and (folder / path).is_file()):
        path = path.replace("\\", "/")  # as Windows writes it
    if re.match(r"[A-Za-z]:/", path):
        raise BadInput(f"'{path}' is a path of another machine.", "Write paths relative to the list.")
    if PurePosixPath(path).is_absolute():
        return _inside(path, folder)
    if ".." not in path.split("/"):
        path = posixpath.normpath(path)
    candidates = [path, *(f"{place}/{path}" for place in places)]
    found = next((candidate for candidate in candidates if (folder / candidate).is_file()), None)
    if found is None:
        found = next((f"{name}/{path}" for name, root in roots().items() if (root / path).is_file()), path)
    return found


def _inside(path: str, folder: Path) -> str:
    path = os.path.normpath(path)
    for prefix, root in (("", folder.resolve()), ("", Path(os.path.normpath(folder.absolute()))), *roots().items()):
        if Path(path).is_relative_to(root):
            return posixpath.join(prefix, Path(path).relative_to(root).as_posix())
    raise BadInput(
        f"'{path}' lies outside the folder of the list.",
        f"Allow the folder that holds the recordings: {ROOTS}={posixpath.dirname(path)}",
    )

"""Files of a folder that a stranger may have made: regular files below the folder, never links, devices or pipes."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NoReturn

from speech_eval.cache import disk_errors, write_atomically
from speech_eval.errors import BadInput
from speech_eval.text.files import LARGEST_LIST

MIB = 1 << 20
LARGEST_LINE = 16 * MIB  # bytes

_UNSAFE = "Do not use this run; a run made by `speech-eval run` holds only regular files and folders."
# Open flags that some systems lack: not through a link, and without waiting for the other end of a pipe.
_GUARDED = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
_BINARY = getattr(os, "O_BINARY", 0)
# What may be a number that a float cannot hold; a precise check follows.
_SUSPECT = re.compile(rb"[\[:,\s]-?\d(?:[\d.]*[eE]\+?\d{3}|\d{39})")
_DIGITS = 39  # of an integer of 128 bits


def inside(root: Path, relative: str) -> Path:
    """The path `relative` (with slashes) below `root`, where every part that exists is a folder or a regular file.

    Raises `BadInput` for a path that leads out of `root`, and for a link, a device or a pipe on the way.
    """
    pure = PurePosixPath(relative)
    if pure.is_absolute() or ".." in pure.parts or not pure.parts or "\0" in relative or "\\" in relative:
        raise BadInput(f"{root}: the path {brief(relative)!r} leads out of the run.", "Do not use this run.")
    path = root
    for number, part in enumerate(pure.parts, 1):
        path = path / part
        try:
            mode = os.lstat(path).st_mode
        except (FileNotFoundError, NotADirectoryError):
            break
        except (OSError, ValueError) as error:
            raise _unreadable(path, error) from error
        if not stat.S_ISDIR(mode) and not (stat.S_ISREG(mode) and number == len(pure.parts)):
            raise BadInput(f"{brief(str(path))} is {_kind(mode)}, which a run does not hold.", _UNSAFE)
    return root / pure


def exists(root: Path, relative: str) -> bool:
    """Whether there is something at `relative`, of whatever kind."""
    return os.path.lexists(root / relative)


def read(root: Path, relative: str, largest: int = LARGEST_LIST) -> bytes:
    """The bytes of a regular file below `root`.

    Raises `FileNotFoundError`; `BadInput` for a link, a device, a pipe, a file above `largest` bytes, and for what the
    system does not let read.
    """
    path = inside(root, relative)
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | _GUARDED | _BINARY), "rb") as file:
            _check(path, os.fstat(file.fileno()), largest)
            return file.read(largest + 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(path) from error
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def lines(root: Path, relative: str, largest: int = LARGEST_LIST) -> Iterator[bytes]:
    """The whole lines of a regular file below `root`, without their ends; a torn last line is left out.

    Raises as `read`, and for a line above `LARGEST_LINE` bytes.
    """
    path = inside(root, relative)
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | _GUARDED | _BINARY), "rb") as file:
            _check(path, os.fstat(file.fileno()), largest)
            number = 0
            while line := file.readline(LARGEST_LINE + 1):
                number += 1
                if len(line) > LARGEST_LINE:
                    raise BadInput(
                        f"{path}, line {number}: over {LARGEST_LINE // MIB} MiB, the most that a line has.",
                        "Remove the line.",
                    )
                if line.endswith(b"\n"):
                    yield line[:-1]
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(path) from error
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def append(root: Path, relative: str, data: bytes, *, wait: bool = True) -> None:
    """Add bytes at the end of a file below `root`, which a killed process leaves there; `wait` until they are on disk,
    where a power failure leaves them too."""
    path = inside(root, relative)
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _writable(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT) as file:
            file.write(data)
            file.flush()
            if wait:
                os.fsync(file.fileno())


def replace(root: Path, relative: str, data: bytes) -> None:
    """Write a file below `root` in one step."""
    write_atomically(inside(root, relative), data)


def drop_torn_line(root: Path, relative: str) -> None:
    """Cut a last line that has no end, the trace of a writer killed in the middle of it."""
    path = inside(root, relative)
    if not path.is_file():
        return
    with disk_errors(path), path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        if size == 0 or (file.seek(size - 1), file.read(1))[1] == b"\n":
            return
    data = read(root, relative)
    with disk_errors(path), _writable(path, os.O_RDWR) as file:
        file.truncate(data.rfind(b"\n") + 1)


def _writable(path: Path, flags: int) -> BinaryIO:
    """The file opened for writing in place. One with a second name may belong to something else and is refused."""
    file = os.fdopen(os.open(path, flags | _GUARDED | _BINARY, 0o666), "r+b" if flags & os.O_RDWR else "ab")
    held = os.fstat(file.fileno())
    try:
        _check(path, held)
        if held.st_nlink > 1:
            raise BadInput(
                f"{path} has {held.st_nlink} names (hard links); writing would change what the others name.",
                "Copy the run and use the copy: cp -r --no-preserve=links RUN COPY",
            )
    except BadInput:
        file.close()
        raise
    return file


def _check(path: Path, held: os.stat_result, largest: int = LARGEST_LIST) -> None:
    if not stat.S_ISREG(held.st_mode):
        raise BadInput(f"{path} is {_kind(held.st_mode)}, which a run does not hold.", _UNSAFE)
    if held.st_size > largest:
        raise BadInput(
            f"{path} has {held.st_size / MIB:.0f} MiB; at most {largest // MIB} are read.", "Do not use this run."
        )


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFLNK: "a symbolic link",
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFDIR: "a folder",
        stat.S_IFREG: "a file",
    }
    return kinds.get(stat.S_IFMT(mode), "a device")


def _unreadable(path: Path, error: Exception) -> BadInput:
    reason = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
    return BadInput(f"{brief(str(path))}: cannot be read ({reason}).", "Check the file and its permissions.")


# ------------------------------------------------------------------------------------------------- contents


def check_lines(path: Path, lines: list[bytes], first: int = 1) -> None:
    """Raise `BadInput`, naming the line, for one that holds a number that is not finite. `first` is the number of the
    first line."""
    for number, line in enumerate(lines, first):
        check_numbers(f"{path}, line {number}", line)


def check_numbers(place: str, data: bytes) -> None:
    """Raise `BadInput` for JSON with NaN, an infinity, or a number that no float holds. Other JSON may pass."""
    if b"NaN" not in data and b"Infinity" not in data and _SUSPECT.search(data) is None:
        return

    def refuse(text: str) -> NoReturn:
        raise BadInput(f"{place}: {brief(text, 20)} is not a finite number.", "Do not use this run.")

    def whole(text: str) -> int:
        return int(text) if len(text) <= _DIGITS else refuse(text)

    def real(text: str) -> float:
        number = float(text)
        return number if abs(number) < float("inf") else refuse(text)

    try:
        json.loads(data, parse_constant=refuse, parse_int=whole, parse_float=real)
    except RecursionError as error:
        raise BadInput(f"{place}: nested too deeply.", "Do not use this run.") from error
    except ValueError:
        return  # not JSON: said by what parses it


def brief(text: str, most: int = 200) -> str:
    """`text` in one line of at most `most` characters."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"

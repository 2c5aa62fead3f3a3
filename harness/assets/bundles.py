"""Recordings inside a file of an asset: the bundle of Flight of the Amazon Queen, whose voices are MP3 streams.

The file begins with `QTBL`, a version, a byte that names the compression, and at 13 the number of entries: a name of 12
bytes, a bundle number, offset and size, big-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from speech_eval.errors import BadInput

_MAGIC = b"QTBL"
_COUNT, _FIRST = 13, 15  # places of the number of entries, and of the first
_ENTRY = struct.Struct(">12sxII")
_VOICE, _RECORDING = ".SB", ".mp3"


def members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of each file of a bundle, in its order. Raises `BadInput` for another or an incomplete file."""
    content = path.read_bytes()
    if not content.startswith(_MAGIC) or len(content) < _FIRST:
        raise BadInput(f"{path.name}: not a bundle of recordings.", "Fetch it again.")
    (count,) = struct.unpack_from(">H", content, _COUNT)
    if len(content) < _FIRST + count * _ENTRY.size:
        raise BadInput(f"{path.name}: the bundle ends in its table of {count} files.", "Fetch it again.")
    for number in range(count):
        name, start, size = _ENTRY.unpack_from(content, _FIRST + number * _ENTRY.size)
        if start + size > len(content):
            raise BadInput(f"{path.name}: the bundle ends before its file {number + 1}.", "Fetch it again.")
        yield name.split(b"\0")[0].decode("latin-1"), content[start : start + size]


def unpack_recordings(path: Path, folder: Path) -> None:
    """Write each voice of a bundle into `folder` as an MP3 file."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in members(path):
        if name.endswith(_VOICE) and Path(name).name == name:
            (folder / name).with_suffix(_RECORDING).write_bytes(content)

"""One reader of text files: UTF-8 with or without a byte-order mark; and one of JSON that a stranger wrote."""

from __future__ import annotations

import codecs
import json
from pathlib import Path
from typing import Any

from speech_eval.errors import BadInput

LARGEST_RECORD = 64 << 20  # bytes of a JSON file that holds one record
LARGEST_LIST = 1 << 30  # bytes of a text, such as a list of samples
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, or of a UTF-16 file that begins with a byte-order mark, which is left out.

    Raises `BadInput` that names the file, the place and the likely encoding for other bytes, and as `read_bytes`.
    """
    return decode_text(read_bytes(path), str(path))


def read_bytes(path: Path, largest: int = LARGEST_LIST) -> bytes:
    """The bytes of a file. Raises `BadInput` for one of more than `largest`: a hole in it costs nothing, and reading it
    does."""
    if path.stat().st_size > largest:
        raise BadInput(f"{path}: larger than {largest >> 20} MiB, the most that is read.", "Check what it holds.")
    return path.read_bytes()


def decode_text(data: bytes, what: str) -> str:
    """The same of bytes, line ends as `\\n`; `what` names them in the error."""
    encoding = "utf-16" if data.startswith(_UTF16) else "utf-8-sig"
    try:
        return data.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        likely = _likely(data)
        line = data.count(b"\n", 0, error.start) + 1
        raise BadInput(
            f"{what}, line {line}: byte 0x{data[error.start]:02X} is not {encoding.upper().removesuffix('-SIG')};"
            f" the file looks like {likely}.",
            f"Convert it: iconv -f {likely} -t UTF-8 FILE > NEW_FILE",
        ) from error


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text. Raises `ValueError` where it is not JSON or is nested too deeply to be read."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def read_record(path: Path, remedy: str, *fields: str, largest: int = LARGEST_RECORD) -> dict[str, Any]:
    """The JSON object of a file of unknown origin, which has all `fields`. Raises `BadInput` naming the file, with
    `remedy`, for one that is missing, not a regular file, larger than `largest` bytes, not JSON, or no such object."""
    try:
        if not path.is_file():
            raise ValueError("not a file" if path.exists() else "there is none")
        if path.stat().st_size > largest:
            raise ValueError(f"larger than {largest >> 20} MB")
        found = parse_json(path.read_bytes())
        if not isinstance(found, dict):
            raise ValueError("not a JSON object")
        if lacking := [name for name in fields if name not in found]:
            raise ValueError(f"no '{lacking[0]}'")
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: not a readable record ({error}).", remedy) from error
    return found


def _likely(data: bytes) -> str:
    """The encoding that bytes are probably in which are not UTF-8."""
    if data[1::2].count(0) > len(data) // 4:
        return "UTF-16LE"
    if data[::2].count(0) > len(data) // 4:
        return "UTF-16BE"
    for encoding, name in (("shift_jis", "SHIFT-JIS"), ("gb18030", "GB18030")):
        if _decodes(data, encoding) and _share_of_letters(data.decode(encoding)) > 0.5:
            return name
    return "WINDOWS-1252" if _decodes(data, "cp1252") else "ISO-8859-1"


def _decodes(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _share_of_letters(text: str) -> float:
    """The share of East Asian letters in a text."""
    return sum("぀" <= letter <= "鿿" for letter in text) / len(text)

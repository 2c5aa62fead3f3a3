"""Reader of CTranslate2's `model.bin`: named tensors after a short header, aliases of them at the end."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speech_eval.errors import BadInput

# Type numbers of ctranslate2::DataType; bfloat16 (5) has no NumPy type and no model needs it here.
_TYPES: dict[int, type[np.generic]] = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}


class _Cursor:
    """Little-endian reads from a buffer, each checked against its end."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0

    def take(self, count: int) -> bytes:
        end = self.position + count
        if end > len(self.data):
            raise ValueError(f"ends at byte {len(self.data)}, {end - len(self.data)} bytes early")
        piece = self.data[self.position : end]
        self.position = end
        return piece

    def number(self, code: str) -> int:
        return int(struct.unpack("<" + code, self.take(struct.calcsize("<" + code)))[0])

    def string(self) -> str:
        # The length counts the closing NUL.
        return self.take(self.number("H"))[:-1].decode("utf-8")


def read(path: Path) -> tuple[str, dict[str, NDArray[np.generic]]]:
    """The name of the model's specification and its tensors by name, aliases filled in.

    Raises `BadInput` naming the file where it is not such a file, is cut short, or holds quantized weights.
    """
    try:
        spec, tensors = _read(_Cursor(path.read_bytes()))
    except (OSError, ValueError, KeyError, struct.error) as error:
        raise BadInput(f"{path}: not a whole CTranslate2 model ({error}).", "Fetch or convert it again.") from error
    if any(name.endswith("/weight_scale") for name in tensors):
        raise BadInput(f"{path}: the weights are quantized.", "Convert the model anew as float16 or float32.")
    return spec, tensors


def _read(cursor: _Cursor) -> tuple[str, dict[str, NDArray[np.generic]]]:
    cursor.number("I")  # version of the file format; those in use (5, 6) share this layout
    spec = cursor.string()
    cursor.number("I")  # revision of the specification
    tensors: dict[str, NDArray[np.generic]] = {}
    for _ in range(cursor.number("I")):
        name = cursor.string()
        shape = [cursor.number("I") for _ in range(cursor.number("B"))]
        dtype = _TYPES[cursor.number("B")]
        tensors[name] = np.frombuffer(cursor.take(cursor.number("I")), dtype).reshape(shape)
    for _ in range(cursor.number("I")):
        alias = cursor.string()
        tensors[alias] = tensors[cursor.string()]
    if cursor.position != len(cursor.data):
        raise ValueError(f"{len(cursor.data) - cursor.position} bytes are left over")
    return spec, tensors

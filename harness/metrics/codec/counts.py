"""Counts of each code of a codebook in one recording, as compact text for a stored record."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speech_eval.errors import BadInput

Integers = NDArray[np.int64]


def counts_text(codes: Integers, counts: Integers) -> str:
    """`codes`, ascending, and their `counts`, [n] each, as base64 of zlib of 32-bit little-endian numbers: the steps
    from code to code, then the counts."""
    steps = np.diff(codes, prepend=0)
    return base64.b64encode(zlib.compress(np.concatenate([steps, counts]).astype("<u4").tobytes(), 9)).decode()


def read_counts(record: dict[str, Any]) -> Integers:
    """Counts [size] of a stored codebook's codes. Raises `BadInput` where they are missing or damaged."""
    size, frames = int(record["size"]), int(record["frames"])
    try:
        numbers = np.frombuffer(zlib.decompress(base64.b64decode(record["counts"])), dtype="<u4").astype(np.int64)
        steps, counts = numbers.reshape(2, -1)
        found = np.zeros(size, dtype=np.int64)
        found[np.cumsum(steps)] = counts
    except (KeyError, TypeError, ValueError, IndexError, zlib.error) as error:
        raise BadInput("A codebook's record has no readable 'counts'.", "Run the model again.") from error
    if found.sum() != frames:
        raise BadInput(f"A codebook's 'counts' add up to {found.sum()}, not to {frames}.", "Run the model again.")
    return found

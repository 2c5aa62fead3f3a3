"""How the codes of a codec become the sequence a language model reads, and back. Pure functions, each with its inverse.

flat         one codebook: the codes themselves                                    LLaSA       c0 c0 c0 …
interleaved  all codebooks in one stream, coarse before fine, a block of K or more tokens per coarse step
             codebooks at one rate:  c0[t] c1[t] … cK-1[t]
             rates 1:2:4:            c0[t] c1[2t] c2[4t] c2[4t+1] c1[2t+1] c2[4t+2] c2[4t+3]     Orpheus over SNAC
delay        K streams side by side, codebook k late by delays[k] steps               MusicGen, Parler-TTS
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from speech_eval.errors import BadInput

Ints = NDArray[np.int64]


def ratios_of(frame_rates: Sequence[float]) -> tuple[int, ...]:
    """Frames of each codebook per frame of the slowest one. Raises `BadInput` for a rate that is not a whole multiple,
    and for a codebook that is slower than the one before it."""
    slowest = min(frame_rates, default=0.0)
    if not slowest > 0:
        raise BadInput(f"Frame rates {list(frame_rates)} are not positive.", "Give one positive rate per codebook.")
    ratios = tuple(round(rate / slowest) for rate in frame_rates)
    exact = all(abs(rate - slowest * ratio) < 1e-6 * rate for rate, ratio in zip(frame_rates, ratios, strict=True))
    nested = ratios[0] == 1 and all(b % a == 0 for a, b in itertools.pairwise(ratios))
    if not (exact and nested):
        raise BadInput(
            f"Codebooks at {list(frame_rates)} Hz do not nest into one stream.",
            "Each must run at a whole multiple of the one before it.",
        )
    return ratios


def pattern(ratios: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """The block of one coarse step as pairs (codebook, which of its frames in the step), each frame before the finer
    frames that lie inside it.

    >>> pattern((1, 2, 4))
    ((0, 0), (1, 0), (2, 0), (2, 1), (1, 1), (2, 2), (2, 3))
    """

    def inside(book: int, frame: int) -> list[tuple[int, int]]:
        block = [(book, frame)]
        if book + 1 < len(ratios):
            finer = ratios[book + 1] // ratios[book]
            for child in range(frame * finer, (frame + 1) * finer):
                block += inside(book + 1, child)
        return block

    return tuple(inside(0, 0))


def interleave(codes: Sequence[Ints], ratios: Sequence[int]) -> Ints:
    """Codebooks [frames_k] to one stream [steps × len(pattern)], codes as they are. Raises `BadInput` if the lengths do
    not fit the ratios."""
    steps = len(codes[0]) // ratios[0] if len(codes) == len(ratios) and len(codes) else -1
    if any(len(book) != steps * ratio for book, ratio in zip(codes, ratios, strict=False)) or steps < 0:
        raise BadInput(
            f"Codebooks of {[len(book) for book in codes]} frames do not fit ratios {list(ratios)}.",
            "Cut them to whole coarse steps first (see whole_steps).",
        )
    columns = [np.asarray(codes[book])[frame :: ratios[book]] for book, frame in pattern(ratios)]
    return np.stack(columns, axis=1).reshape(-1)


def deinterleave(stream: Ints, ratios: Sequence[int]) -> list[Ints]:
    """The inverse of `interleave`. Raises `BadInput` for a stream that ends within a block."""
    block = pattern(ratios)
    if len(stream) % len(block):
        raise BadInput(f"{len(stream)} tokens are not whole blocks of {len(block)}.", "Drop the unfinished block.")
    columns = np.asarray(stream).reshape(-1, len(block))
    codes = [np.empty(len(columns) * ratio, dtype=np.int64) for ratio in ratios]
    for column, (book, frame) in enumerate(block):
        codes[book][frame :: ratios[book]] = columns[:, column]
    return codes


def whole_steps(codes: Sequence[Ints], ratios: Sequence[int]) -> list[Ints]:
    """Codebooks cut to as many whole coarse steps as all of them have."""
    steps = min(len(book) // ratio for book, ratio in zip(codes, ratios, strict=True))
    return [np.asarray(book)[: steps * ratio] for book, ratio in zip(codes, ratios, strict=True)]


def delay(codes: Ints, delays: Sequence[int], fill: int) -> Ints:
    """[K, T] to [K, T + max(delays)]: row k starts delays[k] steps late, `fill` before and after it."""
    _check_delays(codes, delays)
    rows, length = codes.shape
    streams = np.full((rows, length + max(delays)), fill, dtype=np.int64)
    for k, late in enumerate(delays):
        streams[k, late : late + length] = codes[k]
    return streams


def undelay(streams: Ints, delays: Sequence[int]) -> Ints:
    """The inverse of `delay`: [K, T + max(delays)] to [K, T]."""
    _check_delays(streams, delays)
    length = streams.shape[1] - max(delays)
    if length < 0:
        raise BadInput(f"{streams.shape[1]} steps are fewer than the delay {max(delays)}.", "Generate longer.")
    return np.stack([streams[k, late : late + length] for k, late in enumerate(delays)])


def _check_delays(array: Ints, delays: Sequence[int]) -> None:
    if array.ndim != 2 or len(delays) != len(array) or min(delays, default=-1) < 0:
        raise BadInput(f"Delays {list(delays)} do not fit codes of shape {array.shape}.", "Give one delay ≥ 0 per row.")

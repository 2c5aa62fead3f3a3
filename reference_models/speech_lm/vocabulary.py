"""The table of token ids: printed at the start of a training, hashed into every checkpoint, checked on loading."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from speech_eval.errors import BadInput
from speech_eval.reference_models.speech_lm.layouts import Ints

SPECIALS = ("pad", "text-start", "text-end", "speech-start", "speech-end")
BYTES = 256


@dataclass(frozen=True)
class Vocabulary:
    """Blocks of ids in a fixed order: `(name, size)`. A token is a block and a value in it.

    The specials come first, then text (UTF-8 bytes, or the `symbols` of a text frontend; the `base` ids of a text LLM
    keep their places and come before the specials), then a block for each codebook or each position of the
    layout.
    """

    blocks: tuple[tuple[str, int], ...]

    @classmethod
    def of_codec(cls, codebook_sizes: Sequence[int], base: int | None = None, symbols: int = BYTES) -> Vocabulary:
        """Text of `symbols` ids and one block per codebook (or position); with `base`, the ids of a text LLM instead
        of the text."""
        text = (*((name, 1) for name in SPECIALS), ("text", symbols)) if base is None else (("text", base),)
        specials = () if base is None else tuple((name, 1) for name in SPECIALS)
        return cls((*text, *specials, *((f"codes-{k}", int(size)) for k, size in enumerate(codebook_sizes))))

    def __len__(self) -> int:
        return sum(size for _, size in self.blocks)

    def block(self, name: str) -> tuple[int, int]:
        """First id and size of a block."""
        start = 0
        for other, size in self.blocks:
            if other == name:
                return start, size
            start += size
        raise BadInput(f"The vocabulary has no block '{name}'.", f"It has {', '.join(n for n, _ in self.blocks)}.")

    def id(self, name: str) -> int:
        """The id of a special token."""
        return self.block(name)[0]

    def text(self, text: str) -> list[int]:
        """Ids of a text as UTF-8 bytes."""
        start, _ = self.block("text")
        return [start + byte for byte in text.encode("utf-8")]

    def codes(self, block: int, values: Ints) -> Ints:
        """Ids of codes of one codebook or position. Raises `BadInput` for codes outside their codebook."""
        start, size = self.block(f"codes-{block}")
        values = np.asarray(values, dtype=np.int64)
        if values.size and not (values.min() >= 0 and values.max() < size):
            raise BadInput(
                f"Codes from {values.min()} to {values.max()} are outside block codes-{block} of {size}.",
                "The codec is not the one this vocabulary was made for.",
            )
        return values + start

    @property
    def digest(self) -> str:
        """sha256 over the table: two models with one digest agree on every id."""
        return hashlib.sha256(json.dumps(self.blocks).encode()).hexdigest()

    def rows(self) -> list[dict[str, Any]]:
        """The table as it is printed: block, first id, last id."""
        starts = np.cumsum([0, *(size for _, size in self.blocks)])
        return [
            {"block": name, "first": int(first), "last": int(first) + size - 1}
            for (name, size), first in zip(self.blocks, starts, strict=False)
        ]

    def check(self, digest: str, whose: str) -> None:
        """Raise `BadInput` if a checkpoint's digest is that of another table."""
        if digest != self.digest:
            raise BadInput(
                f"{whose}: its vocabulary {digest[:12]} is not this one, {self.digest[:12]}.",
                "Use the codec and the layout it was trained with.",
            )

"""The codes of a codebook that a language model learns, so that the size a codec declares changes nothing.

A code that occurs twice in the training corpus is a word of its own, in the order of the codes; all others share one
word, `rare`, which training learns from the codes that occur once. A rare code costs its word and its name: the bits
that tell it from the other rare codes. Names are given among the codes up to the largest of the corpus; one beyond it
costs its place among those beyond, and what it takes to say so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from speech_eval.reference_models.speech_lm.layouts import Ints


@dataclass(frozen=True)
class Book:
    """One codebook of a corpus: `words` are the codes that have a word, sorted; `once` codes of the corpus have none;
    `largest` is the largest code of the corpus, `size` what the codec declares."""

    words: Ints
    once: int
    largest: int
    size: int

    @classmethod
    def of(cls, corpus: Sequence[Ints], size: int) -> Book:
        """The words of a codebook from its codes in a corpus."""
        codes, counts = np.unique(np.concatenate(corpus), return_counts=True)
        words = codes[counts > 1].astype(np.int64)
        return cls(words, int((counts == 1).sum()), int(codes[-1]), size)

    @property
    def rare(self) -> int:
        """The word of the codes that have none, the last."""
        return len(self.words)

    def read(self, codes: Ints) -> tuple[Ints, float]:
        """The words of codes, and the bits of the names of the rare ones."""
        if not len(self.words):
            return np.zeros(len(codes), np.int64), float(self._names(codes).sum())
        place = np.searchsorted(self.words, codes).clip(max=len(self.words) - 1)
        known = self.words[place] == codes
        return np.where(known, place, self.rare), float(self._names(codes[~known]).sum())

    def say(self, words: Ints) -> Ints:
        """The codes of words, none of them rare."""
        return self.words[words]

    def _names(self, codes: Ints) -> NDArray[np.float64]:
        """Bits that tell rare codes apart: one is beyond the largest as often as none of the corpus was (Laplace)."""
        within = max(self.largest + 1 - len(self.words), 1) * (self.once + 2) / (self.once + 1)
        beyond = max(self.size - self.largest - 1, 1) * (self.once + 2)
        bits = np.full(len(codes), np.log2(beyond))
        bits[codes <= self.largest] = np.log2(within)
        return bits

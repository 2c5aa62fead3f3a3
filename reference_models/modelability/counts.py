"""What counting alone makes of a codec's codes: the costs that a language model must fall below to have learned more.

unigram   each word of a codebook by how often the corpus has it
bigram    by how often it follows the word before it in its codebook, mixed with the unigram (Witten & Bell 1991)

The end of speech is a word of the first codebook. Every word counts one more than the corpus has it (Laplace).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from speech_eval.reference_models.speech_lm.layouts import Ints


class Counts:
    """Counts of one codebook with `size` words, from the rows of a corpus."""

    def __init__(self, corpus: Sequence[Ints], size: int) -> None:
        self._single = np.bincount(np.concatenate(corpus), minlength=size) + 1.0
        self._single /= self._single.sum()
        self._pairs: Counter[tuple[int, int]] = Counter()
        for row in corpus:
            self._pairs.update(zip(row[:-1].tolist(), row[1:].tolist(), strict=True))
        self._before: Counter[int] = Counter()
        self._kinds: Counter[int] = Counter()
        for (first, _), count in self._pairs.items():
            self._before[first] += count
            self._kinds[first] += 1

    def bits(self, row: Ints) -> tuple[float, float]:
        """Bits of a row by unigram and by bigram; the first word has none before it."""
        if not len(row):
            return 0.0, 0.0
        alone = self._single[row]
        followed = [self._after(a, b) for a, b in zip(row[:-1].tolist(), row[1:].tolist(), strict=True)]
        return float(-np.log2(alone).sum()), float(-np.log2([alone[0], *followed]).sum())

    def _after(self, first: int, second: int) -> float:
        kinds, single = self._kinds[first], float(self._single[second])
        if not kinds:
            return single
        return (self._pairs[first, second] + kinds * single) / (self._before[first] + kinds)

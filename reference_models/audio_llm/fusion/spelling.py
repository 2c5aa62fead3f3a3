"""Embeddings of tokens by their letters: tokens that are written alike have embeddings alike, heard before or not."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_LONGEST = 3  # letters of a piece
_FASTER = 4  # the factor by which the embeddings of pieces learn faster than AdamW's step
_PLACES = 8  # letters that also count by their place from the start, and from the end


class Spelling(nn.Module):
    """One embedding per piece that occurs in `texts` [V]; a token's is their sum over the root of their number. Starts
    at a root mean square of `rms`."""

    table: Tensor
    numbers: Tensor

    def __init__(self, texts: Sequence[str], width: int, rms: float) -> None:
        super().__init__()
        self.pieces = _numbered(texts)
        rows = [torch.tensor([self.pieces[piece] for piece in pieces_of(text)]) for text in texts]
        self.register_buffer("table", nn.utils.rnn.pad_sequence(rows, True, -1.0), persistent=False)
        self.register_buffer("numbers", torch.tensor([len(row) for row in rows]), persistent=False)
        self.weight = nn.Parameter(torch.randn(len(self.pieces), width) * rms / _FASTER)

    def forward(self, tokens: Tensor) -> Tensor:
        """[N] to [N, width]."""
        table, numbers = self.table[tokens], self.numbers[tokens]
        starts = numbers.cumsum(0) - numbers
        sums = F.embedding_bag(table[table >= 0], self.weight, starts, mode="sum")
        return sums * (_FASTER / numbers[:, None].sqrt())

    @torch.no_grad()
    def with_learned(self, weight: Tensor, texts: Sequence[str]) -> Tensor:
        """The own weights, with those of `weight` for the pieces of `texts`, which it was learned for. Raises
        `ValueError` for a number of weights that is not that of the pieces."""
        found, there = self.weight.clone(), _numbered(texts)
        if len(weight) != len(there):
            raise ValueError(f"{len(weight)} weights for {len(there)} pieces")
        both = [piece for piece in self.pieces if piece in there]
        found[[self.pieces[piece] for piece in both]] = weight[[there[piece] for piece in both]].to(found)
        return found


def _numbered(texts: Sequence[str]) -> dict[str, int]:
    """The pieces of all texts, in alphabetical order."""
    return {piece: number for number, piece in enumerate(sorted({p for text in texts for p in pieces_of(text)}))}


def pieces_of(text: str) -> list[str]:
    """What a token is written with, case apart: pieces of two and three letters, its bounds among them, and each letter
    with its place from either end. `_` is a space."""
    word = f"^{text.replace(' ', '_').lower()}$"
    found = {word[i : i + size] for size in range(2, _LONGEST + 1) for i in range(len(word) - size + 1)}
    found |= {f"{place} {letter}" for place, letter in enumerate(word[:_PLACES])}
    found |= {f"-{place} {letter}" for place, letter in enumerate(reversed(word[-_PLACES:]))}
    return sorted(found)

"""How well codebooks are used, counted over any number of batches: in one small batch, the batch bounds the perplexity,
not the codebook.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from speech_eval.reference_models.training.distributed import total

COLLAPSED = 1.1  # perplexity


@dataclass(frozen=True)
class LevelStatistics:
    """One codebook. `usage`: share of codes seen at all; `entropy` in bits, of log2(size); `perplexity` = 2^entropy."""

    size: int
    count: int
    usage: float
    perplexity: float
    entropy: float

    @property
    def collapsed(self) -> bool:
        """Whether nearly all frames, 98 % at the least, have the same code."""
        return self.count > 0 and self.size > 1 and self.perplexity < COLLAPSED


class CodeStatistics:
    """Counts of codes per level of the quantizer."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self.sizes = list(sizes)
        self.reset()

    def reset(self) -> None:
        """Start to count anew."""
        self.counts = [torch.zeros(size, dtype=torch.long) for size in self.sizes]

    def update(self, codes: Sequence[Tensor]) -> None:
        """Count codes of the first `len(codes)` levels, tensors of any shape."""
        for level, values in enumerate(codes):
            self.update_level(level, values)

    def update_level(self, level: int, codes: Tensor) -> None:
        """Count codes of one level."""
        counts = self.counts[level].to(codes.device)
        self.counts[level] = counts + torch.bincount(codes.detach().flatten(), minlength=self.sizes[level])

    def report(self) -> list[LevelStatistics]:
        """One entry per level; a level that was never counted has usage, perplexity and entropy 0."""
        return [_level(counts.cpu()) for counts in self.counts]

    def over_processes(self, device: torch.device) -> CodeStatistics:
        """The counts of all processes together, exchanged by `device`. Every process must call it."""
        found = CodeStatistics(self.sizes)
        found.counts = [total(counts.to(device, copy=True)) for counts in self.counts]
        return found

    def bitrate_efficiency(self) -> float:
        """Sum of entropies over sum of log2(size) (DAC): the share of the nominal bitrate that is used."""
        levels = self.report()
        return sum(level.entropy for level in levels) / sum(torch.tensor(self.sizes).log2().tolist())


def _level(counts: Tensor) -> LevelStatistics:
    total = int(counts.sum())
    if total == 0:
        return LevelStatistics(len(counts), 0, 0.0, 0.0, 0.0)
    p = counts[counts > 0].double() / total
    entropy = max(0.0, float(-(p * p.log2()).sum()))
    return LevelStatistics(len(counts), total, len(p) / len(counts), 2.0**entropy, entropy)

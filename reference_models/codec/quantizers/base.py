"""What every quantizer is: latents in, nearest codes out, and a gradient that reaches the encoder all the same."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from speech_eval.reference_models.codec.quantizers.statistics import CodeStatistics


@dataclass
class Quantized:
    """A quantized latent. `latent` and `first` (what the first codebook alone gives) are [B, D, F] and carry gradients
    to the encoder; `codes[k]` is [B, F / strides[k]]; `losses` are scalars, unweighted.
    """

    latent: Tensor
    codes: list[Tensor]
    losses: dict[str, Tensor]
    first: Tensor


class Quantizer(nn.Module, ABC):
    """`sizes[k]` codes in codebook k, which codes every `strides[k]`-th frame. `statistics` counts the codes that
    training used since its last `reset()`.
    """

    def __init__(self, sizes: Sequence[int], strides: Sequence[int] | None = None) -> None:
        super().__init__()
        self.sizes = list(sizes)
        self.strides = list(strides) if strides else [1] * len(self.sizes)
        self.statistics = CodeStatistics(self.sizes)

    @abstractmethod
    def forward(self, z: Tensor, n: int | None = None) -> Quantized:
        """Quantize z [B, D, F] with the first `n` codebooks (all, or as drawn by quantizer dropout, if None)."""

    @abstractmethod
    def decode(self, codes: Sequence[Tensor]) -> Tensor:
        """The latent [B, D, F] of the first `len(codes)` codebooks' codes."""


def straight_through(x: Tensor, quantized: Tensor) -> Tensor:
    """The value of `quantized` with the gradient of `x` (Bengio et al. 2013)."""
    return x + (quantized - x).detach()


def depths(z: Tensor, codebooks: int, n: int | None, dropout: float) -> Tensor:
    """How many codebooks each item of z uses [B]: `n` if given, else all; with quantizer dropout p, the first
    int(B × p) items draw theirs from U{1..N} (DAC).
    """
    batch = z.shape[0]
    depth = torch.full((batch,), codebooks if n is None else n, device=z.device)
    dropped = int(batch * dropout) if n is None else 0
    depth[:dropped] = torch.randint(1, codebooks + 1, (dropped,), device=z.device)
    return depth

"""Residual vector quantization: each codebook codes what the ones before it left over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speech_eval.reference_models.codec.config import Lookup, RVQConfig
from speech_eval.reference_models.codec.quantizers.base import Quantized, Quantizer, depths
from speech_eval.reference_models.codec.quantizers.codebook import Codebook, around, build_codebook
from speech_eval.reference_models.training.precision import in_float32


class ResidualLevels(Quantizer):
    """The residual loop, over codebooks that may each see a coarser time grid than the one after it."""

    def __init__(self, config: Lookup, dim: int, strides: Sequence[int], dropout: float) -> None:
        super().__init__([config.codebook_size] * len(strides), strides)
        self.dropout = dropout
        inner, self.project_in, self.project_out = around(config, dim)
        self.books = nn.ModuleList(build_codebook(config, inner) for _ in strides)

    def forward(self, z: Tensor, n: int | None = None) -> Quantized:
        depth = depths(z, len(self.books), n, self.dropout if self.training else 0.0)
        return self.quantize(z, depth, len(self.books) if n is None else n)

    @in_float32
    def quantize(self, z: Tensor, depth: Tensor, levels: int) -> Quantized:
        """Quantize z [B, D, F], item b with the first depth[b] of the first `levels` codebooks.

        Two residuals run side by side, equal in value. Gradients of what the decoder sees telescope through `residual`
        to one straight-through estimator around the sum. Commitment losses take `clean`, from which earlier levels
        are subtracted as constants: through `residual` they would never reach the encoder past the first level.
        """
        residual = clean = self.project_in(z)  # [B, d, F]
        total, first = torch.zeros_like(residual), torch.zeros_like(residual)
        codes: list[Tensor] = []
        losses: dict[str, Tensor] = {}
        for level, stride in enumerate(self.strides[:levels]):
            used = depth > level
            coarse, found, terms = self.books[level](pool(residual, stride), pool(clean, stride), used)
            quantized = coarse.repeat_interleave(stride, dim=-1)
            residual = residual - quantized
            clean = clean - quantized.detach()
            total = total + quantized * used[:, None, None]
            first = quantized if level == 0 else first
            codes.append(found)
            for name, term in terms.items():
                losses[name] = losses.get(name, 0.0) + (term * used).mean()
            if self.training:
                self.statistics.update_level(level, found[used])
        return Quantized(self.project_out(total), codes, losses, self.project_out(first))

    @in_float32
    def decode(self, codes: Sequence[Tensor]) -> Tensor:
        pieces = [
            cast(Codebook, book).decode(found).repeat_interleave(stride, dim=-1)
            for book, found, stride in zip(self.books, codes, self.strides, strict=False)
        ]
        return self.project_out(torch.stack(pieces).sum(0))


def pool(x: Tensor, stride: int) -> Tensor:
    """Averages of `stride` frames, [B, d, F] to [B, d, F / stride]."""
    return x if stride == 1 else F.avg_pool1d(x, stride)


class ResidualVQ(ResidualLevels):
    """RVQ on one time grid (SoundStream, EnCodec, DAC)."""

    def __init__(self, config: RVQConfig, dim: int) -> None:
        super().__init__(config, dim, [1] * config.codebooks, config.dropout)

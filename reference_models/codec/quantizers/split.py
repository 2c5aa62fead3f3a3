"""Split residual vector quantization (Mimi): a semantic codebook beside residual acoustic ones.

The acoustic codebooks code the latent, not what the semantic one left over, so that what distillation takes from the
first codebook's fidelity, the others can give back.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from speech_eval.reference_models.codec.config import SplitConfig
from speech_eval.reference_models.codec.quantizers.base import Quantized, Quantizer, depths
from speech_eval.reference_models.codec.quantizers.rvq import ResidualLevels


class SplitVQ(Quantizer):
    """Codebook 0 is the semantic one; outputs of both sides are summed."""

    def __init__(self, config: SplitConfig, dim: int) -> None:
        super().__init__([config.codebook_size] * config.codebooks)
        self.dropout = config.dropout
        self.semantic = ResidualLevels(config, dim, [1], dropout=0.0)
        self.acoustic = ResidualLevels(config, dim, [1] * (config.codebooks - 1), dropout=0.0)

    def forward(self, z: Tensor, n: int | None = None) -> Quantized:
        levels = len(self.sizes) if n is None else n
        depth = depths(z, len(self.sizes), n, self.dropout if self.training else 0.0)
        semantic = self.semantic.quantize(z, depth, 1)
        acoustic = self.acoustic.quantize(z, depth - 1, levels - 1)
        losses = {name: term + acoustic.losses.get(name, 0.0) for name, term in semantic.losses.items()}
        codes = semantic.codes + acoustic.codes
        if self.training:
            for level, found in enumerate(codes):
                self.statistics.update_level(level, found[depth > level])
        return Quantized(semantic.latent + acoustic.latent, codes, losses, semantic.latent)

    def decode(self, codes: Sequence[Tensor]) -> Tensor:
        latent = self.semantic.decode(codes[:1])
        return latent + self.acoustic.decode(codes[1:]) if len(codes) > 1 else latent

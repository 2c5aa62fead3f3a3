"""Multi-scale residual vector quantization (SNAC): coarse codebooks code slow averages, fine ones the residual."""

from __future__ import annotations

from speech_eval.reference_models.codec.config import MultiScaleConfig
from speech_eval.reference_models.codec.quantizers.rvq import ResidualLevels


class MultiScaleVQ(ResidualLevels):
    """Codebook k sees averages of `strides[k]` frames, and its codes are held for as many."""

    def __init__(self, config: MultiScaleConfig, dim: int) -> None:
        super().__init__(config, dim, config.strides, config.dropout)

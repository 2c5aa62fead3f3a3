"""Vector quantization with one codebook (BigCodec, WavTokenizer)."""

from __future__ import annotations

from speech_eval.reference_models.codec.config import VQConfig
from speech_eval.reference_models.codec.quantizers.rvq import ResidualLevels


class SingleVQ(ResidualLevels):
    """A residual quantizer with one codebook."""

    def __init__(self, config: VQConfig, dim: int) -> None:
        super().__init__(config, dim, strides=[1], dropout=0.0)

"""Ultravox's projector: 8 frames side by side, RMS norm, SwiGLU."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from speech_eval.reference_models.audio_llm.config import StackSwigluSection
from speech_eval.reference_models.audio_llm.fusion.base import Fusion, RMSNorm, stacked

_INITIAL = 0.4  # weights of the first norm, as in Ultravox


class StackSwiglu(Fusion):
    """`stack` frames side by side → RMS norm → Linear to twice `hidden` → SwiGLU → Linear."""

    def __init__(self, config: StackSwigluSection, dim: int, width: int, rms: float) -> None:
        super().__init__(width, rms)
        self.stack = config.stack
        self.before = RMSNorm(dim * config.stack, _INITIAL)
        self.up = nn.Linear(dim * config.stack, 2 * config.hidden, bias=False)
        self.down = nn.Linear(config.hidden, width, bias=False)

    def project(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        side_by_side, counts = stacked(features, lengths, self.stack)
        gate, value = self.up(self.before(side_by_side)).chunk(2, dim=-1)
        return self.down(F.silu(gate) * value), counts

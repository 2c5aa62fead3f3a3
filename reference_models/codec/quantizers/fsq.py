"""Finite scalar quantization (Mentzer et al. 2023): bound each dimension, round it, read the digits as one number."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn

from speech_eval.reference_models.codec.config import FSQConfig
from speech_eval.reference_models.codec.quantizers.base import Quantized, Quantizer, straight_through
from speech_eval.reference_models.training.precision import in_float32


class FSQ(Quantizer):
    """One codebook of prod(levels) codes that are not learned, so none can die. No losses.

    Dimension i takes levels[i] values in [-1, 1].
    """

    zero: Tensor
    radix: Tensor
    levels: Tensor

    def __init__(self, config: FSQConfig, dim: int) -> None:
        super().__init__([prod(config.levels)])
        levels = torch.tensor(config.levels)
        self.register_buffer("levels", levels, persistent=False)  # [d]
        self.register_buffer("zero", levels // 2, persistent=False)  # the digit that means 0, and the scale
        self.register_buffer("radix", levels.cumprod(0) // levels, persistent=False)  # place value of each digit
        self.project_in = nn.Conv1d(dim, len(levels), 1)
        self.project_out = nn.Conv1d(len(levels), dim, 1)

    @in_float32
    def forward(self, z: Tensor, n: int | None = None) -> Quantized:
        values = self.round(self.project_in(z).mT)  # [B, F, d]
        codes = self.to_codes(values)
        if self.training:
            self.statistics.update_level(0, codes)
        latent = self.project_out(values.mT)
        return Quantized(latent, [codes], {}, latent)

    def round(self, x: Tensor) -> Tensor:
        """x [..., d] to the nearest of each dimension's values, with a gradient.

        tanh bounds to slightly more than the outermost values (1 + 1e-3), so that they can be reached; an even number
        of levels is shifted by half a step, so that x = 0 falls on a value.
        """
        span = (self.levels - 1) * 1.001 / 2
        offset = torch.where(self.levels % 2 == 0, 0.5, 0.0)
        shift = (offset / span).atanh()
        bounded = (x + shift).tanh() * span - offset
        return straight_through(bounded, bounded.round()) / self.zero

    def to_codes(self, values: Tensor) -> Tensor:
        """Rounded values [..., d] to codes [...]."""
        digits = (values * self.zero).round().long() + self.zero
        return (digits * self.radix).sum(-1)

    def to_values(self, codes: Tensor) -> Tensor:
        """Codes [...] to values [..., d]."""
        digits = codes[..., None] // self.radix % self.levels
        return (digits - self.zero) / self.zero

    @in_float32
    def decode(self, codes: Sequence[Tensor]) -> Tensor:
        return self.project_out(self.to_values(codes[0]).mT)

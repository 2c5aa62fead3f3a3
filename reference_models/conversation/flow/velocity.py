"""The velocity of a noisy spectrogram, by a transformer whose attention is causal between blocks of frames."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speech_eval.reference_models.codec.layers import Attention
from speech_eval.reference_models.codec.streaming import StreamState
from speech_eval.reference_models.conversation.flow.config import VelocitySection

_WAVES = 64  # sines and cosines that describe a time


class VelocityNetwork(nn.Module):
    """Frames [B, F, bands] at times [B], told [B, F, width] of the codes, to velocities [B, F, bands]."""

    def __init__(self, config: VelocitySection, bands: int) -> None:
        super().__init__()
        width = config.width
        self.time = nn.Sequential(nn.Linear(_WAVES, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.enter = nn.Linear(bands + width, width)
        self.layers = nn.ModuleList(TimedLayer(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(width)
        self.leave = nn.Linear(width, bands)
        nn.init.zeros_(self.leave.weight)

    def forward(self, x: Tensor, time: Tensor, told: Tensor, state: StreamState | None = None) -> Tensor:
        """`state` remembers the blocks before these at the same time of the flow."""
        hidden, at = self.enter(torch.cat((x, told), dim=-1)), self.time(waves(time))
        for layer in self.layers:
            hidden = layer(hidden, at, state)
        return self.leave(self.norm(hidden))


class TimedLayer(nn.Module):
    """Attention, then an MLP. The time scales and shifts what enters either, and gates what leaves (adaLN-Zero)."""

    def __init__(self, config: VelocitySection) -> None:
        super().__init__()
        width = config.width
        self.attention = Attention(width, config.heads, config.context, causal=True, block=config.block)
        self.norm1, self.norm2 = (nn.LayerNorm(width, elementwise_affine=False) for _ in range(2))
        self.up, self.down = nn.Linear(width, config.mlp), nn.Linear(config.mlp, width)
        self.modulate = nn.Linear(width, 6 * width)
        nn.init.zeros_(self.modulate.weight)
        nn.init.zeros_(self.modulate.bias)

    def forward(self, x: Tensor, time: Tensor, state: StreamState | None) -> Tensor:
        """x [B, F, width], time [B, width]."""
        scale1, shift1, gate1, scale2, shift2, gate2 = self.modulate(time)[:, None].chunk(6, dim=-1)
        x = x + gate1 * self.attention(self.norm1(x) * (1 + scale1) + shift1, state)
        return x + gate2 * self.down(F.gelu(self.up(self.norm2(x) * (1 + scale2) + shift2)))


def waves(time: Tensor) -> Tensor:
    """Times [B] as sines and cosines [B, _WAVES] of frequencies from 1 to 1000, geometrically spaced."""
    half = _WAVES // 2
    rates = torch.exp(torch.linspace(0.0, math.log(1000.0), half, device=time.device))
    angles = time.float()[:, None] * rates
    return torch.cat((angles.sin(), angles.cos()), dim=-1)

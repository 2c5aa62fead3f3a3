"""Blocks of the encoders and decoders: Snake, residual unit, ConvNeXt, LSTM, windowed attention."""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speech_eval.reference_models.codec.config import ConvUnits, TransformerConfig
from speech_eval.reference_models.codec.packed import linear
from speech_eval.reference_models.codec.streaming import Conv1d, StreamState

_FEW = 64  # frames of a stream's chunk, whose tables are kept


class Snake(nn.Module):
    """x + sin²(αx) / α with one α per channel (Ziyin et al. 2020): periodic, which suits voiced speech. [B, C, T]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.sin(self.alpha * x).square() / (self.alpha + 1e-9)


def activation(units: ConvUnits, channels: int) -> nn.Module:
    return Snake(channels) if units.activation == "snake" else nn.ELU()


class ResidualUnit(nn.Module):
    """x + 1×1(act(dilated(act(x)))), [B, C, T] to [B, C, T]."""

    def __init__(self, channels: int, dilation: int, units: ConvUnits, causal: bool) -> None:
        super().__init__()
        hidden = channels // units.compress
        groups = hidden if units.depthwise else 1
        self.act1 = activation(units, channels)
        self.conv1 = Conv1d(channels, hidden, units.kernel, causal=causal, dilation=dilation, groups=groups)
        self.act2 = activation(units, hidden)
        self.conv2 = Conv1d(hidden, channels, 1, causal=causal)

    def forward(self, x: Tensor, state: StreamState | None = None) -> Tensor:
        return x + self.conv2(self.act2(self.conv1(self.act1(x), state)), state)


class ConvNeXtBlock(nn.Module):
    """A depthwise convolution over time, then an MLP over channels, both added to x [B, C, T] (Liu et al. 2022)."""

    def __init__(self, channels: int, scale: float, causal: bool) -> None:
        super().__init__()
        self.mix = Conv1d(channels, channels, 7, causal=causal, groups=channels, norm=False)
        self.norm = nn.LayerNorm(channels)
        self.up = nn.Linear(channels, 3 * channels)
        self.down = nn.Linear(3 * channels, channels)
        self.scale = nn.Parameter(torch.full((channels,), scale))

    def forward(self, x: Tensor, state: StreamState | None = None) -> Tensor:
        y = self.norm(self.mix(x, state).mT)  # [B, T, C]
        return x + (self.scale * linear(self.down, F.gelu(linear(self.up, y, state)), state)).mT


class LSTM(nn.Module):
    """x + LSTM(x) over time, [B, C, T] to [B, C, T] (EnCodec). It reads forward only, so it is always causal."""

    def __init__(self, channels: int, layers: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(channels, channels, layers, batch_first=True)

    def forward(self, x: Tensor, state: StreamState | None = None) -> Tensor:
        y, memory = self.lstm(x.mT, None if state is None else state.get(self))
        if state is not None:
            state[self] = memory
        return x + y.mT


class Transformer(nn.Module):
    """Pre-norm layers over [B, D, T]. Frame i attends to the last `context` frames if causal, else to that many on
    either side.
    """

    def __init__(self, config: TransformerConfig, dim: int, causal: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList(TransformerLayer(config, dim, causal) for _ in range(config.layers))

    def forward(self, x: Tensor, state: StreamState | None = None) -> Tensor:
        x = x.mT  # [B, T, D]
        for layer in self.layers:
            x = layer(x, state)
        return x.mT


class TransformerLayer(nn.Module):
    """x + a·attention(norm(x)), then x + b·mlp(norm(x)), with a and b learned per channel (LayerScale)."""

    def __init__(self, config: TransformerConfig, dim: int, causal: bool) -> None:
        super().__init__()
        self.attention = Attention(dim, config.heads, config.context, causal)
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.up = nn.Linear(dim, config.mlp, bias=False)
        self.down = nn.Linear(config.mlp, dim, bias=False)
        self.scale1 = nn.Parameter(torch.full((dim,), config.layer_scale))
        self.scale2 = nn.Parameter(torch.full((dim,), config.layer_scale))

    def forward(self, x: Tensor, state: StreamState | None = None) -> Tensor:
        x = x + self.scale1 * self.attention(self.norm1(x), state)
        return x + self.scale2 * linear(self.down, F.gelu(linear(self.up, self.norm2(x), state)), state)


class Attention(nn.Module):
    """Multi-head attention within a window, rotary positions, over [B, T, D].

    Frames come in blocks of `block`: those of one block see each other, and the window counts whole blocks (`context`
    is a multiple of `block`). A stream brings whole blocks, its last one excepted.
    """

    def __init__(self, dim: int, heads: int, context: int, causal: bool, block: int = 1) -> None:
        super().__init__()
        self.heads, self.context, self.causal, self.block = heads, context, causal, block
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.out = nn.Linear(dim, dim, bias=False)

    def forward(self, x: Tensor, state: StreamState | None = None) -> Tensor:
        batch, time, dim = x.shape
        qkv = linear(self.qkv, x, state).view(batch, time, 3, self.heads, dim // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # [B, H, T, d]
        start, past_k, past_v = (
            (0, k[:, :, :0], v[:, :, :0]) if state is None else state.get(self, (0, k[:, :, :0], v[:, :, :0]))
        )
        q, k = rotate(q, start), rotate(k, start)
        k, v = torch.cat((past_k, k), dim=2), torch.cat((past_v, v), dim=2)  # [B, H, P + T, d]
        if state is not None:
            keep = max(0, k.shape[2] - (self.context - self.block))
            state[self] = (start + time, k[:, :, keep:], v[:, :, keep:])
        table = stream_window if state is not None and time <= _FEW else window
        mask = table(k.shape[2] - time, time, self.context, self.block, self.causal, x.device)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return linear(self.out, y.transpose(1, 2).reshape(batch, time, dim), state)


def rotate(x: Tensor, start: int) -> Tensor:
    """Rotary position embedding of x [B, H, T, d], whose first frame is number `start` (Su et al. 2021)."""
    half = x.shape[3] // 2
    cos, sin = angles(start, x.shape[2], half, x.dtype, x.device)
    a, b = x[..., :half], x[..., half:]
    return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)


# Every layer of a stream asks for the same tables at each frame. They are made outside of inference mode, whose tensors
# a later training could not use.


@lru_cache(maxsize=4)
@torch.inference_mode(False)
def angles(start: int, time: int, half: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines [T, d/2] of the rotary positions from `start`."""
    rate = 10_000.0 ** (-torch.arange(half, device=device, dtype=torch.float32) / half)
    angle = torch.arange(start, start + time, device=device, dtype=torch.float32)[:, None] * rate
    return angle.cos().to(dtype), angle.sin().to(dtype)


@torch.inference_mode(False)
def window(past: int, time: int, context: int, block: int, causal: bool, device: torch.device) -> Tensor:
    """The mask [T, P + T] of `time` frames after `past` kept ones."""
    number = torch.arange(past + time, device=device) // block  # of the block, from the first kept one
    ago = (number[past:, None] - number) * block
    return (ago.abs() < context) & ((ago >= 0) | (not causal))


stream_window = lru_cache(maxsize=4)(window)

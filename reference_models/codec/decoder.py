"""Latent frames to waveform: by transposed convolutions (DAC, SEANet), or by one inverse STFT (Vocos)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from speech_eval.reference_models.codec.config import ConvDecoder, VocosDecoder
from speech_eval.reference_models.codec.layers import LSTM, ConvNeXtBlock, ResidualUnit, activation
from speech_eval.reference_models.codec.streaming import Conv1d, ConvTranspose1d, StreamState
from speech_eval.reference_models.training.precision import in_float32


class Decoder(nn.Module):
    """[B, latent_dim, F] to [B, 1, F × hop]: per stride, a transposed convolution, then residual units."""

    def __init__(self, config: ConvDecoder, latent_dim: int, causal: bool) -> None:
        super().__init__()
        channels, units = config.channels, config.units
        layers: list[nn.Module] = [Conv1d(latent_dim, channels, 7, causal=causal)]
        layers += [LSTM(channels, config.lstm)] if config.lstm else []
        for stride in config.strides:
            layers += [
                activation(units, channels),
                ConvTranspose1d(channels, channels // 2, stride=stride, causal=causal),
            ]
            channels //= 2
            layers += [ResidualUnit(channels, dilation, units, causal) for dilation in units.dilations]
        layers += [activation(units, channels), Conv1d(channels, 1, 7, causal=causal)]
        layers += [nn.Tanh()] if config.tanh else []
        self.layers, self.inner = nn.ModuleList(layers), len(layers) - 2 - config.tanh
        self.delay = 0

    def forward(self, z: Tensor, state: StreamState | None = None) -> Tensor:
        stateful = Conv1d | ConvTranspose1d | ResidualUnit | LSTM
        for layer in self.layers[: self.inner]:
            z = layer(z, state) if isinstance(layer, stateful) else layer(z)
        return self.to_waveform(z, state)

    @in_float32
    def to_waveform(self, x: Tensor, state: StreamState | None) -> Tensor:
        """The last activation and convolution, [B, C, T] to [B, 1, T]."""
        for layer in self.layers[self.inner :]:
            x = layer(x, state) if isinstance(layer, Conv1d) else layer(x)
        return x

    def flush(self, state: StreamState) -> Tensor | None:
        """The samples after the last frame: none."""
        return None


class SpectralDecoder(nn.Module):
    """[B, latent_dim, F] to [B, 1, F × hop]: ConvNeXt blocks, then magnitude and phase of every frame.

    A frame's window is centered on its hop, so in a stream the last `delay` = (n_fft - hop) / 2 samples wait for the
    next frame.
    """

    window: Tensor

    def __init__(self, config: VocosDecoder, latent_dim: int, causal: bool) -> None:
        super().__init__()
        self.hop, self.n_fft = config.hop, config.n_fft
        self.delay = (config.n_fft - config.hop) // 2
        self.register_buffer("window", torch.hann_window(config.n_fft), persistent=False)
        self.read = Conv1d(latent_dim, config.channels, 7, causal=causal, norm=False)
        self.norm_in, self.norm_out = nn.LayerNorm(config.channels), nn.LayerNorm(config.channels)
        self.blocks = nn.ModuleList(
            ConvNeXtBlock(config.channels, 1 / config.blocks, causal) for _ in range(config.blocks)
        )
        self.head = nn.Linear(config.channels, config.n_fft + 2)

    def forward(self, z: Tensor, state: StreamState | None = None) -> Tensor:
        x = self.norm_in(self.read(z, state).mT).mT  # [B, C, F]
        for block in self.blocks:
            x = block(x, state)
        return self.to_waveform(x, state)

    @in_float32
    def to_waveform(self, x: Tensor, state: StreamState | None) -> Tensor:
        """The inverse STFT of the spectrum in hidden states, [B, C, F] to [B, 1, F × hop]."""
        log_magnitude, phase = self.head(self.norm_out(x.mT)).chunk(2, dim=-1)  # [B, F, n_fft / 2 + 1]
        magnitude = log_magnitude.clamp(max=5.0).exp()  # a full-scale sine under the window stays below e^5 × n_fft / 4
        frames = torch.fft.irfft(torch.polar(magnitude, phase)) * self.window  # [B, F, n_fft]
        return self.overlap_add(frames, state)[:, None]

    def overlap_add(self, frames: Tensor, state: StreamState | None) -> Tensor:
        """[B, F, n_fft] to [B, F × hop] offline; in a stream, `delay` samples later."""
        waves = self._add(frames)  # [B, F × hop + n_fft - hop]
        weight = self._add(self.window.square().expand(1, frames.shape[1], -1))  # how much window lies on each sample
        if state is None:
            return (waves / weight.clamp(min=1e-8))[:, self.delay : waves.shape[1] - self.delay]
        ready, overlap, skip = frames.shape[1] * self.hop, self.n_fft - self.hop, self.delay
        if self in state:
            old_waves, old_weight, skip = state[self]
            waves = torch.cat((waves[:, :overlap] + old_waves, waves[:, overlap:]), dim=1)
            weight = torch.cat((weight[:, :overlap] + old_weight, weight[:, overlap:]), dim=1)
        state[self] = (waves[:, ready:], weight[:, ready:], max(0, skip - ready))
        return waves[:, skip:ready] / weight[:, skip:ready].clamp(min=1e-8)

    def flush(self, state: StreamState) -> Tensor | None:
        """The samples that waited for the next frame [B, 1, at most delay]; None if there was no frame."""
        if self not in state:
            return None
        waves, weight, skip = state.pop(self)
        return (waves / weight.clamp(min=1e-8))[:, None, skip : self.delay]

    def _add(self, frames: Tensor) -> Tensor:
        """Overlap-add of [B, F, n_fft], `hop` apart."""
        batch, count, _ = frames.shape
        waves = frames.new_zeros(batch, count * self.hop + self.n_fft - self.hop)
        for start in range(0, self.n_fft, self.hop):
            piece = frames[:, :, start : start + self.hop].reshape(batch, count * self.hop)
            waves[:, start : start + count * self.hop] += piece
        return waves


def build_decoder(config: ConvDecoder | VocosDecoder, latent_dim: int, causal: bool) -> Decoder | SpectralDecoder:
    """The decoder of a configuration."""
    if isinstance(config, ConvDecoder):
        return Decoder(config, latent_dim, causal)
    return SpectralDecoder(config, latent_dim, causal)

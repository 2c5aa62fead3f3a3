"""Waveform to latent frames: by strided convolutions (DAC, SEANet), or by a spectrum and ConvNeXt blocks."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speech_eval.reference_models.codec.config import ConvEncoder, STFTEncoder
from speech_eval.reference_models.codec.layers import LSTM, ConvNeXtBlock, ResidualUnit, activation
from speech_eval.reference_models.codec.streaming import Conv1d, StreamState, remember
from speech_eval.reference_models.training.precision import in_float32


class Encoder(nn.Module):
    """[B, 1, T] to [B, latent_dim, T / hop]: per stride, residual units, then a convolution doubling the channels."""

    def __init__(self, config: ConvEncoder, latent_dim: int, causal: bool) -> None:
        super().__init__()
        channels, units = config.channels, config.units
        layers: list[nn.Module] = [Conv1d(1, channels, 7, causal=causal)]
        for stride in config.strides:
            layers += [ResidualUnit(channels, dilation, units, causal) for dilation in units.dilations]
            layers += [
                activation(units, channels),
                Conv1d(channels, 2 * channels, 2 * stride, stride=stride, causal=causal),
            ]
            channels *= 2
        layers += [LSTM(channels, config.lstm)] if config.lstm else []
        layers += [activation(units, channels), Conv1d(channels, latent_dim, 3, causal=causal)]
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor, state: StreamState | None = None) -> Tensor:
        return self.to_latent(run(self.layers[:-1], x, state), state)

    @in_float32
    def to_latent(self, x: Tensor, state: StreamState | None) -> Tensor:
        """The last convolution, [B, C, F] to [B, latent_dim, F]."""
        return self.layers[-1](x, state)


class SpectralEncoder(nn.Module):
    """[B, 1, T] to [B, latent_dim, T / hop], at the frame rate throughout.

    A frame sees log magnitudes, for what is loud, and with `phase` the spectrum with its magnitudes compressed to
    |X|^0.3, for where things lie. Its window ends with the frame if causal, else it is centered on it.
    """

    window: Tensor

    def __init__(self, config: STFTEncoder, latent_dim: int, causal: bool) -> None:
        super().__init__()
        self.hop, self.n_fft, self.causal, self.phase = config.hop, config.n_fft, causal, config.phase
        self.register_buffer("window", torch.hann_window(config.n_fft), persistent=False)
        self.read = Conv1d(
            (3 if config.phase else 1) * (config.n_fft // 2 + 1), config.channels, 3, causal=causal, norm=False
        )
        self.norm = nn.LayerNorm(config.channels)
        self.blocks = nn.ModuleList(
            ConvNeXtBlock(config.channels, 1 / config.blocks, causal) for _ in range(config.blocks)
        )
        self.out = Conv1d(config.channels, latent_dim, 1, causal=causal, norm=False)

    def forward(self, x: Tensor, state: StreamState | None = None) -> Tensor:
        x = self.norm(self.read(self.spectrum(x, state), state).mT).mT  # [B, C, F]
        return self.to_latent(run(self.blocks, x, state), state)

    @in_float32
    def to_latent(self, x: Tensor, state: StreamState | None) -> Tensor:
        """The last projection, [B, C, F] to [B, latent_dim, F]."""
        return self.out(x, state)

    def spectrum(self, x: Tensor, state: StreamState | None) -> Tensor:
        """[B, 1, T] to [B, bins or, with phase, 3 × bins, F]."""
        overlap = self.n_fft - self.hop
        x = remember(self, x, overlap, state) if self.causal else F.pad(x, (overlap // 2, overlap // 2))
        frames = x[:, 0].float().unfold(-1, self.n_fft, self.hop)  # [B, F, n_fft]
        spectrum = torch.fft.rfft(frames * self.window)
        power = spectrum.real.square() + spectrum.imag.square() + 1e-7
        features = 0.1 * power.log()
        if self.phase:
            compressed = torch.view_as_real(spectrum) * power.pow(-0.35)[..., None]  # X / |X|^0.7
            features = torch.cat((features, compressed[..., 0], compressed[..., 1]), dim=-1)
        return features.mT.to(x.dtype)


def run(layers: nn.ModuleList, x: Tensor, state: StreamState | None) -> Tensor:
    """Apply layers in turn; layers without a memory take no state."""
    for layer in layers:
        x = layer(x, state) if isinstance(layer, Conv1d | ResidualUnit | ConvNeXtBlock | LSTM) else layer(x)
    return x


def build_encoder(config: ConvEncoder | STFTEncoder, latent_dim: int, causal: bool) -> Encoder | SpectralEncoder:
    """The encoder of a configuration."""
    if isinstance(config, ConvEncoder):
        return Encoder(config, latent_dim, causal)
    return SpectralEncoder(config, latent_dim, causal)

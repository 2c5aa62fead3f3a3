"""Discriminators: over periods of the waveform, and over complex spectrograms whole (EnCodec) or in bands (DAC)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from speech_eval.reference_models.codec.losses import Maps
from speech_eval.reference_models.codec.training_config import BandConfig, DiscriminatorConfig, PeriodConfig


class Discriminators(nn.Module):
    """All discriminators of a recipe. [B, 1, T] to one list of feature maps each, the last of which is the logits."""

    def __init__(self, configs: tuple[DiscriminatorConfig, ...]) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        for config in configs:
            if isinstance(config, PeriodConfig):
                parts += [PeriodDiscriminator(period, config.channels) for period in config.periods]
            elif isinstance(config, BandConfig):
                parts += [BandDiscriminator(window, config.channels, config.bands) for window in config.windows]
            else:
                parts += [STFTDiscriminator(window, config.channels) for window in config.windows]
        self.parts = nn.ModuleList(parts)

    def forward(self, audio: Tensor) -> list[Maps]:
        audio = audio.float()
        audio = audio - audio.mean(dim=-1, keepdim=True)
        # Level and offset tell a decoding from a recording too easily: neither is what it should learn from.
        audio = 0.8 * audio / (audio.abs().amax(dim=-1, keepdim=True) + 1e-9)
        return [part(audio) for part in self.parts]


def _conv(
    c_in: int, c_out: int, kernel: tuple[int, int], stride: tuple[int, int] = (1, 1), dilation: int = 1
) -> nn.Module:
    """A weight-normalized convolution over [B, C, time, width], padded to keep an unstrided size."""
    padding = ((kernel[0] - 1) * dilation // 2, kernel[1] // 2)
    return weight_norm(nn.Conv2d(c_in, c_out, kernel, stride, padding, (dilation, 1)))


class PeriodDiscriminator(nn.Module):
    """[B, 1, T] folded to [B, 1, T / period, period]: convolutions along time, every phase of the period alike."""

    def __init__(self, period: int, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.period = period
        sizes = (1, *channels)
        self.layers = nn.ModuleList(
            _conv(a, b, (5, 1), (3, 1) if number < len(channels) - 1 else (1, 1))
            for number, (a, b) in enumerate(zip(sizes, channels, strict=False))
        )
        self.out = _conv(channels[-1], 1, (3, 1))

    def forward(self, audio: Tensor) -> Maps:
        audio = F.pad(audio, (0, -audio.shape[-1] % self.period), mode="reflect")
        x = audio.unflatten(-1, (-1, self.period))
        maps: Maps = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.1)
            maps.append(x)
        return [*maps, self.out(x)]


def _spectrogram(audio: Tensor, window: Tensor) -> Tensor:
    """Real and imaginary part [B, 2, frames, bins], in float32 whatever the layers run in."""
    size = len(window)
    spectrum = torch.stft(audio[:, 0], size, size // 4, window=window, return_complex=True)
    return torch.view_as_real(spectrum).permute(0, 3, 2, 1).contiguous()


class BandDiscriminator(nn.Module):
    """A stack of convolutions for each band of the spectrum, joined along frequency for the logits."""

    window: Tensor

    def __init__(self, size: int, channels: int, bands: tuple[tuple[float, float], ...]) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(size), persistent=False)
        bins = size // 2 + 1
        self.edges = [(int(low * bins), int(high * bins)) for low, high in bands]
        self.stacks = nn.ModuleList(_band_stack(channels) for _ in bands)
        self.out = _conv(channels, 1, (3, 3))

    def forward(self, audio: Tensor) -> Maps:
        spectrum = _spectrogram(audio, self.window)
        maps: Maps = []
        last = []
        for (low, high), stack in zip(self.edges, self.stacks, strict=True):
            x = spectrum[..., low:high]
            assert isinstance(stack, nn.ModuleList)
            for layer in stack:
                x = F.leaky_relu(layer(x), 0.1)
                maps.append(x)
            last.append(x)
        return [*maps, self.out(torch.cat(last, dim=-1))]


def _band_stack(channels: int) -> nn.ModuleList:
    return nn.ModuleList(
        [
            _conv(2, channels, (3, 9)),
            *(_conv(channels, channels, (3, 9), (1, 2)) for _ in range(3)),
            _conv(channels, channels, (3, 3)),
        ]
    )


class STFTDiscriminator(nn.Module):
    """Convolutions over the whole complex spectrogram, halved in frequency and dilated 1, 2, 4 in time."""

    window: Tensor

    def __init__(self, size: int, channels: int) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(size) / (size**0.5), persistent=False)
        self.layers = nn.ModuleList(
            [
                _conv(2, channels, (3, 9)),
                *(_conv(channels, channels, (3, 9), (1, 2), dilation) for dilation in (1, 2, 4)),
                _conv(channels, channels, (3, 3)),
            ]
        )
        self.out = _conv(channels, 1, (3, 3))

    def forward(self, audio: Tensor) -> Maps:
        x = _spectrogram(audio, self.window)
        maps: Maps = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
            maps.append(x)
        return [*maps, self.out(x)]

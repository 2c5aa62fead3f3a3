"""DistillMOS: an opinion score of speech, distilled from XLS-R into a small network (Stahl and Gamper 2025,
arXiv:2502.05356).

A convolutional front end reads the compressed complex spectrum, a transformer of 200 dimensions follows it in time, and
attention pools one score out of each excerpt. Module names follow the published checkpoint, so its state dict loads
strictly.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

EXCERPT = 122_880  # samples at 16 kHz, 7.68 s: what one forward pass takes
_FARTHEST = 16_000  # samples between the starts of neighboring excerpts at most
_WINDOW, _HOP = 320, 160
_CHANNELS = (2, 64, 64, 128, 256, 256, 256)
_FRAMES = EXCERPT // _HOP // 2
_WIDTH, _HEADS, _LAYERS = 200, 8, 7


class FrontEnd(nn.Module):
    """[B, samples] → [B, channels × bands, samples / 320]: six convolutions that halve frequency, the last one time."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        bands, last = _WINDOW // 2 + 1, len(_CHANNELS) - 2
        for index, (before, after) in enumerate(pairwise(_CHANNELS)):
            stride = (1 if index == 0 else 2, 2 if index == last else 1)
            layers += [nn.Conv2d(before, after, 3, stride=stride, padding=(0, 1)), nn.LeakyReLU(0.1)]
            bands = (bands - 3) // stride[0] + 1
        self.cnn = nn.Sequential(*layers)
        self.width = bands * _CHANNELS[-1]

    def forward(self, x: Tensor) -> Tensor:
        side = (_WINDOW - _HOP) // 2
        window = torch.hann_window(_WINDOW, device=x.device)
        padded = functional.pad(x, (side, side), mode="reflect")
        spectrum = torch.stft(padded, _WINDOW, _HOP, window=window, center=False, return_complex=True)
        magnitude = spectrum.abs().clamp(min=1e-12)
        planes = torch.view_as_real(spectrum * magnitude**-0.7).permute(0, 3, 1, 2)
        out: Tensor = self.cnn(planes).flatten(1, 2)
        return out


class Positions(nn.Module):
    """Sines and cosines of the frame's number, added to each frame."""

    pe: Tensor

    def __init__(self) -> None:
        super().__init__()
        rates = torch.exp(torch.arange(0, _WIDTH, 2) * (-math.log(2 * _FRAMES) / _WIDTH))
        angles = torch.arange(_FRAMES)[:, None] * rates
        self.register_buffer("pe", torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[None])

    def forward(self, x: Tensor) -> Tensor:
        return x + self.pe


class AttentionPooling(nn.Module):
    """[B, T, C] → [B]: frames weighted by a small network of their own, then one number."""

    def __init__(self) -> None:
        super().__init__()
        self.linear1 = nn.Linear(_WIDTH, 2 * _WIDTH)
        self.linear2 = nn.Linear(2 * _WIDTH, 1)
        self.linear3 = nn.Linear(_WIDTH, 1)

    def forward(self, x: Tensor) -> Tensor:
        weights = self.linear2(functional.relu(self.linear1(x))).softmax(dim=1)
        out: Tensor = self.linear3((weights * x).sum(dim=1)).squeeze(-1)
        return out


class DistillMOSNet(nn.Module):
    """Excerpts [B, EXCERPT], each with peak 1, to opinion scores [B] from 1 to 5."""

    def __init__(self) -> None:
        super().__init__()
        self.cnn = FrontEnd()
        layer = nn.TransformerEncoderLayer(_WIDTH, _HEADS, 2 * _WIDTH, dropout=0.0, batch_first=True)
        encoder = OrderedDict(
            norm=nn.BatchNorm1d(self.cnn.width),
            linear_proj=nn.Linear(self.cnn.width, _WIDTH),
            position_encoding=Positions(),
            transformer_encoder=nn.TransformerEncoder(layer, _LAYERS, enable_nested_tensor=False),
        )
        self.transformer_pool_attn = nn.ModuleDict(
            OrderedDict(
                norm_input=nn.BatchNorm1d(self.cnn.width),
                transformer=nn.ModuleDict(encoder),
                norm_trans=nn.BatchNorm1d(_WIDTH),
                pool=AttentionPooling(),
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        parts = self.transformer_pool_attn
        inner = parts["transformer"]
        assert isinstance(inner, nn.ModuleDict)
        frames = inner["norm"](parts["norm_input"](self.cnn(x))).transpose(1, 2)
        frames = inner["transformer_encoder"](inner["position_encoding"](inner["linear_proj"](frames)))
        frames = parts["norm_trans"](frames.transpose(1, 2)).transpose(1, 2)
        return 1 + 4 * torch.sigmoid(parts["pool"](frames))

    @torch.inference_mode()
    def rate(self, samples: Tensor) -> tuple[float, int]:
        """The score of 16 kHz speech [samples], the mean over its excerpts, and how many those were."""
        pieces = excerpts(samples)
        pieces = pieces / (pieces.abs().amax(dim=1, keepdim=True) + 1e-8)
        return float(self(pieces).mean()), len(pieces)


def excerpts(samples: Tensor) -> Tensor:
    """[n, EXCERPT]: evenly spread, at most a second apart, first and last at the ends; short speech is padded."""
    over = max(0, len(samples) - EXCERPT)
    samples = functional.pad(samples, (0, max(0, EXCERPT - len(samples))))
    count = math.ceil(over / _FARTHEST) + 1
    starts = [int(over * position) for position in torch.linspace(0, 1, count, dtype=torch.float64).tolist()]
    return torch.stack([samples[start : start + EXCERPT] for start in starts])


def load(path: Path) -> DistillMOSNet:
    """The network with published weights; tensors alone are read from the file."""
    model = DistillMOSNet()
    model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True)["model"])
    return model.eval()

"""CAM++: a densely connected time-delay network with context-aware masking (Wang et al. 2023, arXiv:2303.00332).

A small 2-D residual front end (FCM) reads the spectrogram, three dense TDNN blocks refine it along time, every layer
of which is scaled by a mask computed from its context, and the pooled mean and deviation become the embedding.
Module names follow the published checkpoint, so its state dict loads strictly.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

_SEGMENT = 100  # frames over which the local context of a mask is averaged
_BLOCKS = ((12, 1), (24, 2), (16, 2))  # layers and dilation of the dense blocks
_GROWTH = 32  # channels that each dense layer adds
_BOTTLENECK = 128


def _norm_relu(channels: int, *, affine: bool = True) -> nn.Sequential:
    return nn.Sequential(OrderedDict(batchnorm=nn.BatchNorm1d(channels, affine=affine), relu=nn.ReLU()))


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions around a shortcut; `stride` applies to frequency alone. [B, C, F, T] → [B, C, F', T]."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, stride=(stride, 1), padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Sequential()
        if stride != 1:
            conv = nn.Conv2d(channels, channels, 1, stride=(stride, 1), bias=False)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class FrontEnd(nn.Module):
    """Feature map extractor: [B, bands, T] → [B, channels × bands / 8, T]."""

    def __init__(self, channels: int = 32) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.layer1 = nn.Sequential(ResidualBlock(channels, 2), ResidualBlock(channels, 1))
        self.layer2 = nn.Sequential(ResidualBlock(channels, 2), ResidualBlock(channels, 1))
        self.conv2 = nn.Conv2d(channels, channels, 3, stride=(2, 1), padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.bn1(self.conv1(x.unsqueeze(1))))
        x = functional.relu(self.bn2(self.conv2(self.layer2(self.layer1(x)))))
        return x.flatten(1, 2)


class TimeDelay(nn.Module):
    """The first temporal convolution; halves the frame rate. [B, C, T] → [B, C', T / 2]."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.linear = nn.Conv1d(channels_in, channels_out, 5, stride=2, padding=2, bias=False)
        self.nonlinear = _norm_relu(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.nonlinear(self.linear(x))
        return out


class ContextAwareMasking(nn.Module):
    """A convolution whose output is gated by the mean of the utterance plus the mean of its own segment."""

    def __init__(self, channels_in: int, channels_out: int, dilation: int) -> None:
        super().__init__()
        self.linear_local = nn.Conv1d(channels_in, channels_out, 3, padding=dilation, dilation=dilation, bias=False)
        self.linear1 = nn.Conv1d(channels_in, channels_in // 2, 1)
        self.linear2 = nn.Conv1d(channels_in // 2, channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        context = x.mean(dim=-1, keepdim=True) + _segment_means(x)
        mask = torch.sigmoid(self.linear2(functional.relu(self.linear1(context))))
        out: Tensor = self.linear_local(x) * mask
        return out


def _segment_means(x: Tensor) -> Tensor:
    """Each frame replaced by the mean of its segment of 100; the last one is averaged over what it has."""
    means = functional.avg_pool1d(x, _SEGMENT, stride=_SEGMENT, ceil_mode=True)
    return means.repeat_interleave(_SEGMENT, dim=-1)[..., : x.shape[-1]]


class DenseLayer(nn.Module):
    """Bottleneck and masked convolution: [B, C, T] → [B, growth, T]."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.nonlinear1 = _norm_relu(channels)
        self.linear1 = nn.Conv1d(channels, _BOTTLENECK, 1, bias=False)
        self.nonlinear2 = _norm_relu(_BOTTLENECK)
        self.cam_layer = ContextAwareMasking(_BOTTLENECK, _GROWTH, dilation)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.cam_layer(self.nonlinear2(self.linear1(self.nonlinear1(x))))
        return out


class DenseBlock(nn.Module):
    """Layers that each append their output to their input: [B, C, T] → [B, C + layers × growth, T]."""

    def __init__(self, channels: int, layers: int, dilation: int) -> None:
        super().__init__()
        for index in range(layers):
            self.add_module(f"tdnnd{index + 1}", DenseLayer(channels + index * _GROWTH, dilation))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.children():
            x = torch.cat([x, layer(x)], dim=1)
        return x


class Transition(nn.Module):
    """Halves the channels after a dense block."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.nonlinear = _norm_relu(channels)
        self.linear = nn.Conv1d(channels, channels // 2, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.linear(self.nonlinear(x))
        return out


class StatisticsPooling(nn.Module):
    """Mean and standard deviation over time: [B, C, T] → [B, 2 C]."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x.mean(dim=-1), x.std(dim=-1)], dim=-1)


class Projection(nn.Module):
    """The embedding: [B, C] → [B, size], batch-normalized without scale or shift."""

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.linear = nn.Conv1d(channels, size, 1, bias=False)
        self.nonlinear = nn.Sequential(OrderedDict(batchnorm=nn.BatchNorm1d(size, affine=False)))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.nonlinear(self.linear(x.unsqueeze(-1)).squeeze(-1))
        return out


class CAMPlusPlus(nn.Module):
    """Log mel energies [B, T, 80], mean-normalized over time, to speaker embeddings [B, 192] (not of unit length).

    At least four frames, so that the deviation over the halved frames exists.
    """

    def __init__(self) -> None:
        super().__init__()
        self.head = FrontEnd()
        channels = 128
        layers: OrderedDict[str, nn.Module] = OrderedDict(tdnn=TimeDelay(320, channels))
        for index, (depth, dilation) in enumerate(_BLOCKS, start=1):
            layers[f"block{index}"] = DenseBlock(channels, depth, dilation)
            channels += depth * _GROWTH
            layers[f"transit{index}"] = Transition(channels)
            channels //= 2
        layers["out_nonlinear"] = _norm_relu(channels)
        layers["stats"] = StatisticsPooling()
        layers["dense"] = Projection(2 * channels, 192)
        self.xvector = nn.Sequential(layers)

    def forward(self, features: Tensor) -> Tensor:
        out: Tensor = self.xvector(self.head(features.transpose(1, 2)))
        return out

    @classmethod
    def load(cls, path: Path) -> CAMPlusPlus:
        """The network with the weights of a published state dict; any missing or left-over name is an error."""
        network = cls()
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True), strict=True)
        return network.eval()

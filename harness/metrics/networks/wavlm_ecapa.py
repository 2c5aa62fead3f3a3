"""WavLM-large with an ECAPA-TDNN head, the speaker encoder behind the similarities of Seed-TTS-eval.

UniSpeech's speaker verification (Chen et al. 2021, arXiv:2110.13900): a learned weighting of WavLM's 25 hidden states
is normalized over time and read by an ECAPA-TDNN (Desplanques et al. 2020, arXiv:2005.07143). Names of the head follow
the published checkpoint; those of WavLM are transformers', and `published_name` is the way between the two.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import WavLMConfig, WavLMModel

from speech_eval.errors import BadInput

MIN_SAMPLES = 720  # two frames of WavLM: one has no deviation over time
_BACKBONE = "feature_extract.model."
_TRAINING_ONLY = re.compile(r"loss_calculator\.|feature_extract\.model\.(final_proj|label_embs_concat)")
_LAYER = "encoder.layers.{layer}."
# Beginnings of names in WavLM's own code, and in transformers'.
_NAMES = (
    ("mask_emb", "masked_spec_embed"),
    ("layer_norm.", "feature_projection.layer_norm."),
    ("post_extract_proj.", "feature_projection.projection."),
    ("feature_extractor.conv_layers.{layer}.0.", "feature_extractor.conv_layers.{layer}.conv."),
    ("feature_extractor.conv_layers.{layer}.2.1.", "feature_extractor.conv_layers.{layer}.layer_norm."),
    ("encoder.pos_conv.0.bias", "encoder.pos_conv_embed.conv.bias"),
    ("encoder.pos_conv.0.weight_g", "encoder.pos_conv_embed.conv.parametrizations.weight.original0"),
    ("encoder.pos_conv.0.weight_v", "encoder.pos_conv_embed.conv.parametrizations.weight.original1"),
    (_LAYER + "self_attn.{side}_proj.", _LAYER + "attention.{side}_proj."),
    (_LAYER + "self_attn.grep_linear.", _LAYER + "attention.gru_rel_pos_linear."),
    (_LAYER + "self_attn.grep_a", _LAYER + "attention.gru_rel_pos_const"),
    (_LAYER + "self_attn.relative_attention_bias.", _LAYER + "attention.rel_attn_embed."),
    (_LAYER + "self_attn_layer_norm.", _LAYER + "layer_norm."),
    (_LAYER + "fc1.", _LAYER + "feed_forward.intermediate_dense."),
    (_LAYER + "fc2.", _LAYER + "feed_forward.output_dense."),
    (_LAYER + "final_layer_norm.", _LAYER + "final_layer_norm."),
    ("encoder.layer_norm.", "encoder.layer_norm."),
)


def large() -> WavLMConfig:
    """The configuration of WavLM-large."""
    return WavLMConfig(
        hidden_size=1024,
        num_hidden_layers=24,
        num_attention_heads=16,
        intermediate_size=4096,
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
        conv_bias=False,
    )


class ConvNorm(nn.Module):
    """Convolution, ReLU, batch normalization, in this order: [B, C, T] → [B, C', T]."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels_in, channels_out, kernel, padding=kernel // 2)
        self.bn = nn.BatchNorm1d(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.bn(functional.relu(self.conv(x)))
        return out


class Res2(nn.Module):
    """Channels in 8 groups: each but the last is convolved together with the result of the group before it."""

    groups = 8

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.width = channels // self.groups
        convolved = range(self.groups - 1)
        self.convs = nn.ModuleList(
            nn.Conv1d(self.width, self.width, 3, padding=dilation, dilation=dilation) for _ in convolved
        )
        self.bns = nn.ModuleList(nn.BatchNorm1d(self.width) for _ in convolved)

    def forward(self, x: Tensor) -> Tensor:
        *groups, last = x.split(self.width, dim=1)
        done: list[Tensor] = []
        for group, conv, norm in zip(groups, self.convs, self.bns, strict=True):
            carried = group + done[-1] if done else group
            done.append(norm(functional.relu(conv(carried))))
        return torch.cat([*done, last], dim=1)


class SqueezeExcitation(nn.Module):
    """Channels scaled by a gate that sees their means over time."""

    def __init__(self, channels: int, bottleneck: int = 128) -> None:
        super().__init__()
        self.linear1 = nn.Linear(channels, bottleneck)
        self.linear2 = nn.Linear(bottleneck, channels)

    def forward(self, x: Tensor) -> Tensor:
        gate = torch.sigmoid(self.linear2(functional.relu(self.linear1(x.mean(dim=2)))))
        return x * gate.unsqueeze(2)


class Block(nn.Module):
    """The SE-Res2 block of ECAPA-TDNN around a shortcut: [B, C, T] → [B, C, T]."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.Conv1dReluBn1 = ConvNorm(channels, channels)
        self.Res2Conv1dReluBn = Res2(channels, dilation)
        self.Conv1dReluBn2 = ConvNorm(channels, channels)
        self.SE_Connect = SqueezeExcitation(channels)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.SE_Connect(self.Conv1dReluBn2(self.Res2Conv1dReluBn(self.Conv1dReluBn1(x))))
        return x + y


class AttentivePooling(nn.Module):
    """Mean and deviation over time, weighted by attention of each channel: [B, C, T] → [B, 2 C]."""

    def __init__(self, channels: int, bottleneck: int = 128) -> None:
        super().__init__()
        self.linear1 = nn.Conv1d(channels, bottleneck, 1)
        self.linear2 = nn.Conv1d(bottleneck, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        weights = torch.softmax(self.linear2(torch.tanh(self.linear1(x))), dim=2)
        mean = (weights * x).sum(dim=2)
        variance = (weights * x**2).sum(dim=2) - mean**2
        return torch.cat([mean, variance.clamp(min=1e-9).sqrt()], dim=1)


class WavLMECAPA(nn.Module):
    """16 kHz samples [B, T] of equal length to speaker embeddings [B, 256] (not of unit length).

    At least `MIN_SAMPLES` samples. The other sizes than the published ones are for tests.
    """

    def __init__(self, config: WavLMConfig | None = None, channels: int = 512, pooled: int = 1536) -> None:
        super().__init__()
        config = config or large()
        self.wavlm = WavLMModel(config)
        self.feature_weight = nn.Parameter(torch.zeros(config.num_hidden_layers + 1))
        self.instance_norm = nn.InstanceNorm1d(config.hidden_size)
        self.layer1 = ConvNorm(config.hidden_size, channels, 5)
        self.layer2, self.layer3, self.layer4 = (Block(channels, dilation) for dilation in (2, 3, 4))
        self.conv = nn.Conv1d(3 * channels, pooled, 1)
        self.pooling = AttentivePooling(pooled)
        self.bn = nn.BatchNorm1d(2 * pooled)
        self.linear = nn.Linear(2 * pooled, 256)

    def forward(self, samples: Tensor) -> Tensor:
        x = self.instance_norm(self.features(samples))
        second = self.layer2(self.layer1(x))
        third = self.layer3(second)
        fourth = self.layer4(third)
        x = functional.relu(self.conv(torch.cat([second, third, fourth], dim=1)))
        out: Tensor = self.linear(self.bn(self.pooling(x)))
        return out

    def features(self, samples: Tensor) -> Tensor:
        """The weighted sum of the inputs of WavLM's layers and of its output, [B, D, frames]."""
        samples = functional.layer_norm(samples, samples.shape[-1:])
        output = self.wavlm(samples, output_hidden_states=True)
        # The last of transformers' hidden states lacks the closing layer norm, which the original's has.
        states = torch.stack([*output.hidden_states[:-1], output.last_hidden_state])
        weights = torch.softmax(self.feature_weight, dim=0)
        # The original adds the small number here, where the fbank features of its other encoders need it.
        return torch.einsum("l,lbtd->bdt", weights, states) + 1e-6

    @classmethod
    def load(cls, path: Path, config: WavLMConfig | None = None, **sizes: int) -> WavLMECAPA:
        """The network with the weights of a published checkpoint, `{"model": state dict, …}`.

        Only tensors are read, no code. Every name must be accounted for: `BadInput` tells those that are missing,
        unknown or of another shape. What only training needs (the speaker classifier) is left out.
        """
        network = cls(config, **sizes)
        state = _ours(_read(path), path)
        expected = network.state_dict()
        missing, unknown = sorted(expected.keys() - state.keys()), sorted(state.keys() - expected.keys())
        shared = expected.keys() & state.keys()
        misshapen = sorted(name for name in shared if state[name].shape != expected[name].shape)
        for what, names in (("lacks", missing), ("has unknown", unknown), ("has, in another shape,", misshapen)):
            if names:
                shown = ", ".join(published_name(name) for name in names[:3]) + (", …" if len(names) > 3 else "")
                raise BadInput(
                    f"{path} {what} {len(names)} weights: {shown}.",
                    "Give UniSpeech's wavlm_large_finetune.pth, downloaded whole.",
                )
        network.load_state_dict(state)
        return network.eval()


def _read(path: Path) -> Mapping[str, Any]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadInput(f"{path}: not a checkpoint of tensors ({first}).", "Download the file again.") from error
    state = content.get("model") if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping):
        raise BadInput(f"{path} has no 'model' in it.", "Give UniSpeech's wavlm_large_finetune.pth.")
    return state


def _ours(published: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The state dict under our names. A name that has no counterpart stays as it is, to be reported."""
    state: dict[str, Any] = {}
    for key, value in published.items():
        if _TRAINING_ONLY.match(key):
            continue
        name = our_name(key)
        if name in state:
            raise BadInput(f"{path} holds {key} twice under two names.", "Download the file again.")
        state[name] = value
    return state


def our_name(published: str) -> str:
    """The name in this module of a weight of the published checkpoint; itself where it has none."""
    inner = published.removeprefix(_BACKBONE)
    found = _translated(inner, _NAMES) if inner != published else None
    return published if found is None else f"wavlm.{found}"


def published_name(ours: str) -> str:
    """The name in the published checkpoint of a weight of this module."""
    inner = ours.removeprefix("wavlm.")
    found = _translated(inner, [(ours, theirs) for theirs, ours in _NAMES]) if inner != ours else None
    return ours if found is None else _BACKBONE + found


def _translated(name: str, pairs: Sequence[tuple[str, str]]) -> str | None:
    """`name` with the beginning that stands first in one of `pairs` replaced by the second."""
    for source, target in pairs:
        pattern = re.escape(source).replace(r"\{layer\}", r"(?P<layer>\d+)").replace(r"\{side\}", "(?P<side>[qkv]|out)")
        if match := re.match(pattern, name):
            return target.format(**match.groupdict()) + name[match.end() :]
    return None

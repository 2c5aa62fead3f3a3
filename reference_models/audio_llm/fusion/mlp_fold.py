"""Frame folding and an MLP: Voxtral folds 4 frames (12.5 Hz), Qwen2-Audio pools 2."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speech_eval.reference_models.audio_llm.config import FoldSection, MlpFoldSection
from speech_eval.reference_models.audio_llm.fusion.base import Fusion, stacked

_NEIGHBORS = 5  # positions that a layer of context sees


class MlpFold(Fusion):
    """LayerNorm → `fold` frames side by side → Linear → GELU → `context` layers over neighbors → Linear."""

    def __init__(self, config: FoldSection, dim: int, width: int, rms: float) -> None:
        super().__init__(width, rms)
        layers, share = (config.context, config.dropout) if isinstance(config, MlpFoldSection) else (0, 0.0)
        self.fold = config.fold
        self.before = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(
            nn.Linear(dim * config.fold, config.hidden), nn.GELU(), nn.Linear(config.hidden, width)
        )
        self.dropout = nn.Dropout(share)
        self.context = nn.ModuleList(Neighbors(config.hidden, share) for _ in range(layers))

    def project(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        folded, counts = stacked(self.before(features), lengths, self.fold)
        hidden = self.dropout(self.mlp[:2](folded))
        inside = torch.arange(hidden.shape[1], device=hidden.device) < counts[:, None]
        for layer in self.context:
            hidden = layer(hidden, inside)
        return self.mlp[2](hidden), counts


class Neighbors(nn.Module):
    """x + what a convolution of each channel over its neighbors, mixed by a linear layer, makes of x [B, T, H]. What is
    not `inside` [B, T] counts as zero."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.weights = nn.Parameter(torch.randn(_NEIGHBORS, width) / _NEIGHBORS**0.5)
        self.mix = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, inside: Tensor) -> Tensor:
        padded = F.pad(self.norm(x) * inside[..., None], (0, 0, _NEIGHBORS // 2, _NEIGHBORS // 2))
        size = x.shape[1]  # shifted copies are faster than a grouped convolution
        near = sum((padded[:, k : k + size] * weight for k, weight in enumerate(self.weights)), torch.zeros_like(x))
        return x + self.dropout(F.gelu(self.mix(F.gelu(near))))

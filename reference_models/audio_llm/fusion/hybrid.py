"""Continuous features and discrete semantic tokens, added: the input of Kimi-Audio.

Kimi-Audio's tokens are a vector quantization inside a Whisper encoder. Here they are the nearest of `codes` centroids
of the encoder's own features, found by k-means on the training data before the first step.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from speech_eval.reference_models.audio_llm.config import HybridSection
from speech_eval.reference_models.audio_llm.fusion.base import Fusion, stacked
from speech_eval.reference_models.audio_llm.fusion.mlp_fold import MlpFold

_ROUNDS = 12


class Hybrid(Fusion):
    """`mlp-fold` of the features, plus an embedding of the token of each group of `fold` frames."""

    centroids: Tensor

    def __init__(self, config: HybridSection, dim: int, width: int, rms: float) -> None:
        super().__init__(width, rms)
        self.continuous = MlpFold(config, dim, width, rms)
        self.register_buffer("centroids", torch.zeros(config.codes, dim))
        self.discrete = nn.Embedding(config.codes, width)
        nn.init.normal_(self.discrete.weight, std=0.02)

    def fit(self, frames: Tensor, seed: int = 0) -> None:
        """k-means of frames [N, D], from N ≥ codes of them."""
        draw = torch.Generator().manual_seed(seed)
        self.centroids.copy_(frames[torch.randperm(len(frames), generator=draw)[: len(self.centroids)]])
        for _ in range(_ROUNDS):
            nearest = torch.cdist(frames, self.centroids).argmin(1)
            sums = torch.zeros_like(self.centroids).index_add_(0, nearest, frames)
            counts = torch.bincount(nearest, minlength=len(self.centroids))
            used = counts > 0
            self.centroids[used] = sums[used] / counts[used, None]

    def tokens(self, features: Tensor, lengths: Tensor) -> Tensor:
        """The token of each position [B, T]: the centroid next to the mean of its frames."""
        fold, frames = self.continuous.fold, features.shape[1]
        groups, _ = stacked(features, lengths, fold)
        inside = (torch.arange(frames, device=features.device) < lengths[:, None]).float()[..., None]
        counts, _ = stacked(inside, lengths, fold)
        means = groups.unflatten(-1, (fold, -1)).sum(2) / counts.sum(-1, keepdim=True).clamp(min=1)
        return torch.cdist(means, self.centroids.expand(len(means), -1, -1)).argmin(-1)

    def project(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        projected, counts = self.continuous.project(features, lengths)
        return projected + self.discrete(self.tokens(features, lengths)), counts

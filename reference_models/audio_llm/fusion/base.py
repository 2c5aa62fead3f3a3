"""The interface of all fusions, and what they share."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speech_eval.reference_models.training.precision import in_float32


class RMSNorm(nn.Module):
    """x / rms(x) · weight; every weight starts at `scale`."""

    def __init__(self, width: int, scale: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((width,), scale))

    @in_float32
    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, (x.shape[-1],), self.weight, 1e-6)


class Fusion(nn.Module, ABC):
    """Features [B, F, D] of `lengths` [B] frames to embeddings [B, T, E] and their numbers [B].

    `project` gives them at any scale; an RMS norm that starts at `rms`, that of the LLM's own embeddings, follows, so
    that the LLM is given vectors of a size that it knows.
    """

    def __init__(self, width: int, rms: float) -> None:
        super().__init__()
        self.norm = RMSNorm(width, rms)

    @abstractmethod
    def project(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """[B, F, D], [B] to [B, T, E], [B]; every recording has at least one embedding."""

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        projected, counts = self.project(features, lengths)
        return self.norm(projected), counts


def stacked(features: Tensor, lengths: Tensor, fold: int) -> tuple[Tensor, Tensor]:
    """`fold` successive frames side by side: [B, F, D] to [B, ⌈F / fold⌉, fold · D], zeros behind the last frame."""
    batch, frames, width = features.shape
    inside = torch.arange(frames, device=features.device) < lengths[:, None]
    padded = F.pad(features * inside[..., None], (0, 0, 0, -frames % fold))
    return padded.reshape(batch, -1, fold * width), -(-lengths // fold)

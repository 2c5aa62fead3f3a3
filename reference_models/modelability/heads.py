"""Which id comes next, among the ids of one set: directly, or for a large set in two steps.

    direct     h ── tied embedding rows ──► n logits
    two steps  h ── √n logits of the upper digit;  silu(W h + b[upper]) ── √n logits of the lower digit

n logits per position would cost more than the layers below them where a codebook has 65 536 codes. The digits are those
of the id's place in its set, so neighbors share the upper one; in finite scalar quantization they are neighbors indeed.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

DIRECT = 8192  # ids that a direct head may have


class TwoSteps(nn.Module):
    """A head over `size` ids of hidden states of `width`."""

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.size, self.base = size, math.isqrt(size - 1) + 1
        std = width**-0.5
        self.upper = nn.Parameter(torch.randn(-(-size // self.base), width) * std)
        self.lower = nn.Parameter(torch.randn(self.base, width) * std)
        self.given = nn.Parameter(torch.zeros(len(self.upper), width))
        self.mix = nn.Linear(width, width, bias=False)

    @property
    def macs(self) -> int:
        """Multiplications per position."""
        return self.upper.numel() + self.lower.numel() + self.mix.weight.numel()

    def nll(self, hidden: Tensor, places: Tensor) -> Tensor:
        """Nats of places [N] in the set after hidden states [N, width]."""
        upper, lower = places // self.base, places % self.base
        nats = F.cross_entropy(F.linear(hidden, self.upper).float(), upper, reduction="none")
        return nats + F.cross_entropy(self._lower(hidden, upper).float(), lower, reduction="none")

    def log_probabilities(self, hidden: Tensor) -> Tensor:
        """Of all places [size] after one hidden state [width]."""
        every = torch.arange(len(self.upper), device=hidden.device)
        upper = F.linear(hidden, self.upper).float().log_softmax(-1)
        lower = self._lower(hidden.expand(len(every), -1), every).float().log_softmax(-1)
        return (upper[:, None] + lower).flatten()[: self.size]

    def _lower(self, hidden: Tensor, upper: Tensor) -> Tensor:
        """Logits of the lower digit [N, base]; places beyond the set are impossible."""
        logits = F.linear(F.silu(self.mix(hidden) + self.given[upper]), self.lower)
        places = upper[:, None] * self.base + torch.arange(self.base, device=hidden.device)
        return logits.masked_fill(places >= self.size, -torch.inf)

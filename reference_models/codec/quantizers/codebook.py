"""The two codebooks that the vector quantizers are made of."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from reference_models.codec.config import Lookup
from reference_models.codec.quantizers.base import straight_through
from reference_models.codec.streaming import Conv1d


class Codebook(nn.Module, ABC):
    """Latents [B, D, F] to one code a frame [B, F] and back."""

    @abstractmethod
    def forward(self, x: Tensor, clean: Tensor, used: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Quantise x [B, D, F]; returns the quantised x, with x's gradient, the codes [B, F] and losses [B].

        `clean` has the values of x but is the encoder's output minus constants: through it every level's commitment
        loss reaches the encoder undiminished. Items that are not `used` [B] teach nothing.
        """

    @abstractmethod
    def decode(self, codes: Tensor) -> Tensor:
        """[B, F] to [B, D, F]."""


class CosineCodebook(Codebook):
    """DAC's: project to few dimensions, find the code in the nearest direction, project back.

    The lookup compares L2-normalised vectors (ViT-VQGAN); the losses compare the vectors themselves.
    """

    def __init__(self, config: Lookup, dim: int) -> None:
        super().__init__()
        self.project_in = Conv1d(dim, config.codebook_dim, 1, causal=True)
        self.project_out = Conv1d(config.codebook_dim, dim, 1, causal=True)
        self.codes = nn.Embedding(config.codebook_size, config.codebook_dim)

    def forward(self, x: Tensor, clean: Tensor, used: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        latent = self.project_in(x)  # [B, d, F]
        codes = self.nearest(latent.detach())
        quantised = self.codes(codes).mT  # [B, d, F]
        losses = {
            "commitment": distance(self.project_in(clean), quantised.detach()),
            "codebook": distance(quantised, latent.detach()),
        }
        return self.project_out(straight_through(latent, quantised)), codes, losses

    def nearest(self, latent: Tensor) -> Tensor:
        """[B, d, F] to the codes of largest cosine [B, F]."""
        directions = F.normalize(self.codes.weight.detach().float(), dim=1)  # [K, d]
        return (latent.float().mT @ directions.T).argmax(-1)  # the length of the latent changes no order

    def decode(self, codes: Tensor) -> Tensor:
        return self.project_out(self.codes(codes).mT)


class EMACodebook(Codebook):
    """EnCodec's and Mimi's: nearest code in Euclidean distance; a code is the running mean of what chose it.

    The first training batch starts the codes by k-means. After every step, codes whose running count is below
    `restart_below` × the average are put on random vectors of the batch, with the average count.
    """

    codes: Tensor
    counts: Tensor
    sums: Tensor
    started: Tensor

    def __init__(self, config: Lookup, dim: int) -> None:
        super().__init__()
        self.decay, self.restart_below = config.ema_decay, config.restart_below
        size = config.codebook_size
        self.register_buffer("codes", torch.randn(size, dim) / dim**0.5)
        self.register_buffer("counts", torch.ones(size))
        self.register_buffer("sums", self.codes.clone())
        self.register_buffer("started", torch.tensor(False))

    def forward(self, x: Tensor, clean: Tensor, used: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        seen = x.detach().mT[used].flatten(0, 1).float()  # [M, d], what may teach
        if self.training and len(seen):
            self.start(seen)
        codes = self.nearest(x.detach().mT.float())
        quantised = F.embedding(codes, self.codes).mT.to(x.dtype)
        if self.training and len(seen):
            self.learn(seen, codes[used].flatten())
        return straight_through(x, quantised), codes, {"commitment": distance(clean, quantised)}

    def nearest(self, x: Tensor) -> Tensor:
        """[..., d] to [...]: argmin |x - c|² = argmax x·c - |c|² / 2."""
        return (x @ self.codes.T - self.codes.square().sum(-1) / 2).argmax(-1)

    def decode(self, codes: Tensor) -> Tensor:
        return F.embedding(codes, self.codes).mT

    @torch.no_grad()
    def start(self, seen: Tensor) -> None:
        """k-means (10 rounds of Lloyd's) on the first batch."""
        if self.started:
            return
        self.codes.copy_(self._pick(seen, len(self.codes)))
        for _ in range(10):
            counts, sums = self._gather(seen, self.nearest(seen))
            self.codes.copy_(torch.where(counts[:, None] > 0, sums / counts.clamp(min=1)[:, None], self.codes))
        self.counts.copy_(counts)
        self.sums.copy_(self.codes * counts[:, None])
        self.started.fill_(True)

    @torch.no_grad()
    def learn(self, seen: Tensor, codes: Tensor) -> None:
        """One step of the running means, then restart what died."""
        counts, sums = self._gather(seen, codes)
        self.counts.lerp_(counts, 1 - self.decay)
        self.sums.lerp_(sums, 1 - self.decay)
        average = self.counts.mean()
        dead = self.counts < self.restart_below * average
        fresh = self._pick(seen, len(self.codes))
        self.counts.copy_(torch.where(dead, average, self.counts))
        self.sums.copy_(torch.where(dead[:, None], fresh * average, self.sums))
        self.codes.copy_(self.sums / self.counts.clamp(min=1e-8)[:, None])

    def _gather(self, seen: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
        """How many vectors chose each code [K], and their sum [K, d], over all processes."""
        counts = torch.bincount(codes, minlength=len(self.codes)).float()
        sums = torch.zeros_like(self.codes).index_add_(0, codes, seen)
        if dist.is_initialized():
            dist.all_reduce(counts)
            dist.all_reduce(sums)
        return counts, sums

    def _pick(self, seen: Tensor, count: int) -> Tensor:
        """`count` random vectors of the batch [count, d], the same on all processes."""
        picked = seen[torch.randint(len(seen), (count,), device=seen.device)]
        if dist.is_initialized():
            dist.broadcast(picked, 0)
        return picked


def distance(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared difference of each item, [B, d, F] to [B]."""
    return (a.float() - b.float()).square().mean((1, 2))


def build_codebook(config: Lookup, dim: int) -> Codebook:
    return CosineCodebook(config, dim) if config.lookup == "cosine" else EMACodebook(config, dim)


def around(config: Lookup, dim: int) -> tuple[int, nn.Module, nn.Module]:
    """The dimension codebooks work in, and the projections to it and back.

    Cosine codebooks bring their own; EMA codebooks share one pair (Mimi), or none where the dimensions agree.
    """
    inner = config.codebook_dim
    if config.lookup == "cosine" or inner == dim:
        return dim, nn.Identity(), nn.Identity()
    return inner, nn.Conv1d(dim, inner, 1, bias=False), nn.Conv1d(inner, dim, 1, bias=False)

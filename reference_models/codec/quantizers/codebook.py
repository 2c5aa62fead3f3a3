"""The two codebooks that the vector quantizers are made of."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speech_eval.reference_models.codec.config import Lookup
from speech_eval.reference_models.codec.quantizers.base import straight_through
from speech_eval.reference_models.codec.streaming import Conv1d
from speech_eval.reference_models.training.distributed import rows_of_all, total


class Codebook(nn.Module, ABC):
    """Latents [B, D, F] to one code per frame [B, F] and back.

    Keeps a running count of how often each code is chosen. After every training step, codes whose count is below
    `restart_below` × the average are put on random vectors of the batch, with the average count (Mimi). Processes count
    together: each takes part in every exchange, even if no item of its own uses the codebook.
    """

    counts: Tensor

    def __init__(self, config: Lookup) -> None:
        super().__init__()
        self.decay, self.restart_below = config.ema_decay, config.restart_below
        self.register_buffer("counts", torch.ones(config.codebook_size))

    @abstractmethod
    def forward(self, x: Tensor, clean: Tensor, used: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Quantize x [B, D, F]; returns the quantized x, with x's gradient, the codes [B, F] and losses [B].

        `clean` has the values of x but is the encoder's output minus constants: through it every level's commitment
        loss reaches the encoder undiminished. Items that are not `used` [B] teach nothing.
        """

    @abstractmethod
    def decode(self, codes: Tensor) -> Tensor:
        """[B, F] to [B, D, F]."""

    def count(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Count the codes [M] of a step; returns which codes died [K], and the weight of the step in running means. A
        step in which no process has codes weighs nothing, and no code dies in it."""
        found = total(torch.bincount(codes, minlength=len(self.counts)).float())
        weight = (1 - self.decay) * (found.sum() > 0)
        self.counts.lerp_(found, weight)
        average = self.counts.mean()
        dead = (self.counts < self.restart_below * average) & (weight > 0)
        self.counts.copy_(torch.where(dead, average, self.counts))
        return dead, weight


class CosineCodebook(Codebook):
    """DAC's: project to few dimensions, find the code in the nearest direction, project back.

    The lookup compares L2-normalized vectors (ViT-VQGAN); the losses compare the vectors themselves. DAC restarts no
    codes: `restart_below` 0.
    """

    def __init__(self, config: Lookup, dim: int) -> None:
        super().__init__(config)
        self.project_in = Conv1d(dim, config.codebook_dim, 1, causal=True)
        self.project_out = Conv1d(config.codebook_dim, dim, 1, causal=True)
        self.codes = nn.Embedding(config.codebook_size, config.codebook_dim)

    def forward(self, x: Tensor, clean: Tensor, used: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        latent = self.project_in(x)  # [B, d, F]
        codes = self.nearest(latent.detach())
        quantized = self.codes(codes).mT  # [B, d, F]
        losses = {
            "commitment": distance(self.project_in(clean), quantized.detach()),
            "codebook": distance(quantized, latent.detach()),
        }
        if self.training and self.restart_below > 0:
            self.restart(latent.detach().mT[used].flatten(0, 1), codes[used].flatten())
        return self.project_out(straight_through(latent, quantized)), codes, losses

    def nearest(self, latent: Tensor) -> Tensor:
        """[B, d, F] to the codes of largest cosine [B, F]."""
        directions = F.normalize(self.codes.weight.detach().float(), dim=1)  # [K, d]
        return (latent.float().mT @ directions.T).argmax(-1)  # the length of the latent changes no order

    def decode(self, codes: Tensor) -> Tensor:
        return self.project_out(self.codes(codes).mT)

    @torch.no_grad()
    def restart(self, seen: Tensor, codes: Tensor) -> None:
        """Put dead codes on vectors of the batch [M, d]."""
        dead, _ = self.count(codes)
        fresh = rows_of_all(seen, len(self.counts))
        # `.data`: the old values are still needed, unversioned, by this step's backward pass of the lookup.
        self.codes.weight.data = torch.where(dead[:, None], fresh, self.codes.weight.data)


class EMACodebook(Codebook):
    """EnCodec's and Mimi's: nearest code in Euclidean distance; a code is the running mean of the frames that chose it.

    The first training batch starts the codes by k-means.
    """

    codes: Tensor
    sums: Tensor
    started: Tensor

    def __init__(self, config: Lookup, dim: int) -> None:
        super().__init__(config)
        self.register_buffer("codes", torch.randn(config.codebook_size, dim) / dim**0.5)
        self.register_buffer("sums", self.codes.clone())
        self.register_buffer("started", torch.tensor(False))
        self._begun = False  # as `started`, known without asking a device

    def forward(self, x: Tensor, clean: Tensor, used: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        seen = x.detach().mT[used].flatten(0, 1).float()  # [M, d], what may teach
        if self.training:
            self.start(seen)
        codes = self.nearest(x.detach().mT.float())
        quantized = F.embedding(codes, self.codes).mT.to(x.dtype)
        if self.training:
            self.learn(seen, codes[used].flatten())
        return straight_through(x, quantized), codes, {"commitment": distance(clean, quantized)}

    def nearest(self, x: Tensor) -> Tensor:
        """[..., d] to [...]: argmin |x - c|² = argmax x·c - |c|² / 2."""
        return (x @ self.codes.T - self.codes.square().sum(-1) / 2).argmax(-1)

    def decode(self, codes: Tensor) -> Tensor:
        return F.embedding(codes, self.codes).mT

    @torch.no_grad()
    def start(self, seen: Tensor) -> None:
        """k-means on the first batch in which an item uses the codebook, 10 rounds of Lloyd's algorithm."""
        self._begun = self._begun or bool(self.started)
        if self._begun or not total(torch.tensor(len(seen), device=seen.device)):
            return
        self.codes.copy_(rows_of_all(seen, len(self.codes)))
        for _ in range(10):
            codes = self.nearest(seen)
            counts = total(torch.bincount(codes, minlength=len(self.codes)).float())[:, None]
            self.codes.copy_(torch.where(counts > 0, self._sum(seen, codes) / counts.clamp(min=1), self.codes))
        self.counts.copy_(counts[:, 0])
        self.sums.copy_(self.codes * counts)
        self.started.fill_(True)
        self._begun = True

    @torch.no_grad()
    def learn(self, seen: Tensor, codes: Tensor) -> None:
        """One step of the running means."""
        dead, weight = self.count(codes)
        self.sums.lerp_(self._sum(seen, codes), weight)
        fresh = rows_of_all(seen, len(self.codes)) * self.counts[:, None]
        self.sums.copy_(torch.where(dead[:, None], fresh, self.sums))
        self.codes.copy_(self.sums / self.counts.clamp(min=1e-8)[:, None])

    def _sum(self, seen: Tensor, codes: Tensor) -> Tensor:
        """The sum of the vectors that chose each code, [K, d]."""
        return total(torch.zeros_like(self.codes).index_add_(0, codes, seen))


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

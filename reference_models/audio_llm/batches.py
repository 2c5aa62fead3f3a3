"""Which utterances make up which batch: a function of the seed and its number, so that a resumed run is identical."""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_POOL = 32  # batches that are cut from one stretch of an epoch, sorted by length


class Batches:
    """Indices of batch 0, 1, … for one process: every utterance once per epoch, those of a batch of similar length."""

    def __init__(
        self, lengths: NDArray[np.int64], batch_size: int, seed: int, rank: int = 0, world: int = 1, one: bool = False
    ) -> None:
        self.lengths, self.size, self.seed, self.rank, self.world, self.one = (
            lengths,
            batch_size,
            seed,
            rank,
            world,
            one,
        )
        self.per_epoch = max(1, len(lengths) // (batch_size * world))

    def __getitem__(self, number: int) -> list[int]:
        """`one`: the same batch each time."""
        epoch, place = divmod(0 if self.one else number, self.per_epoch)
        rows = self._epoch(epoch)[place]
        return [int(index) for index in rows[self.rank :: self.world]]

    @lru_cache(maxsize=2)  # noqa: B019 - one object per stage
    def _epoch(self, epoch: int) -> list[NDArray[np.int64]]:
        draw = np.random.default_rng([self.seed, epoch])
        order = draw.permutation(len(self.lengths))
        size = self.size * self.world
        if len(order) < size:
            order = np.resize(order, size)
        order = order[: self.per_epoch * size]
        pools = [order[start : start + _POOL * size] for start in range(0, len(order), _POOL * size)]
        batches = [
            pool_sorted[start : start + size]
            for pool in pools
            for pool_sorted in [pool[np.argsort(self.lengths[pool], kind="stable")]]
            for start in range(0, len(pool), size)
        ]
        return [batches[index] for index in draw.permutation(len(batches))]


def kept_back(text: str, share: float) -> bool:
    """Whether a text is among the `share` that is kept back: by its digest, so that it is so in every run."""
    number = int.from_bytes(hashlib.sha256(text.lower().encode()).digest()[:4])
    return number < share * 2**32


def drawn(tasks: dict[str, float], seed: int, number: int) -> str:
    """The task of a step, by weight."""
    names = list(tasks)
    weights = np.array([tasks[name] for name in names])
    return str(np.random.default_rng([seed, 7, number]).choice(names, p=weights / weights.sum()))

"""Documents packed into full sequences. Batch k of a process is a pure function of the seed and k.

| text codes end | text codes end | text codes … end | pad |      a pack: whole documents, none sees another
  0 1 2 …          0 1 2 …          0 1 2 …            0 1 2      positions restart in each document
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from speech_eval.errors import BadInput, SpeechEvalError
from speech_eval.reference_models.speech_lm.layouts import Ints
from speech_eval.reference_models.speech_lm.tokenizer import IGNORE, Example, SpeechTokenizer

_WINDOW = 4096  # documents that are packed together


@dataclass(frozen=True)
class TokenBatch:
    """`ids` and `labels` [B, T] or [B, T, slots], `positions` [B, T]; `documents` names the documents of each row,
    `filled` counts the positions that are not padding."""

    ids: Tensor
    labels: Tensor
    positions: Tensor
    documents: list[list[str]]
    filled: int


@dataclass(frozen=True)
class Source:
    """A document made on demand: its name, its length in positions, how to make it, and how many ends of speech are
    among its labels: 0 for text alone, one for each turn of a conversation."""

    name: str
    length: int
    make: Callable[[], Example]
    ends: int = 1


class Packed:
    """Batches of packs of `length` positions from `sources`.

    Each epoch shuffles the documents and packs them best fit, longest first, in windows of a few thousand. Documents
    longer than a pack are left out and named in `too_long`. `text_share` of the documents of an epoch are drawn from
    `texts` (text replay). Raises `BadInput` if no document fits.
    """

    def __init__(
        self,
        tokenizer: SpeechTokenizer,
        sources: list[Source],
        length: int,
        *,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
        texts: list[Source] | None = None,
        text_share: float = 0.0,
    ) -> None:
        self.tokenizer, self.length, self.seed = tokenizer, length, seed
        self.batch_size, self.rank, self.world = batch_size, rank, world
        self.too_long = [source.name for source in sources if source.length > length]
        self.sources = [source for source in sources if source.length <= length]
        self.texts = [source for source in texts or [] if source.length <= length]
        self.text_share = text_share if self.texts else 0.0
        if not self.sources:
            raise BadInput(f"No document fits into {length} positions.", "Raise `training.sequence`.")
        self._ends: list[int] = []  # packs up to the end of each epoch

    def __getitem__(self, step: int) -> TokenBatch:
        first = (step * self.world + self.rank) * self.batch_size
        return self.collate([self._pack(index) for index in range(first, first + self.batch_size)])

    def from_step(self, start: int, stop: int) -> Iterator[TokenBatch]:
        """The batches of steps `start` to `stop`."""
        return (self[step] for step in range(start, stop))

    @property
    def epoch(self) -> int:
        """Steps of the first epoch."""
        return max(1, len(self.plan(0)) // (self.batch_size * self.world))

    def efficiency(self) -> float:
        """The share of positions of the first epoch that hold a document."""
        plan = self.plan(0)
        return sum(source.length for pack in plan for source in pack) / (len(plan) * self.length)

    def _pack(self, index: int) -> list[Source]:
        while not self._ends or self._ends[-1] <= index:
            self._ends.append((self._ends[-1] if self._ends else 0) + len(self.plan(len(self._ends))))
        epoch = bisect.bisect_right(self._ends, index)
        return self.plan(epoch)[index - (self._ends[epoch - 1] if epoch else 0)]

    @lru_cache(maxsize=2)  # noqa: B019 - one object per training run
    def plan(self, epoch: int) -> list[list[Source]]:
        """The packs of an epoch."""
        random = np.random.default_rng((self.seed, epoch))
        chosen = list(self.sources)
        if self.text_share:
            wanted = round(len(chosen) * self.text_share / (1 - self.text_share))
            chosen += [self.texts[i] for i in random.integers(len(self.texts), size=wanted)]
        order = random.permutation(len(chosen))
        packs: list[list[Source]] = []
        for start in range(0, len(order), _WINDOW):
            packs += pack([chosen[i] for i in order[start : start + _WINDOW]], self.length)
        return [packs[i] for i in random.permutation(len(packs))]

    def collate(self, packs: list[list[Source]]) -> TokenBatch:
        """A batch of these packs. Raises `SpeechEvalError` for an utterance whose end is not among the labels."""
        ids, labels, positions = self._padding(len(packs))
        for row, sources in enumerate(packs):
            at = 0
            for source in sources:
                own_ids, own_labels = source.make()
                span = slice(at, at + len(own_ids))
                ids[row, span], labels[row, span] = own_ids, own_labels
                positions[row, span] = np.arange(len(own_ids))
                at += len(own_ids)
            positions[row, at:] = np.arange(self.length - at)
        self._check_ends(labels, sum(source.ends for pack in packs for source in pack))
        names = [[source.name for source in pack] for pack in packs]
        filled = sum(source.length for pack in packs for source in pack)
        return TokenBatch(torch.from_numpy(ids), torch.from_numpy(labels), torch.from_numpy(positions), names, filled)

    def _padding(self, rows: int) -> tuple[Ints, Ints, Ints]:
        streams, pad = self.tokenizer.streams, self.tokenizer.pad
        shape = (rows, self.length) if streams == 1 else (rows, self.length, streams)
        labels = np.full(shape, IGNORE, dtype=np.int64)
        return np.full(shape, pad, dtype=np.int64), labels, np.zeros((rows, self.length), dtype=np.int64)

    def _check_ends(self, labels: Ints, utterances: int) -> None:
        learned = labels if self.tokenizer.streams == 1 else labels[..., 0]
        found = int((learned == self.tokenizer.end).sum())
        if found != utterances:
            raise SpeechEvalError(
                f"{utterances} utterances have {found} ends of speech among their labels.",
                "A model trained on this would not stop: check the layout.",
            )


def pack(sources: list[Source], length: int) -> list[list[Source]]:
    """Best fit, longest first: each document goes into the pack that it leaves the least room in."""
    packs: list[list[Source]] = []
    room: list[tuple[int, int]] = []  # (positions left, number of the pack), sorted
    for source in sorted(sources, key=lambda item: -item.length):
        place = bisect.bisect_left(room, (source.length, -1))
        if place == len(room):
            packs.append([source])
            bisect.insort(room, (length - source.length, len(packs) - 1))
        else:
            left, number = room.pop(place)
            packs[number].append(source)
            bisect.insort(room, (left - source.length, number))
    return packs


def documents_of(batch: TokenBatch) -> list[tuple[str, Ints, Ints]]:
    """Name, ids and labels of every document of a batch, separated where the positions restart."""
    found = []
    for row, names in enumerate(batch.documents):
        starts = (batch.positions[row] == 0).nonzero()[:, 0].tolist()
        for name, start, end in zip(names, starts, [*starts[1:], batch.positions.shape[1]], strict=False):
            found.append((name, batch.ids[row, start:end].numpy(), batch.labels[row, start:end].numpy()))
    return found

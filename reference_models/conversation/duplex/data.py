"""Batches of dialogues: the rows of each, cut to one length, as a training step reads them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from speech_eval.reference_models.conversation.duplex.config import DuplexTrainingConfig
from speech_eval.reference_models.conversation.duplex.layout import monologue, rows_of
from speech_eval.reference_models.conversation.duplex.model import DuplexLM
from speech_eval.reference_models.conversation.duplex.pieces import Pieces
from speech_eval.reference_models.conversation.duplex.shards import Dialogue, Dialogues
from speech_eval.reference_models.speech_lm.layouts import Ints
from speech_eval.reference_models.speech_lm.tokenizer import EMPTY


@dataclass(frozen=True)
class RowBatch:
    """Rows [B, T, slots], `EMPTY` after the end of a dialogue, the row before the first of each [B, slots], and the ids
    of the dialogues."""

    rows: Tensor
    before: Tensor
    ids: list[str]

    @property
    def frames(self) -> int:
        return int((self.rows != EMPTY).any(-1).sum())


class DuplexBatches:
    """The dialogues of a split as rows of `model`, in an order drawn anew for each epoch."""

    def __init__(self, dialogues: Dialogues, pieces: Pieces, model: DuplexLM, training: DuplexTrainingConfig) -> None:
        self.dialogues, self.pieces, self.training = dialogues, pieces, training
        self.delays, self.pad, self.epad = model.delays, model.pad, model.epad
        self.start = model.start.numpy()
        self.monologue = model.config.monologue
        self.rate = model.config.codec.frame_rates[0]

    def of_step(self, step: int, rank: int = 0, world: int = 1) -> RowBatch:
        """The batch of a process: `batch_size` of the epochs' dialogues in a row, masked, shifted and cut by draws of
        the step's own."""
        training, count = self.training, len(self.dialogues)
        draw = np.random.default_rng((training.seed, step, rank))
        first = (step * world + rank) * training.batch_size
        rows = []
        for place in range(first, first + training.batch_size):
            order = np.random.default_rng((training.seed, place // count)).permutation(count)
            rows.append(self._drawn(*self._known(int(order[place % count])), draw))
        return collated(rows)

    def whole(self, count: int) -> Iterator[RowBatch]:
        """The first `count` dialogues one by one, each cut after `sequence` frames."""
        for index in range(min(count, len(self.dialogues))):
            dialogue = self.dialogues[index]
            rows = self.rows(dialogue)[: self.training.sequence]
            yield collated([(dialogue.id, self.start, rows)])

    def rows(self, dialogue: Dialogue) -> Ints:
        """The rows [T, slots] of a dialogue."""
        agent, user = dialogue.codes
        spoken = [(round(word.start * self.rate), self.pieces.ids(word.text)) for word in dialogue.words]
        spoken = [(onset, ids) for onset, ids in spoken if ids] if self.monologue else []
        text = monologue(spoken, agent.shape[1], self.pad, self.epad)
        return rows_of(text, agent, user, self.delays)

    @lru_cache(maxsize=16384)  # noqa: B019 - one object a training run; some 14 kB each
    def _known(self, index: int) -> tuple[str, Ints]:
        dialogue = self.dialogues[index]
        return dialogue.id, self.rows(dialogue)

    def _drawn(self, name: str, whole: Ints, draw: np.random.Generator) -> tuple[str, Ints, Ints]:
        training, rows = self.training, whole.copy()
        jitter = math.floor(training.delay_jitter * self.rate)
        if jitter:
            rows[:, 0] = shifted(rows[:, 0], int(draw.integers(-jitter, jitter + 1)), self.pad)
        rows[draw.random(len(rows)) < training.user_mask, 1 + self.delays.books :] = EMPTY
        if draw.random() < training.text_mask:
            rows[:, 0] = EMPTY
        start = int(draw.integers(0, max(len(rows) - training.sequence, 0) + 1))
        before = rows[start - 1] if start else self.start
        return name, before, rows[start : start + training.sequence]


def shifted(text: Ints, late: int, pad: int) -> Ints:
    """A row of text [T] moved by `late` frames, `pad` where nothing arrives."""
    moved = np.full_like(text, pad)
    moved[max(late, 0) : len(text) + min(late, 0)] = text[max(-late, 0) : len(text) - max(late, 0)]
    return moved


def collated(parts: list[tuple[str, Ints, Ints]]) -> RowBatch:
    """Rows of several dialogues as one batch, filled up with `EMPTY`."""
    longest = max(len(rows) for _, _, rows in parts)
    filled = [np.pad(rows, ((0, longest - len(rows)), (0, 0)), constant_values=EMPTY) for _, _, rows in parts]
    before = np.stack([one for _, one, _ in parts])
    return RowBatch(torch.from_numpy(np.stack(filled)), torch.from_numpy(before), [name for name, _, _ in parts])

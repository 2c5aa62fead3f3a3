"""Delay pattern (MusicGen, Parler-TTS, Dia): one transformer writes all codebooks, each a position after another.

    row t-1: Σ embed_k(slot k) ──► backbone ──► h[t-1] ──► head_k ──► slot k of row t, the code of frame t - k

The codes of a row are drawn independently of each other; by its delay, a code still follows the coarser ones of its
frame.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speech_eval.reference_models.speech_lm.core import LlamaCore
from speech_eval.reference_models.speech_lm.frames import RowNetwork
from speech_eval.reference_models.speech_lm.tokenizer import EMPTY, IGNORE, DelayTokenizer
from speech_eval.reference_models.tts.config import TTSConfig


class DelayLM(RowNetwork):
    """A position is a row of `tokenizer.streams` slots: the codebooks, which are written, then text, which is read."""

    def __init__(self, config: TTSConfig) -> None:
        assert isinstance(config.core, LlamaCore)
        tokenizer = DelayTokenizer(config, config.core.positions)
        super().__init__(config.core, tokenizer.slots, tokenizer.slots[0])
        self.heads = nn.ModuleList(nn.Linear(config.core.width, size, bias=False) for size in tokenizer.sizes[1:])
        self.tokenizer = tokenizer
        self.config = config.model_copy(update={"vocabulary": tokenizer.vocabulary.digest})

    def finish(self, hidden: Tensor, first: Tensor, before: Tensor, choose: Callable[[Tensor], Tensor]) -> Tensor:
        """Rows [B, streams] from h[t-1] [B, width], slot 0 [B] and row t-1 [B, streams]: slot k has a code if slot k-1
        of the row before has one. `choose` draws codes [B] from logits [B, size] of a codebook."""
        slots = [first]
        for k, head in enumerate(self.heads, 1):
            coarser = before[:, k - 1]
            there = (coarser != EMPTY) & (coarser < self.tokenizer.sizes[k - 1])
            slots.append(choose(head(hidden)).masked_fill(~there, EMPTY))
        return torch.stack([*slots, torch.full_like(first, EMPTY)], dim=1)

    def forward(self, ids: Tensor, labels: Tensor, positions: Tensor | None = None) -> dict[str, Tensor]:
        """Summed nats of `first`, the first codebook, and of `others`."""
        hidden = self.hidden(ids, positions=positions)
        nats = [
            F.cross_entropy(head(hidden[kept]).float(), slot[kept], reduction="sum")
            for head, slot in zip((self.first_head, *self.heads), labels.unbind(-1), strict=False)
            for kept in (slot != IGNORE,)
        ]
        return {"first": nats[0], "others": torch.stack(nats[1:]).sum()}

    def counts(self, labels: Tensor) -> dict[str, int]:
        """Number of labels of each kind."""
        books = labels[..., : self.tokenizer.books] != IGNORE
        return {"first": int(books[..., 0].sum()), "others": int(books[..., 1:].sum())}

    def loss(self, nats: Mapping[str, Tensor], counts: Mapping[str, float]) -> Tensor:
        """Mean over all labels of a batch whose sums and counts are given."""
        return (nats["first"] + nats["others"]) / max(counts["first"] + counts["others"], 1)

    def flops(self, positions: int, counts: Mapping[str, float]) -> float:
        """Operations as `SpeechLM.flops` counts them."""
        layers = sum(p.numel() for p in self.backbone.layers.parameters())
        others = sum(p.numel() for p in self.heads.parameters()) / len(self.heads)
        heads = self.first_head.weight.numel() * counts["first"] + others * counts["others"]
        return 6.0 * (layers * positions + heads)

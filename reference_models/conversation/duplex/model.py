"""The duplex model: a transformer over frames of both channels, and a depth decoder that speaks (Moshi).

    row t: text, agent's codes, user's codes ──► backbone ──► h[t] ──► text of row t+1
    [h[t], text of row t+1, code 0, …] ──► depth decoder ──► the agent's codes of row t+1

The user's codes are only read. Row t+1 follows from rows up to t, whose user codes are those of the frame just heard.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import DynamicCache

from speech_eval.reference_models.conversation.duplex.config import DuplexConfig
from speech_eval.reference_models.conversation.duplex.layout import Delays
from speech_eval.reference_models.speech_lm.frames import FrameNetwork
from speech_eval.reference_models.speech_lm.tokenizer import EMPTY


class DuplexLM(FrameNetwork):
    """`config.codec` must be filled in. Ids of the text: the pieces, then `pad` and `epad`."""

    def __init__(self, config: DuplexConfig) -> None:
        sizes, text = list(config.codec.codebook_sizes), config.pieces + 2
        super().__init__(config.core, config.depth, [text, *sizes, *sizes], [text, *sizes])
        self.config, self.books = config, len(sizes)
        self.pad, self.epad = config.pieces, config.pieces + 1
        self.delays = Delays(self.books, config.acoustic_delay, config.text_delay)
        self.window = config.core.positions

    @property
    def start(self) -> Tensor:
        """The row [slots] before the first of a conversation: padding, and no codes."""
        return torch.tensor([self.pad] + [EMPTY] * (2 * self.books))

    def forward(self, rows: Tensor, before: Tensor) -> dict[str, Tensor]:
        """Summed nats of the rows [B, T, slots] by kind: `text` (words and EPAD), `pad`, `semantic`, `acoustic`; those
        of the codes are scaled up from the drawn frames to all. `before` [B, slots] is the row before the first."""
        hidden = self.states(torch.cat([before[:, None], rows[:, :-1]], dim=1))
        written = rows[..., : self.written]
        words = written[..., 0] != EMPTY
        target = written[..., 0][words]
        text = F.cross_entropy(self.head(hidden[words]).float(), target, reduction="none")
        there = (written[..., 1:] != EMPTY).any(-1).nonzero(as_tuple=True)
        drawn = self.drawn(len(there[0]), rows.device)
        nats = self.depth_nats(hidden[there][drawn], written[there][drawn]).sum(0) * (
            len(there[0]) / max(len(drawn), 1)
        )
        padding = target == self.pad
        return {
            "text": (text * ~padding).sum(),
            "pad": (text * padding).sum(),
            "semantic": nats[0],
            "acoustic": nats[1:].sum(),
        }

    def counts(self, rows: Tensor) -> dict[str, int]:
        """Number of ids of each kind in rows [B, T, slots]."""
        text, codes = rows[..., 0], rows[..., 1 : self.written] != EMPTY
        padding = int((text == self.pad).sum())
        return {
            "text": int((text != EMPTY).sum()) - padding,
            "pad": padding,
            "semantic": int(codes[..., 0].sum()),
            "acoustic": int(codes[..., 1:].sum()),
        }

    def loss(self, nats: Mapping[str, Tensor], counts: Mapping[str, float], semantic: float, pad: float) -> Tensor:
        """Mean nats of the text, padding weighted by `pad`, and of the codes, the first codebook weighted by
        `semantic`."""
        text = (nats["text"] + pad * nats["pad"]) / max(counts["text"] + pad * counts["pad"], 1.0)
        codes = semantic * nats["semantic"] / max(counts["semantic"], 1)
        others = self.books - 1
        if others:
            codes = codes + others * nats["acoustic"] / max(counts["acoustic"], 1)
        return text + codes / (semantic + others)

    def states(self, rows: Tensor) -> Tensor:
        """Hidden states [B, T, width], each of the `window` rows up to its own."""
        length = rows.shape[1]
        if length <= self.window:
            return self.hidden(rows)
        index = torch.arange(length, device=rows.device)
        ago = index[:, None] - index
        return self.hidden(rows, attention_mask=((ago >= 0) & (ago < self.window))[None, None])

    # ------------------------------------------------------------------------------------------ step by step

    def advance(self, row: Tensor, cache: DynamicCache, position: int) -> Tensor:
        """The hidden state [B, width] after row number `position` [B, slots]; equal to that of `states`."""
        layers: Any = cache.layers
        for layer in layers:  # what has left the window
            if layer.is_initialized and (over := layer.keys.shape[-2] - self.window + 1) > 0:
                layer.keys, layer.values = layer.keys[..., over:, :], layer.values[..., over:, :]
        at = torch.full((len(row), 1), position, device=row.device)
        return self.hidden(row[:, None], cache=cache, positions=at)[:, -1]

    def speak(
        self, hidden: Tensor, choose_text: Callable[[Tensor], Tensor], choose: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """The text and the agent's codes [B, 1 + K] of the next row. The functions draw ids [B] from logits [B, n]."""
        return self.write(hidden, choose_text(self.head(hidden)), choose)

"""CSM: a backbone that reads one frame per position, and a depth decoder that writes the other codes of the frame.

    frame t-1: Σ embed_k(c_k) ──► backbone ──► h[t-1] ──► head_0 ──► c_0[t]
                                                 │
    [h[t-1], c_0[t], c_1[t], …] ──► depth decoder ──► c_1[t], c_2[t], …

Frame t depends on the backbone's state at t-1, in training as in generation. Codebook 0 is learned on every frame, the
others on a random share of them: the mean over uniformly drawn frames is an unbiased estimate of the mean over all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from speech_eval.reference_models.speech_lm.core import LlamaCore
from speech_eval.reference_models.speech_lm.frames import FrameNetwork
from speech_eval.reference_models.speech_lm.tokenizer import EMPTY, IGNORE, FrameTokenizer
from speech_eval.reference_models.tts.config import TTSConfig


class FrameLM(FrameNetwork):
    """A position is a row of `tokenizer.streams` slots: the codebooks, which are written, then text, which is read."""

    def __init__(self, config: TTSConfig) -> None:
        assert config.depth is not None and isinstance(config.core, LlamaCore)
        tokenizer = FrameTokenizer(config, config.core.positions)
        written = [tokenizer.sizes[0] + 1, *tokenizer.sizes[1:]]
        super().__init__(config.core, config.depth, tokenizer.slots, written)
        self.tokenizer, self._weight = tokenizer, config.depth.weight
        self.config = config.model_copy(update={"vocabulary": tokenizer.vocabulary.digest})

    def finish(self, hidden: Tensor, first: Tensor, before: Tensor, choose: Callable[[Tensor], Tensor]) -> Tensor:
        """Rows [B, streams] of the next frame, from h[t-1] [B, width] and its first codes [B]. `choose` draws codes [B]
        from logits [B, size] of a codebook. The row of an end is completed like any other, and never read."""
        codes = self.write(hidden, first.clamp(max=self.tokenizer.end - 1), choose)
        return torch.cat([first[:, None], codes[:, 1:], torch.full_like(first, EMPTY)[:, None]], dim=1)

    def forward(self, ids: Tensor, labels: Tensor, positions: Tensor | None = None) -> dict[str, Tensor]:
        """Summed nats of `first`, over all frames, and of `depth`, over a random share of the frames and scaled up to
        all of them."""
        hidden = self.hidden(ids, positions=positions)
        kept = labels[..., 0] != IGNORE
        first = F.cross_entropy(self.head(hidden[kept]).float(), labels[..., 0][kept], reduction="sum")
        whole = (labels[..., 1] != IGNORE).nonzero(as_tuple=True)
        drawn = self.drawn(len(whole[0]), ids.device)
        frames = labels[whole][drawn][:, : self.written]
        nats = self.depth_nats(hidden[whole][drawn], frames)
        return {"first": first, "depth": nats.sum() * (len(whole[0]) / max(len(drawn), 1))}

    def counts(self, labels: Tensor) -> dict[str, int]:
        """Number of labels of each kind."""
        return {
            "first": int((labels[..., 0] != IGNORE).sum()),
            "depth": int((labels[..., 1 : self.written] != IGNORE).sum()),
        }

    def loss(self, nats: Mapping[str, Tensor], counts: Mapping[str, float]) -> Tensor:
        """(1 - w) × mean nats of the first codebook + w × mean nats of the others."""
        w = self._weight
        return (1 - w) * nats["first"] / max(counts["first"], 1) + w * nats["depth"] / max(counts["depth"], 1)

    def flops(self, positions: int, counts: Mapping[str, float]) -> float:
        """Operations as `SpeechLM.flops` counts them, the depth decoder's on its share of frames."""
        layers = sum(p.numel() for p in self.backbone.layers.parameters())
        depth = sum(p.numel() for p in self.decoder.layers.parameters()) * self.written
        depth += sum(p.numel() for p in self.heads.parameters())
        frames = counts["depth"] / (self.written - 1) * self.depth.share
        return 6.0 * (layers * positions + self.first_head.weight.numel() * counts["first"] + depth * frames)

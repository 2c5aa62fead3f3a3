"""CSM: a backbone that reads one frame per position, and a depth decoder that writes the other codes of the frame.

    frame t-1: Σ embed_k(c_k) ──► backbone ──► h[t-1] ──► head_0 ──► c_0[t]
                                                 │
    [h[t-1], c_0[t], c_1[t], …] ──► depth decoder ──► c_1[t], c_2[t], …

Frame t depends on the backbone's state at t-1, in training as in generation. Codebook 0 is learned on every frame, the
others on a random share of them: the mean over uniformly drawn frames is an unbiased estimate of the mean over all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import Cache, DynamicCache, LlamaModel

from speech_eval.reference_models.speech_lm.tokenizer import EMPTY, IGNORE, FrameTokenizer
from speech_eval.reference_models.tts.config import DepthSection, LlamaCore, TTSConfig
from speech_eval.reference_models.tts.model import llama_config


class FrameLM(nn.Module):
    """A position is a row of `tokenizer.streams` slots: the codebooks, then text."""

    def __init__(self, config: TTSConfig) -> None:
        super().__init__()
        assert config.depth is not None and isinstance(config.core, LlamaCore)
        core, self.depth = config.core, config.depth
        self.tokenizer = FrameTokenizer(config, core.positions)
        self.config = config.model_copy(update={"vocabulary": self.tokenizer.vocabulary.digest})
        self.books, sizes, std = self.tokenizer.books, self.tokenizer.sizes, core.width**-0.5
        self.embeddings = nn.ParameterList(torch.randn(ids, core.width) * std for ids in self.tokenizer.slots)
        self.backbone = LlamaModel(llama_config(core, 1, tied=True))
        self.first_head = nn.Linear(core.width, sizes[0] + 1, bias=False)
        self.to_depth = nn.Linear(core.width, self.depth.width, bias=False)
        self.decoder = LlamaModel(llama_config(_depth_core(self.depth, self.books), 1, tied=True))
        self.heads = nn.ModuleList(nn.Linear(self.depth.width, size, bias=False) for size in sizes[1:])
        for core_model in (self.backbone, self.decoder):  # embeddings are ours; theirs are never read
            core_model.embed_tokens.requires_grad_(False)

    def embed(self, ids: Tensor) -> Tensor:
        """Rows [B, T, streams] to the sum [B, T, width] of their filled slots' embeddings."""
        filled = ids != EMPTY
        parts = [
            F.embedding(ids[..., k].clamp(min=0), table) * filled[..., k, None]
            for k, table in enumerate(self.embeddings)
        ]
        return torch.stack(parts).sum(0)

    def hidden(
        self,
        ids: Tensor,
        *,
        cache: Cache | None = None,
        attention_mask: Tensor | None = None,
        positions: Tensor | None = None,
    ) -> Tensor:
        """Hidden states [B, T, width] of rows [B, T, streams]; documents as in `SpeechLM.hidden`."""
        return self.backbone(
            inputs_embeds=self.embed(ids),
            attention_mask=attention_mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=cache is not None,
        ).last_hidden_state

    def head(self, hidden: Tensor) -> Tensor:
        """Logits […, size of codebook 0 + 1] of the next frame's first code."""
        return self.first_head(hidden)

    def finish(self, hidden: Tensor, first: Tensor, choose: Callable[[Tensor], Tensor]) -> Tensor:
        """Rows [B, streams] of the next frame, from h[t-1] [B, width] and its first codes [B] (none of them the end).
        `choose` draws codes [B] from logits [B, size] of a codebook."""
        cache, chosen = DynamicCache(), [first]
        state = self.decoder(inputs_embeds=self.to_depth(hidden)[:, None], past_key_values=cache, use_cache=True)
        for book in range(1, self.books):
            entered = self.to_depth(F.embedding(chosen[-1], self.embeddings[book - 1]))
            state = self.decoder(inputs_embeds=entered[:, None], past_key_values=cache, use_cache=True)
            chosen.append(choose(self.heads[book - 1](state.last_hidden_state[:, -1])))
        return torch.stack((*chosen, torch.full_like(first, EMPTY)), dim=1)

    def forward(self, ids: Tensor, labels: Tensor, positions: Tensor | None = None) -> dict[str, Tensor]:
        """Summed nats of `first`, over all frames, and of `depth`, over a random share of the frames and scaled up to
        all of them."""
        hidden = self.hidden(ids, positions=positions)
        kept = labels[..., 0] != IGNORE
        first = F.cross_entropy(self.head(hidden[kept]).float(), labels[..., 0][kept], reduction="sum")
        whole = (labels[..., 1] != IGNORE).nonzero(as_tuple=True)
        drawn = self._draw(len(whole[0]), ids.device)
        frames = labels[whole][drawn][:, : self.books]
        nats = self.depth_nats(hidden[whole][drawn], frames)
        return {"first": first, "depth": nats.sum() * (len(whole[0]) / max(len(drawn), 1))}

    def depth_nats(self, hidden: Tensor, frames: Tensor) -> Tensor:
        """Nats [N, K - 1] of the codes after the first, of frames [N, K] given h[t-1] [N, width]."""
        codes = [F.embedding(frames[:, k], self.embeddings[k]) for k in range(self.books - 1)]
        entered = self.to_depth(torch.stack([hidden, *codes], dim=1))
        states = self.decoder(inputs_embeds=entered, use_cache=False).last_hidden_state
        pairs = zip(self.heads, range(1, self.books), strict=True)
        return torch.stack(
            [F.cross_entropy(head(states[:, k]).float(), frames[:, k], reduction="none") for head, k in pairs], dim=1
        )

    def counts(self, labels: Tensor) -> dict[str, int]:
        """Number of labels of each kind."""
        return {
            "first": int((labels[..., 0] != IGNORE).sum()),
            "depth": int((labels[..., 1 : self.books] != IGNORE).sum()),
        }

    def loss(self, nats: Mapping[str, Tensor], counts: Mapping[str, float]) -> Tensor:
        """(1 - w) × mean nats of the first codebook + w × mean nats of the others."""
        w = self.depth.weight
        return (1 - w) * nats["first"] / max(counts["first"], 1) + w * nats["depth"] / max(counts["depth"], 1)

    def flops(self, positions: int, counts: Mapping[str, float]) -> float:
        """Operations as `SpeechLM.flops` counts them, the depth decoder's on its share of frames."""
        layers = sum(p.numel() for p in self.backbone.layers.parameters())
        depth = sum(p.numel() for p in self.decoder.layers.parameters()) * self.books
        depth += sum(p.numel() for p in self.heads.parameters())
        frames = counts["depth"] / (self.books - 1) * self.depth.share
        return 6.0 * (layers * positions + self.first_head.weight.numel() * counts["first"] + depth * frames)

    def _draw(self, frames: int, device: torch.device) -> Tensor:
        if self.depth.share == 1.0 or not self.training:
            return torch.arange(frames, device=device)
        return torch.randperm(frames, device=device)[: math.ceil(frames * self.depth.share)]


def _depth_core(depth: DepthSection, books: int) -> LlamaCore:
    return LlamaCore(positions=books, **depth.model_dump(exclude={"share", "weight"}))

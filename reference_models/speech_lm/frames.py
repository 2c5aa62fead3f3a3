"""A transformer that reads one row of several slots per position (`RowNetwork`), and a depth decoder that writes the
next row (`FrameNetwork`).

    row t-1: Σ embed_k(slot k) ──► backbone ──► h[t-1] ──► first_head ──► slot 0 of row t
                                                  │
    [h[t-1], slot 0, slot 1, …] ──► depth decoder ──► slot 1, slot 2, … of row t

The first `written` slots are written, the others only read (text in CSM, the user's codes in a duplex model).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import Cache, DynamicCache, LlamaConfig, LlamaModel

from speech_eval.reference_models.speech_lm.core import DepthCore, LlamaCore
from speech_eval.reference_models.speech_lm.tokenizer import EMPTY


class RowNetwork(nn.Module):
    """`slots` are the ids of each slot, `first` those of the next slot 0."""

    def __init__(self, core: LlamaCore, slots: Sequence[int], first: int) -> None:
        super().__init__()
        std = core.width**-0.5
        self.embeddings = nn.ParameterList(torch.randn(ids, core.width) * std for ids in slots)
        self.backbone = LlamaModel(llama_config(core, 1, tied=True))
        self.backbone.embed_tokens.requires_grad_(False)  # embeddings are ours; its own are never read
        self.first_head = nn.Linear(core.width, first, bias=False)

    def embed(self, ids: Tensor) -> Tensor:
        """Rows [B, T, slots] to the sum [B, T, width] of their filled slots' embeddings."""
        return torch.stack([self.embed_slot(slot, ids[..., slot]) for slot in range(len(self.embeddings))]).sum(0)

    def embed_slot(self, slot: int, ids: Tensor) -> Tensor:
        """The embeddings […, width] of one slot's ids […]; zeros for an empty slot."""
        return F.embedding(ids.clamp(min=0), self.embeddings[slot]) * (ids != EMPTY)[..., None]

    def hidden(
        self,
        ids: Tensor,
        *,
        cache: Cache | None = None,
        attention_mask: Tensor | None = None,
        positions: Tensor | None = None,
    ) -> Tensor:
        """Hidden states [B, T, width] of rows [B, T, slots]. Without a mask, `positions` that restart at 0 begin a
        document, which sees nothing of those before it."""
        return self.backbone(
            inputs_embeds=self.embed(ids),
            attention_mask=attention_mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=cache is not None,
        ).last_hidden_state

    def head(self, hidden: Tensor) -> Tensor:
        """Logits […, ids of slot 0] of the next row."""
        return self.first_head(hidden)


class FrameNetwork(RowNetwork):
    """`written` are the ids that each written slot may take, the first of the `slots` in order."""

    def __init__(self, core: LlamaCore, depth: DepthCore, slots: Sequence[int], written: Sequence[int]) -> None:
        super().__init__(core, slots, written[0])
        self.depth, self.written = depth, len(written)
        self.to_depth = nn.Linear(core.width, depth.width, bias=False)
        self.decoder = LlamaModel(llama_config(_depth_core(depth, len(written)), 1, tied=True))
        self.heads = nn.ModuleList(nn.Linear(depth.width, ids, bias=False) for ids in written[1:])
        self.decoder.embed_tokens.requires_grad_(False)

    def write(self, hidden: Tensor, first: Tensor, choose: Callable[[Tensor], Tensor]) -> Tensor:
        """The written slots [B, written] of the next row, from h[t-1] [B, width] and its first slot [B]. `choose` draws
        ids [B] from logits [B, ids] of a slot."""
        cache, chosen = DynamicCache(), [first]
        state = self.decoder(inputs_embeds=self.to_depth(hidden)[:, None], past_key_values=cache, use_cache=True)
        for slot in range(1, self.written):
            entered = self.to_depth(self.embed_slot(slot - 1, chosen[-1]))
            state = self.decoder(inputs_embeds=entered[:, None], past_key_values=cache, use_cache=True)
            chosen.append(choose(self.heads[slot - 1](state.last_hidden_state[:, -1])))
        return torch.stack(chosen, dim=1)

    def depth_nats(self, hidden: Tensor, rows: Tensor) -> Tensor:
        """Nats [N, written - 1] of the slots after the first, of rows [N, written] given h[t-1] [N, width]; 0 for an
        empty slot."""
        before = [self.embed_slot(k, rows[:, k]) for k in range(self.written - 1)]
        entered = self.to_depth(torch.stack([hidden, *before], dim=1))
        states = self.decoder(inputs_embeds=entered, use_cache=False).last_hidden_state
        pairs = zip(self.heads, range(1, self.written), strict=True)
        nats = [
            F.cross_entropy(head(states[:, k]).float(), rows[:, k], ignore_index=EMPTY, reduction="none")
            for head, k in pairs
        ]
        return torch.stack(nats, dim=1)

    def drawn(self, rows: int, device: torch.device) -> Tensor:
        """Which of the rows the depth decoder is trained on in this step; all of them outside training."""
        if self.depth.share == 1.0 or not self.training:
            return torch.arange(rows, device=device)
        return torch.randperm(rows, device=device)[: math.ceil(rows * self.depth.share)]


def _depth_core(depth: DepthCore, slots: int) -> LlamaCore:
    return LlamaCore(positions=slots, **depth.model_dump(exclude={"share", "weight"}))


def llama_config(core: LlamaCore, vocabulary: int, tied: bool) -> LlamaConfig:
    """The transformers configuration of a Llama of this shape."""
    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=core.width,
        intermediate_size=core.feed_forward,
        num_hidden_layers=core.layers,
        num_attention_heads=core.heads,
        num_key_value_heads=core.kv_heads or core.heads,
        max_position_embeddings=core.positions,
        rope_parameters={"rope_type": "default", "rope_theta": core.rope_theta},
        tie_word_embeddings=tied,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
    )

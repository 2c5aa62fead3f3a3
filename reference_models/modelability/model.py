"""The token LM: one causal transformer over one or several parallel streams of tokens.

                                         head_0 … head_S-1                 next token of every stream
                                                │
    x_0[t], …, x_S-1[t] ── Σ embed_s ──► Llama core ──► h[t]

One stream reads text and the codes of all codebooks interleaved; S streams read the delay layout, one codebook each,
with the text in stream 0. Nothing else differs, so that the two layouts can be compared.

It is another model than `tts.model.SpeechLM`: each target is predicted among the ids of its set alone, and embeddings
are scaled for a tied head. The protocol of codec-modelability fixes both.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import DynamicCache, LlamaConfig, LlamaModel

from speech_eval.reference_models.speech_lm.tokenizer import IGNORE


@dataclass(frozen=True)
class CodeLMConfig:
    """`vocabularies[s]` ids in stream s; the rest is the Llama core's shape.

    `choices[s]` are sets of ids as ranges (first, last + 1): the layout fixes the set of each position, so each target
    is predicted among the ids of its set alone. An id is in one set at most.
    """

    vocabularies: tuple[int, ...]
    choices: tuple[tuple[tuple[tuple[int, int], ...], ...], ...]
    width: int = 192
    layers: int = 4
    heads: int = 4
    feed_forward: int = 512
    positions: int = 4096


class CodeLM(nn.Module):
    """Llama core with an embedding and a tied head for each stream."""

    def __init__(self, config: CodeLMConfig) -> None:
        super().__init__()
        self.config = config
        self.core = LlamaModel(
            LlamaConfig(
                vocab_size=1,  # embeddings are ours
                bos_token_id=None,
                eos_token_id=None,
                hidden_size=config.width,
                intermediate_size=config.feed_forward,
                num_hidden_layers=config.layers,
                num_attention_heads=config.heads,
                num_key_value_heads=config.heads,
                max_position_embeddings=config.positions,
            )
        )
        # Unit logits from a tied head.
        std = config.width**-0.5
        self.embeddings = nn.ParameterList(torch.randn(size, config.width) * std for size in config.vocabularies)

    def hidden(self, tokens: Tensor, cache: DynamicCache | None = None) -> Tensor:
        """[B, S, T] token ids to hidden states [B, T, width]."""
        embedded = torch.stack([F.embedding(tokens[:, s], table) for s, table in enumerate(self.embeddings)]).sum(0)
        return self.core(inputs_embeds=embedded, past_key_values=cache, use_cache=cache is not None).last_hidden_state

    def logits(self, hidden: Tensor, stream: int) -> Tensor:
        """[…, width] to […, vocabularies[stream]]."""
        return F.linear(hidden, self.embeddings[stream])

    def nll(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """Nats of each target [B, S, T], 0 for `IGNORE`; `targets[..., t]` follows `tokens[..., t]`."""
        hidden = self.hidden(tokens)
        losses = []
        for s, sets in enumerate(self.config.choices):
            nats = hidden.new_zeros(targets[:, s].shape, dtype=torch.float32)  # [B, T]
            for ranges in sets:
                ids = torch.cat([torch.arange(first, last) for first, last in ranges]).to(tokens.device)
                place = torch.full((self.config.vocabularies[s],), IGNORE, device=tokens.device)
                place[ids] = torch.arange(len(ids), device=tokens.device)
                asked = place[targets[:, s].clamp(min=0)].masked_fill(targets[:, s] == IGNORE, IGNORE)
                kept = asked != IGNORE  # a head is computed only where it is asked
                logits = F.linear(hidden[kept], self.embeddings[s][ids]).float()
                nats[kept] = F.cross_entropy(logits, asked[kept], reduction="none")
            losses.append(nats)
        return torch.stack(losses, dim=1)

    def flops_per_step(self) -> float:
        """Forward and backward floating-point operations of one position, 6 per weight, without attention's own."""
        core = sum(p.numel() for p in self.core.layers.parameters())
        rows = [max(sum(last - first for first, last in ranges) for ranges in sets) for sets in self.config.choices]
        return 6.0 * (core + sum(rows) * self.config.width)

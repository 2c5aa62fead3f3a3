"""The token LM: one causal transformer over one or several parallel streams of tokens.

                                         head_0 … head_S-1                 next token of every stream
                                                │
    x_0[t], …, x_S-1[t] ── Σ embed_s ──► Llama core ──► h[t]

One stream reads text and the codes of all codebooks interleaved; S streams read the delay layout, one codebook each,
with the text in stream 0. Nothing else differs, so that the two layouts can be compared. heads.py has the heads of
large codebooks.

It is another model than `tts.model.SpeechLM`: each target is predicted among the ids of its set alone, and embeddings
are scaled for a tied head. The protocol of codec-modelability fixes both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import DynamicCache, LlamaConfig, LlamaModel

from speech_eval.reference_models.modelability.heads import DIRECT, TwoSteps
from speech_eval.reference_models.speech_lm.tokenizer import IGNORE
from speech_eval.reference_models.training.recompute import recompute_layers


@dataclass(frozen=True)
class CodeLMConfig:
    """`vocabularies[s]` ids in stream s; the rest is the Llama core's shape.

    `choices[s]` are sets of ids as ranges (first, last + 1): the layout fixes the set of each position, so each target
    is predicted among the ids of its set alone. An id is in one set at most, and ranges ascend.
    """

    vocabularies: tuple[int, ...]
    choices: tuple[tuple[tuple[tuple[int, int], ...], ...], ...]
    width: int = 192
    layers: int = 4
    heads: int = 4
    feed_forward: int = 512
    positions: int = 4096


class CodeLM(nn.Module):
    """Llama core with an embedding for each stream, and a head for each set of ids: the embedding's rows up to `DIRECT`
    ids, two steps for more."""

    def __init__(self, config: CodeLMConfig, checkpointing: bool = False) -> None:
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
        if checkpointing:
            recompute_layers(self.core)
        # Unit logits from a tied head.
        std = config.width**-0.5
        self.embeddings = nn.ParameterList(torch.randn(size, config.width) * std for size in config.vocabularies)
        self.heads = nn.ModuleDict(
            {
                f"{s}-{number}": TwoSteps(_count(ranges), config.width)
                for s, sets in enumerate(config.choices)
                for number, ranges in enumerate(sets)
                if _count(ranges) > DIRECT
            }
        )

    def hidden(self, tokens: Tensor, cache: DynamicCache | None = None) -> Tensor:
        """[B, S, T] token ids to hidden states [B, T, width]."""
        embedded = torch.stack([F.embedding(tokens[:, s], table) for s, table in enumerate(self.embeddings)]).sum(0)
        return self.core(inputs_embeds=embedded, past_key_values=cache, use_cache=cache is not None).last_hidden_state

    def log_probabilities(self, hidden: Tensor, stream: int, ids: Tensor) -> Tensor:
        """Of `ids`, all of one set of a stream, after one hidden state [width]; its other ids keep their share."""
        for head, own in self._sets(stream, ids.device):
            if torch.isin(ids, own).all():
                if head is None:
                    every = self._direct(hidden, stream, own).log_softmax(-1)
                else:
                    every = head.log_probabilities(hidden)
                return every[torch.searchsorted(own, ids)]
        raise ValueError("the ids are not of one set")

    def nll(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """Nats of each target [B, S, T], 0 for `IGNORE`; `targets[..., t]` follows `tokens[..., t]`."""
        hidden = self.hidden(tokens)
        losses = []
        for s, size in enumerate(self.config.vocabularies):
            nats = hidden.new_zeros(targets[:, s].shape, dtype=torch.float32)  # [B, T]
            for head, own in self._sets(s, tokens.device):
                place = torch.full((size,), IGNORE, device=tokens.device)
                place[own] = torch.arange(len(own), device=tokens.device)
                asked = place[targets[:, s].clamp(min=0)].masked_fill(targets[:, s] == IGNORE, IGNORE)
                kept = asked != IGNORE  # a head is computed only where it is asked
                if head is None:
                    nats[kept] = F.cross_entropy(self._direct(hidden[kept], s, own), asked[kept], reduction="none")
                else:
                    nats[kept] = head.nll(hidden[kept], asked[kept])
            losses.append(nats)
        return torch.stack(losses, dim=1)

    def flops_per_step(self) -> float:
        """Forward and backward floating-point operations of one position, 6 per weight, without attention's own and
        without what is computed twice."""
        macs = sum(p.numel() for p in self.core.layers.parameters())
        for s in range(len(self.config.vocabularies)):
            sets = self._sets(s, torch.device("cpu"))
            macs += max(len(own) * self.config.width if head is None else head.macs for head, own in sets)
        return 6.0 * macs

    def _direct(self, hidden: Tensor, stream: int, ids: Tensor) -> Tensor:
        return F.linear(hidden, self.embeddings[stream][ids]).float()

    def _sets(self, stream: int, device: torch.device) -> list[tuple[TwoSteps | None, Tensor]]:
        """The sets of a stream: the head of a large one, and the ids, in ascending order."""
        sets = enumerate(self.config.choices[stream])
        return [(self._head(stream, number), _ids(ranges).to(device)) for number, ranges in sets]

    def _head(self, stream: int, number: int) -> TwoSteps | None:
        name = f"{stream}-{number}"
        return cast(TwoSteps, self.heads[name]) if name in self.heads else None


def _ids(ranges: tuple[tuple[int, int], ...]) -> Tensor:
    return torch.cat([torch.arange(first, last) for first, last in ranges])


def _count(ranges: tuple[tuple[int, int], ...]) -> int:
    return sum(last - first for first, last in ranges)

"""The Talker: a causal transformer over codes that is told text on the way.

    position    0 … lead - 1         lead   +1   …   lead + every …
    reads       <start>              c0     c1       c[every]
    told        text 0 … lead - 1    text lead       text lead + 1 …        then the end of the text, then nothing
    writes      at lead - 1: c0      c1     c2       …                      the end

The timetable is the same in training and in a stream, so a Talker can begin as soon as the Thinker has written `lead`
tokens, and waits for the Thinker only where its next token is due.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import LlamaForCausalLM

from speech_eval.reference_models.conversation.talker.config import TalkerConfig
from speech_eval.reference_models.conversation.talker.thinker import Script
from speech_eval.reference_models.speech_lm.frames import llama_config
from speech_eval.reference_models.speech_lm.layouts import Ints
from speech_eval.reference_models.speech_lm.tokenizer import IGNORE, StreamTokenizer
from speech_eval.reference_models.training.checkpoint import load_checkpoint, restored

KIND = "talker"
NOTHING, END = -1, -2  # at a position where no text is told, and where the text is known to have ended


class TalkerTokenizer(StreamTokenizer):
    """Codes as ids; the place of a prompt is taken by `lead` positions that text is told at."""

    def __init__(self, config: TalkerConfig) -> None:
        super().__init__(config.sequence, config.core.positions)
        self.lead, self.every = config.lead, config.every

    def text_rows(self, said: str, speaker: str = "") -> Ints:
        return np.full(self.lead, self.start, dtype=np.int64)

    def token_at(self, position: int) -> int:
        """The number of the token of text that is due at a position of a document; `NOTHING` if none is."""
        late = position - self.lead
        if late < 0:
            return position
        return NOTHING if late % self.every else self.lead + late // self.every

    def timetable(self, positions: int, tokens: int) -> Ints:
        """What is told at each of the positions of a document whose text has so many tokens [positions]: the number of
        a token, `END` once, or `NOTHING`."""
        due = np.array([self.token_at(position) for position in range(positions)], dtype=np.int64)
        return np.where(due == tokens, END, np.where(due > tokens, NOTHING, due))


class Talker(nn.Module):
    """Codes and the Thinker's states to logits of the next code."""

    def __init__(self, config: TalkerConfig) -> None:
        super().__init__()
        self.config, self.tokenizer = config, TalkerTokenizer(config)
        core, thinker = config.core, config.thinker.width
        self.core = LlamaForCausalLM(llama_config(core, len(self.tokenizer.vocabulary), core.tied))
        self.norms = nn.ModuleList(nn.LayerNorm(thinker) for _ in range(2))
        enter = [nn.Linear(thinker, core.width, bias=False) for _ in range(2)]
        for layer in enter:  # as large as the embedding of a code
            nn.init.normal_(layer.weight, std=self.core.config.initializer_range * thinker**-0.5)
        self.enter = nn.ModuleList(enter)
        self.ended = nn.Parameter(torch.zeros(core.width))

    @classmethod
    def load(cls, directory: Path) -> tuple[Talker, dict[str, Any]]:
        """The model of a checkpoint directory and its card, on the CPU. Raises `BadInput` for one that does not fit."""
        plain, state, card = load_checkpoint(directory, KIND)
        model = restored(directory, lambda: cls(TalkerConfig.model_validate(plain)), state)
        return model.eval(), card

    def embed(self, ids: Tensor, told: Tensor, due: Tensor) -> Tensor:
        """ids [B, T], told [N, 2, thinker] of which `due` [B, T] gives the row for each position (or `NOTHING`, `END`),
        to [B, T, width]."""
        hidden, embedding = (enter(norm(told[:, k].float())) for k, (norm, enter) in enumerate(self._pairs()))
        rows = torch.cat((hidden + embedding, torch.zeros_like(self.ended)[None], self.ended[None]))
        place = torch.where(due >= 0, due, len(told) - 1 - due)
        return self.core.get_input_embeddings()(ids) + rows[place]

    def hidden(self, embedded: Tensor, **options: Any) -> Tensor:
        """Hidden states [B, T, width]; `options` are those of the transformer."""
        return self.core.base_model(inputs_embeds=embedded, **options).last_hidden_state

    def head(self, hidden: Tensor) -> Tensor:
        """Logits […, vocabulary]."""
        return self.core.lm_head(hidden)

    def forward(self, ids: Tensor, labels: Tensor, positions: Tensor, told: Tensor, due: Tensor) -> Tensor:
        """Mean nats of the labels [B, T] that are not `IGNORE`; documents begin where `positions` are 0."""
        hidden = self.hidden(self.embed(ids, told, due), position_ids=positions, use_cache=False)
        kept = labels != IGNORE
        return F.cross_entropy(self.head(hidden[kept]).float(), labels[kept])

    def _pairs(self) -> Iterator[tuple[nn.Module, nn.Module]]:
        return zip(self.norms, self.enter, strict=True)


class Speaking:
    """A Talker that speaks one script, as `speech_lm.sampling` drives it (a `SpeakingModel` for one utterance at a
    time): it asks the Thinker for the text that is due, and for no more."""

    def __init__(self, model: Talker, script: Script) -> None:
        self.model, self.script, self.tokenizer = model, script, model.tokenizer

    def hidden(self, ids: Tensor, *, cache: Any, attention_mask: Tensor, positions: Tensor) -> Tensor:
        told, due = self._due(positions[0].tolist())
        embedded = self.model.embed(ids, told.to(ids.device), due.to(ids.device)[None])
        return self.model.hidden(
            embedded, attention_mask=attention_mask, position_ids=positions, past_key_values=cache, use_cache=True
        )

    def head(self, hidden: Tensor) -> Tensor:
        return self.model.head(hidden)

    def parameters(self) -> Iterator[Any]:
        return self.model.parameters()

    def _due(self, positions: Sequence[int]) -> tuple[Tensor, Tensor]:
        """What is told at these positions: rows [N, 2, thinker], and the row of each position."""
        rows: list[Tensor] = []
        due = []
        for number in map(self.tokenizer.token_at, positions):
            thoughts = self.script.reach(number + 1) if number != NOTHING else []
            if 0 <= number < len(thoughts):
                rows.append(thoughts[number].told)
                due.append(len(rows) - 1)
            else:
                due.append(END if number == len(thoughts) and number != NOTHING else NOTHING)
        width = self.model.config.thinker.width
        return torch.stack(rows) if rows else torch.zeros(0, 2, width), torch.tensor(due)

"""The single-stream speech LM: a causal transformer that reads text and continues in codes.

    <text-start> t e x t <text-end> <speech-start> c c c … c <speech-end>
                                                   └── the loss ───────┘

The codes of all codebooks form one stream (speech_lm/layouts.py); the transformer is a Llama trained from scratch, or a
text LLM whose embedding and head are extended by the speech tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import Cache, LlamaForCausalLM

from speech_eval.reference_models.speech_lm.core import LlamaCore
from speech_eval.reference_models.speech_lm.frames import llama_config
from speech_eval.reference_models.speech_lm.tokenizer import IGNORE, StreamTokenizer
from speech_eval.reference_models.tts.config import TTSConfig
from speech_eval.reference_models.tts.published import PublishedTokenizer


class SpeechLM(nn.Module):
    """`SpeechLM(config)` for a core of type llama; `lm` and its `tokenizer` come with a text LLM (see building.py)."""

    def __init__(
        self,
        config: TTSConfig,
        lm: nn.Module | None = None,
        tokenizer: StreamTokenizer | PublishedTokenizer | None = None,
    ) -> None:
        super().__init__()
        self.tokenizer = tokenizer or StreamTokenizer(config, config.core.positions)
        self.config = config.model_copy(update={"vocabulary": self.tokenizer.vocabulary.digest})
        if lm is None:
            assert isinstance(config.core, LlamaCore)
            lm = LlamaForCausalLM(llama_config(config.core, len(self.tokenizer.vocabulary), config.core.tied))
        self.core: Any = lm
        self._stride = (config.core.text_stride or 0.0) if isinstance(config.core, LlamaCore) else 0.0

    def hidden(
        self,
        ids: Tensor,
        *,
        cache: Cache | None = None,
        attention_mask: Tensor | None = None,
        positions: Tensor | None = None,
    ) -> Tensor:
        """Hidden states [B, T, width] of ids [B, T]. Without a mask, `positions` that restart at 0 begin a document,
        which sees nothing of those before it."""
        if self._stride:  # transformers finds documents by positions that grow by one, which these do not
            positions = torch.arange(ids.shape[1], device=ids.device).expand_as(ids) if positions is None else positions
            attention_mask = separate_documents(positions) if attention_mask is None else attention_mask
            positions = self.along_speech(ids, positions)
        return self.core.base_model(
            input_ids=ids,
            attention_mask=attention_mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=cache is not None,
        ).last_hidden_state

    def head(self, hidden: Tensor) -> Tensor:
        """Logits […, vocabulary] of hidden states […, width]."""
        return self.core.get_output_embeddings()(hidden)

    def forward(self, ids: Tensor, labels: Tensor, positions: Tensor | None = None) -> dict[str, Tensor]:
        """Summed nats of the labels [B, T] that are not `IGNORE`, by kind: `speech` and `text`."""
        hidden = self.hidden(ids, positions=positions)
        kept = labels != IGNORE
        target = labels[kept]
        nats = F.cross_entropy(self.head(hidden[kept]).float(), target, reduction="none")  # no logits for what is read
        speech = self._is_speech(target)
        return {"speech": (nats * speech).sum(), "text": (nats * ~speech).sum()}

    def along_speech(self, ids: Tensor, positions: Tensor) -> Tensor:
        """Rotary positions [B, T]: speech keeps its `positions`, text is laid along the speech that follows it,
        `text_stride` positions per id."""
        if not self._stride:
            return positions
        assert isinstance(self.tokenizer, StreamTokenizer)
        start = self.tokenizer.start
        index = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
        ahead = torch.where(ids == start, index, ids.shape[1] - 1).flip(1).cummin(1).values.flip(1)
        along = positions.gather(1, ahead) + self._stride * positions
        return torch.where(self._is_speech(ids) | (ids == start), positions.float(), along)

    def counts(self, labels: Tensor) -> dict[str, int]:
        """Number of labels of each kind."""
        target = labels[labels != IGNORE]
        speech = int(self._is_speech(target).sum())
        return {"speech": speech, "text": len(target) - speech}

    def loss(self, nats: Mapping[str, Tensor], counts: Mapping[str, float]) -> Tensor:
        """Mean over all labels of a batch whose sums and counts are given."""
        return (nats["speech"] + nats["text"]) / max(counts["speech"] + counts["text"], 1)

    def flops(self, positions: int, counts: Mapping[str, float]) -> float:
        """Forward and backward operations: 6 per weight of the layers and position, and per weight of the head and
        label; those of attention itself are not counted."""
        layers = sum(p.numel() for p in self.core.base_model.layers.parameters())
        head = self.core.get_output_embeddings().weight.numel()
        return 6.0 * (layers * positions + head * (counts["speech"] + counts["text"]))

    def _is_speech(self, target: Tensor) -> Tensor:
        return (target >= self.tokenizer.first_code) | (target == self.tokenizer.end)


def separate_documents(positions: Tensor) -> Tensor:
    """The causal mask [B, 1, T, T] of documents that begin where `positions` [B, T] are 0."""
    document = (positions == 0).cumsum(1)
    return (document[:, None, :, None] == document[:, None, None, :]).tril()


def extend(lm: Any, rows: int) -> None:
    """Grow embedding and head of a text LLM by `rows`, each new row the mean of the old ones, so that new tokens start
    as likely as any other."""
    old = lm.get_input_embeddings().num_embeddings
    lm.resize_token_embeddings(old + rows, mean_resizing=False)
    with torch.no_grad():
        for layer in (lm.get_input_embeddings(), lm.get_output_embeddings()):
            layer.weight[old:] = layer.weight[:old].mean(0)
            if getattr(layer, "bias", None) is not None:
                layer.bias[old:] = layer.bias[:old].mean()

"""The single-stream speech LM: a causal transformer that reads text and goes on in codes.

    <text-start> t e x t <text-end> <speech-start> c c c … c <speech-end>
                                                   └── the loss ───────┘

The codes of all codebooks stand in one stream (layouts.py); the transformer is a Llama from scratch, or a text LLM
whose embedding and head have grown by the speech tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import Cache, LlamaConfig, LlamaForCausalLM

from speech_eval.errors import BadInput
from speech_eval.reference_models.speech_lm.layouts import Ints, deinterleave, interleave, whole_steps
from speech_eval.reference_models.tts import frontend
from speech_eval.reference_models.tts.config import TEXT, LlamaCore, TTSConfig

IGNORE = -100


class SpeechLM(nn.Module):
    """`SpeechLM(config)` for a core of type llama; `lm` and `tokenizer` come with a text LLM (see building.py).

    `vocabulary` is the table of ids, `streams` the ids a position (1 here), `core` the …ForCausalLM, `end` the id that
    ends the speech.
    """

    streams = 1

    def __init__(self, config: TTSConfig, lm: nn.Module | None = None, tokenizer: Any = None) -> None:
        super().__init__()
        base = None if lm is None else int(lm.get_input_embeddings().num_embeddings)  # type: ignore[operator]
        self.vocabulary = config.table(base)
        self.config = config.model_copy(update={"vocabulary": self.vocabulary.digest})
        self.tokenizer = tokenizer
        if lm is None:
            assert isinstance(config.core, LlamaCore)
            lm = LlamaForCausalLM(llama_config(config.core, len(self.vocabulary), config.core.tied))
        self.core: Any = lm
        block = config.block
        own = config.offsets == "position"
        self._blocks = [self.vocabulary.block(f"codes-{i if own else book}") for i, (book, _) in enumerate(block)]
        self.end = self.vocabulary.id("speech-end")
        self._start = self.vocabulary.id("speech-start")
        self._stride = (config.core.text_stride or 0.0) if isinstance(config.core, LlamaCore) else 0.0

    @property
    def context(self) -> int:
        """The longest sequence the model reads."""
        return self.config.core.positions

    @property
    def tokens_per_step(self) -> int:
        """Positions of a coarse step."""
        return len(self._blocks)

    @property
    def width(self) -> int:
        return int(self.core.get_input_embeddings().embedding_dim)

    # ----------------------------------------------------------------------------------------- sequences

    def prompt_ids(
        self, text: str, prompt_text: str | None = None, prompt_codes: Sequence[Ints] | None = None
    ) -> Tensor:
        """Ids [T] to go on from: the text; for a voice to be cloned, the prompt's words before and its codes after it.

        Raises `BadInput` for an empty text, a prompt without its words (or the reverse), and a text that does not fit.
        """
        check_prompt(text, prompt_text, prompt_codes)
        (said,) = self.spoken([text if prompt_text is None else f"{prompt_text} {text}"])
        ids = self._template(said)
        if prompt_codes is not None:
            ids += self.speech_ids(prompt_codes).tolist()
        return torch.tensor(check_fits(ids, self.context, text))

    def spoken(self, texts: list[str]) -> list[str]:
        """Texts as they enter the model, still as characters."""
        return frontend.spoken(texts, self.config.frontend, self.config.language)

    def allowed(self, step: int) -> Tensor:
        """Ids that may stand at position `step` of the speech: the codes of that place in the block, and where a block
        is complete, the end."""
        place = step % len(self._blocks)
        start, size = self._blocks[place]
        codes = torch.arange(start, start + size)
        return torch.cat((codes, torch.tensor([self.end]))) if place == 0 and step > 0 else codes

    def codes(self, ids: Tensor | Ints) -> list[Ints]:
        """Codebooks [frames_k] of speech ids [T] (without the prompt); what follows the end, and an unfinished block,
        are left out. Raises `BadInput` for ids that stand where they may not."""
        stream = np.asarray(ids, dtype=np.int64)
        ends = np.flatnonzero(stream == self.end)
        length = int(ends[0]) if len(ends) else len(stream)
        table = stream[: length - length % len(self._blocks)].reshape(-1, len(self._blocks))
        raw = table - np.array([start for start, _ in self._blocks])
        if raw.size and not ((raw >= 0) & (raw < np.array([size for _, size in self._blocks]))).all():
            raise BadInput("Some ids are no codes of their place in the block.", "Sample within `allowed`.")
        return deinterleave(raw.reshape(-1), self.config.ratios)

    def speech_ids(self, codes: Sequence[Ints]) -> Ints:
        """Ids [T] of codebooks [frames_k]: whole steps, without the end. Raises `BadInput` for codes outside a book."""
        check_codes(codes, self.config)
        books = whole_steps(codes, self.config.ratios)
        columns = interleave(books, self.config.ratios).reshape(-1, len(self._blocks))
        return (columns + np.array([start for start, _ in self._blocks])).reshape(-1)

    def example(self, said: str, codes: Sequence[Ints]) -> tuple[Ints, Ints]:
        """Ids and labels [T] of one utterance whose text is as `spoken` gave it. `labels[t]` is what follows `ids[t]`:
        the codes and the end, `IGNORE` while the text is read."""
        prompt = self._template(said)
        whole = np.array([*prompt, *self.speech_ids(codes), self.end])
        labels = whole[1:].copy()
        labels[: len(prompt) - 1] = IGNORE
        return whole[:-1], labels

    def text_example(self, text: str) -> tuple[Ints, Ints]:
        """Ids and labels [T] of text alone, to be predicted from its first token on (text replay)."""
        whole = np.array([self.vocabulary.id("text-start"), *self._text(text), self.vocabulary.id("text-end")])
        return whole[:-1], whole[1:]

    def _template(self, said: str) -> list[int]:
        ids: list[int] = []
        for piece in self.config.template:
            if piece.startswith("<") and piece.endswith(">"):
                ids.append(self.vocabulary.id(piece[1:-1]))
            else:
                ids += self._text(piece.replace(TEXT, said))
        return ids

    def _text(self, said: str) -> list[int]:
        if self.tokenizer is not None:
            return list(self.tokenizer.encode(said, add_special_tokens=False))
        start, _ = self.vocabulary.block("text")
        return [start + number for number in frontend.ids(said, self.config.frontend)]

    # -------------------------------------------------------------------------------------------- forward

    def hidden(
        self,
        ids: Tensor,
        *,
        cache: Cache | None = None,
        attention_mask: Tensor | None = None,
        positions: Tensor | None = None,
    ) -> Tensor:
        """Hidden states [B, T, width] of ids [B, T]. Without a mask, `positions` that start anew begin a document,
        which sees nothing of those before it."""
        if self._stride:  # transformers tells documents by positions that grow by one, which these do not
            positions = torch.arange(ids.shape[1], device=ids.device).expand_as(ids) if positions is None else positions
            attention_mask = documents_apart(positions) if attention_mask is None else attention_mask
            positions = self.beside(ids, positions)
        return self.core.base_model(
            input_ids=ids,
            attention_mask=attention_mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=cache is not None,
        ).last_hidden_state

    def beside(self, ids: Tensor, places: Tensor) -> Tensor:
        """Rotary positions [B, T] of ids at `places`: speech stays where it is, and text is laid along the speech that
        follows it, `text_stride` positions an id. Without a `text_stride` they are the places."""
        if not self._stride:
            return places
        index = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
        ahead = torch.where(ids == self._start, index, ids.shape[1] - 1).flip(1).cummin(1).values.flip(1)
        beside = places.gather(1, ahead) + self._stride * places
        return torch.where(self._is_speech(ids) | (ids == self._start), places.float(), beside)

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

    def counts(self, labels: Tensor) -> dict[str, int]:
        """How many labels of each kind there are."""
        target = labels[labels != IGNORE]
        speech = int(self._is_speech(target).sum())
        return {"speech": speech, "text": len(target) - speech}

    def loss(self, nats: Mapping[str, Tensor], counts: Mapping[str, float]) -> Tensor:
        """Mean over all labels of a batch whose sums and counts are given."""
        return (nats["speech"] + nats["text"]) / max(counts["speech"] + counts["text"], 1)

    def flops(self, positions: int, counts: Mapping[str, float]) -> float:
        """Forward and backward operations: 6 a weight of the layers and position, and of the head and label; those of
        attention itself are not in."""
        layers = sum(p.numel() for p in self.core.base_model.layers.parameters())
        head = self.core.get_output_embeddings().weight.numel()
        return 6.0 * (layers * positions + head * (counts["speech"] + counts["text"]))

    def _is_speech(self, target: Tensor) -> Tensor:
        return (target >= self.vocabulary.block("codes-0")[0]) | (target == self.end)


def documents_apart(positions: Tensor) -> Tensor:
    """The causal mask [B, 1, T, T] of documents that begin where `positions` [B, T] are 0."""
    document = (positions == 0).cumsum(1)
    return (document[:, None, :, None] == document[:, None, None, :]).tril()


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


def extend(lm: Any, rows: int) -> None:
    """Grow embedding and head of a text LLM by `rows`, each new row the mean of the old ones: new tokens start as
    likely as any other."""
    old = lm.get_input_embeddings().num_embeddings
    lm.resize_token_embeddings(old + rows, mean_resizing=False)
    with torch.no_grad():
        for layer in (lm.get_input_embeddings(), lm.get_output_embeddings()):
            layer.weight[old:] = layer.weight[:old].mean(0)
            if getattr(layer, "bias", None) is not None:
                layer.bias[old:] = layer.bias[:old].mean()


def check_prompt(text: str, prompt_text: str | None, prompt_codes: Sequence[Ints] | None) -> None:
    """Raise `BadInput` for what cannot be spoken."""
    if not text.strip():
        raise BadInput("There is no text to speak.", "Give at least a word.")
    if (prompt_text is None) != (prompt_codes is None):
        missing = "transcript" if prompt_text is None else "recording"
        raise BadInput(f"A prompt without its {missing}.", "Give a prompt's recording and what is said in it.")


def check_fits(ids: list[int], positions: int, text: str) -> list[int]:
    """`ids` if they leave room for speech. Raises `BadInput` naming the text."""
    if len(ids) >= positions:
        raise BadInput(
            f"'{text[:40]}…' and its prompt take {len(ids)} of {positions} positions: no room to speak.",
            "Split the text into sentences, or shorten the prompt.",
        )
    return ids


def check_codes(codes: Sequence[Ints], config: TTSConfig) -> None:
    """Raise `BadInput` unless these are codes of the configured codec's books."""
    sizes = config.codec.codebook_sizes
    ranges = [(int(np.min(book)), int(np.max(book))) if len(book) else (0, 0) for book in codes]
    if len(codes) != len(sizes) or any(not 0 <= low <= high < n for (low, high), n in zip(ranges, sizes, strict=True)):
        raise BadInput(
            f"Codes of {len(codes)} books, with values {ranges}, are none of a codec with books of {list(sizes)}.",
            f"Encode with the codec that the model was trained on: {config.codec.spec}.",
        )

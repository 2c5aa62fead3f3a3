"""CSM: a backbone that reads a frame a step, and a depth decoder that writes the rest of the frame.

    frame t-1: Σ embed_k(c_k) ──► backbone ──► h[t-1] ──► head_0 ──► c_0[t]
                                                 │
    [h[t-1], c_0[t], c_1[t], …] ──► depth decoder ──► c_1[t], c_2[t], …

Frame t hangs on the backbone's state at t-1, in training as in generation. Codebook 0 is learned on every frame, the
others on a random share of them: the mean over a uniform draw of frames is an unbiased estimate of the mean over all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import Cache, DynamicCache, LlamaModel

from speech_eval.errors import BadInput
from speech_eval.reference_models.speech_lm.layouts import Ints
from speech_eval.reference_models.tts import frontend
from speech_eval.reference_models.tts.config import TEXT, LlamaCore, TTSConfig
from speech_eval.reference_models.tts.model import IGNORE, check_codes, check_fits, check_prompt, llama_config

EMPTY = -1  # a slot of a frame that holds nothing


class FrameLM(nn.Module):
    """A position is a row of `streams` = K + 1 slots: K codebooks, then text; a slot that holds nothing is `EMPTY`.

    Slot 0 has one id more than its codebook, the end. Text slots hold ids of `vocabulary`, code slots plain codes.
    """

    def __init__(self, config: TTSConfig) -> None:
        super().__init__()
        assert config.depth is not None and isinstance(config.core, LlamaCore)
        self.vocabulary = config.table()
        self.config = config.model_copy(update={"vocabulary": self.vocabulary.digest})
        self.ratios = config.ratios
        self.sizes = list(config.codec.codebook_sizes)
        self.books = len(self.sizes)
        if self.books < 2:
            raise BadInput("The layout csm needs two codebooks or more.", "Use the layout flat.")
        self.streams = self.books + 1
        core, depth = config.core, config.depth
        self.end = self.sizes[0]
        first_code = self.vocabulary.block("codes-0")[0]
        rows = [self.sizes[0] + 1, *self.sizes[1:], first_code]  # a table of embeddings a slot
        std = core.width**-0.5
        self.embeddings = nn.ParameterList(torch.randn(size, core.width) * std for size in rows)
        self.backbone = LlamaModel(llama_config(core, 1, tied=True))
        self.first_head = nn.Linear(core.width, self.sizes[0] + 1, bias=False)
        shape = LlamaCore(
            width=depth.width,
            layers=depth.layers,
            heads=depth.heads,
            kv_heads=depth.kv_heads,
            feed_forward=depth.feed_forward,
            positions=self.books,
        )
        self.to_depth = nn.Linear(core.width, depth.width, bias=False)
        self.decoder = LlamaModel(llama_config(shape, 1, tied=True))
        heads = [nn.Linear(depth.width, size, bias=False) for size in self.sizes[1:]]
        self.heads = nn.ModuleList(heads)

    @property
    def context(self) -> int:
        """The longest sequence the model reads."""
        return self.config.core.positions

    @property
    def tokens_per_step(self) -> int:
        """Positions of a coarse step."""
        return 1

    # ----------------------------------------------------------------------------------------- sequences

    def prompt_ids(
        self, text: str, prompt_text: str | None = None, prompt_codes: Sequence[Ints] | None = None
    ) -> Tensor:
        """Rows [T, K + 1] to go on from: the text a symbol a row, then the prompt's frames. Raises `BadInput` as
        `SpeechLM.prompt_ids` does."""
        check_prompt(text, prompt_text, prompt_codes)
        (said,) = self.spoken([text if prompt_text is None else f"{prompt_text} {text}"])
        rows = self._prompt(said)
        if prompt_codes is not None:
            rows = np.concatenate((rows, self._frames(prompt_codes)))
        check_fits(list(range(len(rows))), self.context, text)
        return torch.from_numpy(rows)

    def spoken(self, texts: list[str]) -> list[str]:
        """Texts as they enter the model, still as characters."""
        return frontend.spoken(texts, self.config.frontend, self.config.language)

    def allowed(self, step: int) -> Tensor:
        """Codes of codebook 0 that may stand at frame `step` of the speech; the end from the second frame on."""
        return torch.arange(self.sizes[0] + (step > 0))

    def codes(self, ids: Tensor | Ints) -> list[Ints]:
        """Codebooks [frames] of speech rows [T, K + 1] (without the prompt); what follows the end is left out."""
        rows = np.asarray(ids, dtype=np.int64).reshape(-1, self.streams)
        ends = np.flatnonzero(rows[:, 0] == self.end)
        kept = rows[: int(ends[0]) if len(ends) else len(rows), : self.books]
        books = [kept[:, k].copy() for k in range(self.books)]
        check_codes(books, self.config)
        return books

    def example(self, said: str, codes: Sequence[Ints]) -> tuple[Ints, Ints]:
        """Rows and labels [T, K + 1] of one utterance: every code of the next frame, and the end in slot 0."""
        prompt, frames = self._prompt(said), self._frames(codes)
        rows = np.concatenate((prompt, frames))
        labels = np.full_like(rows, IGNORE)
        labels[len(prompt) - 1 : -1, : self.books] = frames[:, : self.books]
        labels[-1, 0] = self.end
        return rows, labels

    def text_example(self, text: str) -> tuple[Ints, Ints]:
        """CSM has no head for text."""
        raise BadInput("The layout csm learns no text.", "Set text_replay to 0.")

    def _prompt(self, said: str) -> Ints:
        start, _ = self.vocabulary.block("text")
        ids: list[int] = []
        for piece in self.config.template:
            if piece.startswith("<") and piece.endswith(">"):
                ids.append(self.vocabulary.id(piece[1:-1]))
            else:
                ids += [start + n for n in frontend.ids(piece.replace(TEXT, said), self.config.frontend)]
        rows = np.full((len(ids), self.streams), EMPTY, dtype=np.int64)
        rows[:, -1] = ids
        return rows

    def _frames(self, codes: Sequence[Ints]) -> Ints:
        check_codes(codes, self.config)
        length = min(len(book) for book in codes)
        rows = np.full((length, self.streams), EMPTY, dtype=np.int64)
        rows[:, :-1] = np.stack([np.asarray(book)[:length] for book in codes], axis=1)
        return rows

    # -------------------------------------------------------------------------------------------- forward

    def hidden(
        self,
        ids: Tensor,
        *,
        cache: Cache | None = None,
        attention_mask: Tensor | None = None,
        positions: Tensor | None = None,
    ) -> Tensor:
        """Hidden states [B, T, width] of rows [B, T, K + 1]; documents as in `SpeechLM.hidden`."""
        filled = ids != EMPTY
        parts = [
            F.embedding(ids[..., k].clamp(min=0), table) * filled[..., k, None]
            for k, table in enumerate(self.embeddings)
        ]
        return self.backbone(
            inputs_embeds=torch.stack(parts).sum(0),
            attention_mask=attention_mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=cache is not None,
        ).last_hidden_state

    def head(self, hidden: Tensor) -> Tensor:
        """Logits […, size of codebook 0 + 1] of the next frame's first code."""
        return self.first_head(hidden)

    def finish(self, hidden: Tensor, first: Tensor, choose: Callable[[Tensor], Tensor]) -> Tensor:
        """Rows [B, K + 1] of the next frame, from h[t-1] [B, width] and its first codes [B] (none of them the end).
        `choose` takes logits [B, size] of a codebook and gives codes [B]."""
        cache, chosen = DynamicCache(), [first]
        state = self.decoder(inputs_embeds=self.to_depth(hidden)[:, None], past_key_values=cache, use_cache=True)
        for book in range(1, self.books):
            entered = self.to_depth(F.embedding(chosen[-1], self.embeddings[book - 1]))
            state = self.decoder(inputs_embeds=entered[:, None], past_key_values=cache, use_cache=True)
            chosen.append(choose(self.heads[book - 1](state.last_hidden_state[:, -1])))
        return torch.stack((*chosen, torch.full_like(first, EMPTY)), dim=1)

    def depth_nats(self, hidden: Tensor, frames: Tensor) -> Tensor:
        """Nats [N, K - 1] of the codes after the first, of frames [N, K] given h[t-1] [N, width]."""
        codes = [F.embedding(frames[:, k], self.embeddings[k]) for k in range(self.books - 1)]
        entered = self.to_depth(torch.stack([hidden, *codes], dim=1))
        states = self.decoder(inputs_embeds=entered, use_cache=False).last_hidden_state
        pairs = zip(self.heads, range(1, self.books), strict=True)
        return torch.stack(
            [F.cross_entropy(head(states[:, k]).float(), frames[:, k], reduction="none") for head, k in pairs], dim=1
        )

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

    def _draw(self, frames: int, device: torch.device) -> Tensor:
        assert self.config.depth is not None
        share = self.config.depth.share
        if share == 1.0 or not self.training:
            return torch.arange(frames, device=device)
        return torch.randperm(frames, device=device)[: math.ceil(frames * share)]

    def counts(self, labels: Tensor) -> dict[str, int]:
        """How many labels of each kind there are."""
        return {
            "first": int((labels[..., 0] != IGNORE).sum()),
            "depth": int((labels[..., 1 : self.books] != IGNORE).sum()),
        }

    def loss(self, nats: Mapping[str, Tensor], counts: Mapping[str, float]) -> Tensor:
        """(1 - w) × mean nats of the first codebook + w × mean nats of the others."""
        assert self.config.depth is not None
        w = self.config.depth.weight
        return (1 - w) * nats["first"] / max(counts["first"], 1) + w * nats["depth"] / max(counts["depth"], 1)

    def flops(self, positions: int, counts: Mapping[str, float]) -> float:
        """Operations as `SpeechLM.flops` counts them, the depth decoder's on its share of frames."""
        assert self.config.depth is not None
        layers = sum(p.numel() for p in self.backbone.layers.parameters())
        depth = sum(p.numel() for p in self.decoder.layers.parameters()) * self.books
        depth += sum(p.numel() for p in self.heads.parameters())
        frames = counts["depth"] / (self.books - 1) * self.config.depth.share
        return 6.0 * (layers * positions + self.first_head.weight.numel() * counts["first"] + depth * frames)

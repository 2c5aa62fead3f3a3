"""Training in the layout of a published family: its prompt and its ids, as public.py has them for speaking."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from speech_eval.adapters.checkpoints import locate
from speech_eval.adapters.parts import load_part
from speech_eval.errors import BadInput
from speech_eval.reference_models.catalog import ENTRIES
from speech_eval.reference_models.speech_lm.layouts import Ints
from speech_eval.reference_models.speech_lm.sequence import SPEAKER, TEXT
from speech_eval.reference_models.speech_lm.tokenizer import (
    IGNORE,
    Example,
    SpeechTokenizer,
    check_codes,
    check_fits,
    check_prompt,
    up_to_end,
)
from speech_eval.reference_models.speech_lm.vocabulary import Vocabulary
from speech_eval.reference_models.tts.adapter import released_codec
from speech_eval.reference_models.tts.config import HubCore, TTSConfig
from speech_eval.reference_models.tts.public import FAMILIES, PublicTokenizer
from speech_eval.text.detect import UNKNOWN

# What a recipe's keys of the sequence are in each family; it can be learned from recordings and texts.
_SEQUENCE: dict[str, dict[str, Any]] = {
    "llasa": {"layout": "flat", "frontend": "tokenizer"},
    "orpheus": {
        "layout": "interleaved",
        "frontend": "tokenizer",
        "template": ("<text-start>", f"{SPEAKER}: ", TEXT, "<text-end>", "<speech-start>"),
    },
    "neutts": {"layout": "flat", "frontend": "phonemes"},
}
_FAMILIES = [entry for entry in ENTRIES if entry.name in FAMILIES]


def family_of(text_tokenizer: Any, rows: int) -> str | None:
    """The family whose speech tokens a text LLM with so many rows has."""
    vocabulary = text_tokenizer.get_vocab()
    return next((e.name for e in _FAMILIES if e.speech_token in vocabulary or rows in e.vocabulary), None)


def start_config(init: str, codec: str | None) -> tuple[Path, TTSConfig]:
    """The directory of a published model, which is named by it or as `hf:ORG/REPO`, and the configuration of a model
    that starts from it, over the codec of its release or another copy.

    Raises `BadInput` for a model that is not of a family that can be learned.
    """
    from transformers import AutoConfig

    name = init.removeprefix("hf:")
    directory = locate(name).directory
    stated = AutoConfig.from_pretrained(directory)
    kind, rows = stated.model_type, getattr(stated, "vocab_size", 0)
    family = None if kind == "csm" else family_of(load_part("AutoTokenizer", directory), rows)
    if family not in _SEQUENCE:
        found = f"the family {family}" if family else f"type {kind} without the speech tokens of a known family"
        raise BadInput(
            f"--init {init}: a model of {found} cannot be trained here.",
            f"Start from {', '.join(_SEQUENCE)}, or from a checkpoint of this project.",
        )
    spec = codec or released_codec(family)
    core = HubCore.model_validate({"name": name, "family": family, "positions": FAMILIES[family].positions})
    return directory, TTSConfig.model_validate(
        {**_SEQUENCE[family], "core": core.model_dump(), "codec": {"spec": spec}}
    )


class PublishedTokenizer(SpeechTokenizer):
    """A family's prompt, ids and codec as a tokenizer that training knows. The context is the shorter of the family's
    and the configuration's."""

    streams = 1

    def __init__(self, config: TTSConfig, core: Any, text_tokenizer: Any) -> None:
        assert isinstance(config.core, HubCore) and config.core.family is not None
        codec = config.codec
        family: PublicTokenizer = FAMILIES[config.core.family](
            core, text_tokenizer, codec.codebook_sizes, codec.frame_rates
        )
        self.family, self.config, self.text_tokenizer = family, config, text_tokenizer
        self.context = min(config.core.positions, family.context)
        self.vocabulary = _table(family, int(core.get_output_embeddings().weight.shape[0]))
        self.end = self.pad = family.end
        self.first_code = family.blocks[0][0]
        self.tokens_per_step = family.tokens_per_step

    def prompt_ids(
        self,
        text: str,
        prompt_text: str | None = None,
        prompt_codes: Sequence[Ints] | None = None,
        language: str = UNKNOWN,
        speaker: str = "",
    ) -> Tensor:
        """As `interface.Tokenizer.prompt_ids`. Unlike the published NeuTTS, one that was trained here on one voice
        needs no prompt."""
        check_prompt(text, prompt_text, prompt_codes)
        turns = [part for part in (prompt_text, text) if part is not None]
        if self.family.closing and prompt_codes is not None:  # the prompt is a turn of its own
            first, last = (self._written(said, speaker) for said in self.spoken(turns, language))
            ids = [*first, *self._speech_rows(prompt_codes), self.end, *self.family.closing, *last]
        else:
            (said,) = self.spoken([" ".join(turns)], language)
            ids = self._written(said, speaker) + ([] if prompt_codes is None else list(self._speech_rows(prompt_codes)))
        check_fits(len(ids), self.context, text, self.config.steps_per_second)
        return torch.tensor(ids)

    def allowed(self, step: int) -> Tensor:
        allowed = self.family.allowed(step)
        assert allowed is not None  # OuteTTS alone is free to say anything
        return allowed

    def codes(self, ids: Ints) -> list[Ints]:
        return self.family.codes(up_to_end(np.asarray(ids, dtype=np.int64), self.end))

    def example(self, said: str, codes: Sequence[Ints], speaker: str = "") -> Example:
        prompt = self._written(said, speaker)
        whole = np.array([*prompt, *self._speech_rows(codes), self.end], dtype=np.int64)
        labels = whole[1:].copy()
        labels[: len(prompt) - 1] = IGNORE
        return whole[:-1], labels

    def text_example(self, text: str) -> Example:
        ids = np.array(self._text(text), dtype=np.int64)
        return ids[:-1], ids[1:]

    def text_rows(self, said: str, speaker: str = "") -> Ints:
        return np.array(self._written(said, speaker), dtype=np.int64)

    def _written(self, said: str, speaker: str) -> list[int]:
        """The family's prompt, with the texts of the template for the text."""
        return self.family.written("".join(text for special, text in self.config.filled(said, speaker) if not special))

    def _speech_rows(self, codes: Sequence[Ints]) -> Ints:
        check_codes(codes, self.config)
        return np.array(self.family.speech(codes), dtype=np.int64)


def _table(family: PublicTokenizer, rows: int) -> Vocabulary:
    """The table of ids: text and marks, the codes of each position, and what follows them."""
    blocks = family.blocks
    first, after = blocks[0][0], blocks[-1][0] + blocks[-1][1]
    named = [(f"codes-{place}", size) for place, (_, size) in enumerate(blocks)]
    return Vocabulary((("text", first), *named, *([("marks", rows - after)] if rows > after else [])))

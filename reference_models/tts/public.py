"""Published speech LMs: how each writes its prompt, and which of its ids are which codes.

LLaSA    chat template; text between marks; one id per code, `<|s_0|>` and following
Orpheus  fixed ids above Llama 3's own; seven tokens per frame, 4096 ids per position
NeuTTS   phonemes between marks; `<|speech_0|>` and following; always in the voice of a prompt
OuteTTS  words, their features and their codes mixed; `<|c1_0|>`, `<|c2_0|>` and following
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from speech_eval.errors import BadInput
from speech_eval.reference_models.speech_lm.frontend import learned_voice
from speech_eval.reference_models.speech_lm.layouts import (
    Ints,
    deinterleave,
    interleave,
    pattern,
    ratios_of,
    whole_steps,
)
from speech_eval.reference_models.speech_lm.sampling import Sampling
from speech_eval.reference_models.speech_lm.tokenizer import check_fits, check_prompt
from speech_eval.text.detect import UNKNOWN

# Llama 3.2's chat template writes today's date unless it is given one, and answers would change every day.
DATE = "26 Jul 2024"


class PublicTokenizer(ABC):
    """The prompt and the ids of a published family, over a codec of these codebooks.

    Raises `BadInput` if the text tokenizer lacks the tokens of the family, or has them for another codec.
    """

    streams: ClassVar[int] = 1
    sampling: ClassVar[Sampling]  # the published settings
    reads: ClassVar[tuple[str, ...] | None] = None  # the languages of its phonemes; None: it reads letters
    positions: ClassVar[int] = 2048  # longest sequence in training; configurations state that of the base model
    closing: ClassVar[tuple[int, ...]] = ()  # ids that follow the end of speech in training

    def __init__(
        self, core: Any, text_tokenizer: Any, codebook_sizes: Sequence[int], frame_rates: Sequence[float]
    ) -> None:
        self.text_tokenizer = text_tokenizer
        self.context = min(self.positions, int(core.config.max_position_embeddings))
        self.ratios = ratios_of(frame_rates)
        self.sizes = list(codebook_sizes)
        self.steps_per_second = min(frame_rates) * len(pattern(self.ratios))
        self._vocabulary: dict[str, int] = text_tokenizer.get_vocab()
        self._prepare(int(core.get_output_embeddings().weight.shape[0]))

    @property
    def tokens_per_step(self) -> int:
        return len(pattern(self.ratios))

    @property
    @abstractmethod
    def end(self) -> int:
        """The id that ends speech."""

    @abstractmethod
    def _prepare(self, rows: int) -> None:
        """Look up the family's ids; `rows` is the size of the model's vocabulary."""

    @abstractmethod
    def _prompt(self, text: str, prompt_text: str | None, prompt_codes: Sequence[Ints] | None) -> list[int]:
        """The family's prompt."""

    @abstractmethod
    def written(self, said: str) -> list[int]:
        """Ids of a text as it enters the model, up to where speech begins."""

    @abstractmethod
    def speech(self, codes: Sequence[Ints]) -> list[int]:
        """Ids of codes, in whole steps. Raises `BadInput` for a family whose speech is more than codes."""

    @property
    @abstractmethod
    def blocks(self) -> list[tuple[int, int]]:
        """First id and number of the codes of each position of a step."""

    @abstractmethod
    def allowed(self, step: int) -> Tensor | None:
        """As `interface.Tokenizer.allowed`."""

    @abstractmethod
    def codes(self, ids: Ints) -> list[Ints]:
        """As `interface.Tokenizer.codes`."""

    def prompt_ids(
        self,
        text: str,
        prompt_text: str | None = None,
        prompt_codes: Sequence[Ints] | None = None,
        language: str = UNKNOWN,
        speaker: str = "",
    ) -> Tensor:
        """As `interface.Tokenizer.prompt_ids`."""
        check_prompt(text, prompt_text, prompt_codes)
        if self.reads is not None:
            learned_voice(language, self.reads)
        ids = self._prompt(f"{speaker}: {text}" if speaker else text, prompt_text, prompt_codes)
        check_fits(len(ids), self.context, text, self.steps_per_second)
        return torch.tensor(ids)

    def _id(self, token: str) -> int:
        if token not in self._vocabulary:
            raise BadInput(
                f"The tokenizer has no token {token}.", f"Give a checkpoint of the family {type(self).__name__}."
            )
        return self._vocabulary[token]

    def _block(self, name: str, size: int, *, exact: bool = True) -> int:
        """The first id of `size` codes that follow each other, `name` with its number in it."""
        first = self._id(name.format(0))
        for number in range(size):
            if self._vocabulary.get(name.format(number)) != first + number:
                raise BadInput(
                    f"The codec has {size} codes; the tokenizer's {name.format('N')} end or jump at {number}.",
                    "Name the codec the model was trained with: codec=SPEC.",
                )
        if exact and name.format(size) in self._vocabulary:
            raise BadInput(
                f"The codec has {size} codes, the tokenizer more of {name.format('N')}.",
                "Name the codec the model was trained with: codec=SPEC.",
            )
        return first

    def _one_book(self) -> int:
        if len(self.sizes) != 1:
            raise BadInput(
                f"{type(self).__name__} speaks one codebook, the codec has {len(self.sizes)}.",
                "Use the codec of its release.",
            )
        return self.sizes[0]

    def _encode(self, text: str) -> list[int]:
        return list(self.text_tokenizer.encode(text, add_special_tokens=False))


class PublicLM:
    """A causal LM of transformers as a speaking model."""

    def __init__(self, core: Any, tokenizer: PublicTokenizer) -> None:
        self.core, self.tokenizer = core, tokenizer

    def hidden(self, ids: Tensor, *, cache: Any, attention_mask: Tensor, positions: Tensor) -> Tensor:
        """Hidden states [B, T, width]."""
        output = self.core.base_model(
            input_ids=ids,
            attention_mask=attention_mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=cache is not None,
        )
        return output.last_hidden_state

    def head(self, hidden: Tensor) -> Tensor:
        """Logits of the next id."""
        return self.core.get_output_embeddings()(hidden)

    def parameters(self) -> Iterator[Any]:
        """The weights."""
        return self.core.parameters()


class _FlatTokenizer(PublicTokenizer):
    """One codebook: an id is a code plus an offset."""

    def codes(self, ids: Ints) -> list[Ints]:
        return [np.asarray(ids, dtype=np.int64) - self._first]

    def speech(self, codes: Sequence[Ints]) -> list[int]:
        return list((np.asarray(codes[0]) + self._first).tolist())

    def allowed(self, step: int) -> Tensor:
        codes = torch.arange(self._first, self._first + self.sizes[0])
        return torch.cat([codes, torch.tensor([self.end])]) if step else codes

    @property
    def blocks(self) -> list[tuple[int, int]]:
        return [(self._first, self.sizes[0])]

    _first: int


class Llasa(_FlatTokenizer):
    """LLaSA on XCodec2 (LLaSA_training ef5c260)."""

    sampling = Sampling(temperature=0.8)

    def _prepare(self, rows: int) -> None:
        self._first = self._block("<|s_{}|>", self._one_book())
        self._end = self._id("<|SPEECH_GENERATION_END|>")
        if not self.text_tokenizer.chat_template:
            raise BadInput("The tokenizer has no chat template.", "Give the checkpoint's own tokenizer.")

    @property
    def end(self) -> int:
        return self._end

    def _prompt(self, text: str, prompt_text: str | None, prompt_codes: Sequence[Ints] | None) -> list[int]:
        ids = self.written(text if prompt_text is None else f"{prompt_text} {text}")
        return ids if prompt_codes is None else ids + self.speech(prompt_codes)

    def written(self, said: str) -> list[int]:
        asked = f"Convert the text to speech:<|TEXT_UNDERSTANDING_START|>{said}<|TEXT_UNDERSTANDING_END|>"
        chat = [
            {"role": "user", "content": asked},
            {"role": "assistant", "content": "<|SPEECH_GENERATION_START|>"},
        ]
        written = self.text_tokenizer.apply_chat_template(
            chat, tokenize=False, continue_final_message=True, date_string=DATE
        )
        return self._encode(written)


class Orpheus(PublicTokenizer):
    """Orpheus on SNAC at 24 kHz (Orpheus-TTS 835ac7c). A voice is named in the text (`tara: …`); a voice prompt's words
    and codes stand before it as a turn of their own, as the pretrained model saw them."""

    sampling = Sampling(temperature=0.6, top_p=0.8, repetition_penalty=1.1)
    positions = 8192
    closing = (128_262,)
    FIRST, POSITION = 128_266, 4096
    START, END, HUMAN, HUMAN_END, AI, AI_END, TURN_END = 128_257, 128_258, 128_259, 128_260, 128_261, 128_262, 128_009

    def _prepare(self, rows: int) -> None:
        if self.ratios != (1, 2, 4) or self.sizes != [self.POSITION] * 3:
            raise BadInput(
                f"Orpheus speaks SNAC: three books of 4096 codes at 1:2:4, not {self.sizes} at {list(self.ratios)}.",
                "Name the codec: codec=[snac,path=DIR].",
            )
        if rows < self.FIRST + 7 * self.POSITION:
            raise BadInput(
                f"A vocabulary of {rows} ids has no room for Orpheus's codes.", "Give an Orpheus checkpoint."
            )

    @property
    def end(self) -> int:
        return self.END

    def allowed(self, step: int) -> Tensor:
        first = self.FIRST + step % 7 * self.POSITION
        codes = torch.arange(first, first + self.POSITION)
        return torch.cat([codes, torch.tensor([self.END])]) if step and step % 7 == 0 else codes

    def codes(self, ids: Ints) -> list[Ints]:
        whole = np.asarray(ids, dtype=np.int64)[: len(ids) // 7 * 7]
        return deinterleave(whole - self.FIRST - np.arange(len(whole)) % 7 * self.POSITION, self.ratios)

    def _prompt(self, text: str, prompt_text: str | None, prompt_codes: Sequence[Ints] | None) -> list[int]:
        if prompt_text is None or prompt_codes is None:
            return self.written(text)
        said = self.speech(prompt_codes)
        return [*self.written(prompt_text), *said, self.END, *self.closing, *self.written(text)]

    def written(self, said: str) -> list[int]:
        ids = self.text_tokenizer.encode(said)  # with the tokenizer's own begin-of-text
        return [self.HUMAN, *ids, self.TURN_END, self.HUMAN_END, self.AI, self.START]

    def speech(self, codes: Sequence[Ints]) -> list[int]:
        stream = interleave(whole_steps(codes, self.ratios), self.ratios)
        return list((stream + self.FIRST + np.arange(len(stream)) % 7 * self.POSITION).tolist())

    @property
    def blocks(self) -> list[tuple[int, int]]:
        return [(self.FIRST + place * self.POSITION, self.POSITION) for place in range(7)]


class NeuTTS(_FlatTokenizer):
    """NeuTTS on NeuCodec (neutts-air 65569f4). English phonemes, and always in the voice of a prompt."""

    sampling = Sampling(temperature=1.0, top_k=50)
    reads = ("en-us",)

    def _prepare(self, rows: int) -> None:
        self._first = self._block("<|speech_{}|>", self._one_book())
        marks = ("TEXT_PROMPT_START", "TEXT_PROMPT_END", "SPEECH_GENERATION_START", "SPEECH_GENERATION_END")
        self._open, self._close, self._start, self._end = (self._id(f"<|{mark}|>") for mark in marks)

    @property
    def end(self) -> int:
        return self._end

    def _prompt(self, text: str, prompt_text: str | None, prompt_codes: Sequence[Ints] | None) -> list[int]:
        if prompt_text is None or prompt_codes is None:
            raise BadInput("NeuTTS speaks in the voice of a prompt only.", "Use a dataset with voice prompts.")
        from speech_eval.adapters.tts.espeak import phonemes

        phones = " ".join(" ".join(phonemes([prompt_text, text], "en-us")).split())
        return self.written(phones) + self.speech(prompt_codes)

    def written(self, said: str) -> list[int]:
        before = list(self.text_tokenizer.encode("user: Convert the text to speech:"))
        return [*before, self._open, *self._encode(said), self._close, *self._encode("\nassistant:"), self._start]


class OuteTTS(PublicTokenizer):
    """OuteTTS 1.0 on a codec of two books. Its voice prompts need words aligned with their codes, which a recording
    and its transcript do not give, so it speaks in a voice of its own."""

    sampling = Sampling(temperature=0.4, top_p=0.9, top_k=40, repetition_penalty=1.1)
    positions = 8192

    def _prepare(self, rows: int) -> None:
        if len(self.sizes) != 2:
            raise BadInput(f"OuteTTS speaks two codebooks, the codec has {len(self.sizes)}.", "Use n_codebooks=2.")
        # Published tokenizers have one code more than the codec.
        self._firsts = [
            self._block(f"<|c{book}_{{}}|>", size, exact=False) for book, size in enumerate(self.sizes, start=1)
        ]
        self._end = self._id("<|audio_end|>")

    @property
    def end(self) -> int:
        return self._end

    def allowed(self, step: int) -> None:
        return None

    def codes(self, ids: Ints) -> list[Ints]:
        stream = np.asarray(ids, dtype=np.int64)
        books = [
            stream[(stream >= first) & (stream < first + size)] - first
            for first, size in zip(self._firsts, self.sizes, strict=True)
        ]
        return whole_steps(books, self.ratios)

    def _prompt(self, text: str, prompt_text: str | None, prompt_codes: Sequence[Ints] | None) -> list[int]:
        if prompt_codes is not None:
            raise BadInput(
                "OuteTTS clones from aligned words, not from a recording.",
                "Leave the voice prompt out, or use worker:outetts, which aligns them.",
            )
        return self.written(text)

    def written(self, said: str) -> list[int]:
        return self._encode(f"<|im_start|>\n<|text_start|>{said}<|text_end|>\n<|audio_start|>\n")

    def speech(self, codes: Sequence[Ints]) -> list[int]:
        raise BadInput(
            "OuteTTS learns from words that are aligned with their codes, which recordings and texts do not give.",
            "Start from a model of LLaSA, Orpheus or NeuTTS.",
        )

    @property
    def blocks(self) -> list[tuple[int, int]]:
        return list(zip(self._firsts, self.sizes, strict=True))


FAMILIES: dict[str, type[PublicTokenizer]] = {"llasa": Llasa, "orpheus": Orpheus, "neutts": NeuTTS, "outetts": OuteTTS}

"""A text and a codec's codes as the token LM's sequence [streams, T], in each layout, and back. Codes are words of
lexicon.py throughout.

flattened  one stream: the shared `StreamTokenizer`, each codebook with ids of its own
delay      stream k reads codebook k, k steps late; text is in stream 0
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from speech_eval.adapters.base import Codes
from speech_eval.errors import BadInput
from speech_eval.reference_models.speech_lm.layouts import Ints, delay, ratios_of, undelay, whole_steps
from speech_eval.reference_models.speech_lm.sequence import CodecSection, SequenceConfig
from speech_eval.reference_models.speech_lm.tokenizer import IGNORE, StreamTokenizer, up_to_end
from speech_eval.reference_models.speech_lm.vocabulary import Vocabulary

NO_CODES = "The codec gives no codes (Opus does not), so no language model can read them."
Ranges = tuple[tuple[int, int], ...]  # ids as (first, last + 1)


@dataclass(frozen=True)
class Sequences(ABC):
    """The words of a codec's codebooks and their frame ratios in one layout. `sizes` count the words of each codebook,
    of which the last is `rare`."""

    layout: str
    sizes: tuple[int, ...]
    ratios: tuple[int, ...]

    @classmethod
    def of(cls, layout: str, codes: Codes, sizes: Sequence[int]) -> Sequences:
        """The layout of a codec, from any of its codes and the number of words of each of its codebooks. Raises
        `BadInput` for codes that the layout cannot hold."""
        if layout not in LAYOUTS:
            raise BadInput(f"No layout is named '{layout}'.", f"Use {' or '.join(LAYOUTS)}.")
        if not len(codes.codebooks):
            raise BadInput(NO_CODES, "Use a codec with codebooks.")
        ratios = ratios_of(codes.frame_rates)
        if layout == "delay" and set(ratios) != {1}:
            raise BadInput("The delay layout needs codebooks of one frame rate.", "Use the flattened layout.")
        return LAYOUTS[layout](layout, tuple(sizes), ratios)

    @property
    def vocabulary(self) -> Vocabulary:
        """Text, specials and all codebooks. In the delay layout the first codebook is that of stream 0."""
        return Vocabulary.of_codec(self.sizes)

    @property
    @abstractmethod
    def vocabularies(self) -> tuple[int, ...]:
        """Ids in each stream."""

    @property
    @abstractmethod
    def choices(self) -> tuple[tuple[Ranges, ...], ...]:
        """For each stream, the sets of ids among which a position of speech chooses: one per codebook, the first with
        the end."""

    @abstractmethod
    def prompt(self, text: str) -> Ints:
        """[S, T]: the text between its marks, then the mark that speech follows. An empty text stands for none."""

    @abstractmethod
    def targets(self, text: str, codes: Sequence[Ints]) -> tuple[Ints, Ints]:
        """Tokens and targets [S, T] of one utterance: codes and the end are learned, the text is read."""

    @abstractmethod
    def codes(self, tokens: Ints) -> list[Ints]:
        """Codes from generated speech [S, T]; what follows the end, and an unfinished step, are dropped."""

    @abstractmethod
    def allowed(self, step: int, ended_at: int | None) -> list[Tensor]:
        """Ids that may be said at a position of speech, per stream, the end last; rare codes may not. `ended_at` is the
        position at which stream 0 ended, in the delay layout: the others still have codes to say."""

    @cached_property
    def end(self) -> int:
        """The id that ends speech, in stream 0."""
        return self.vocabulary.id("speech-end")


class Flattened(Sequences):
    """One stream, all codebooks interleaved."""

    @cached_property
    def _tokenizer(self) -> StreamTokenizer:
        rates = tuple(float(ratio) for ratio in self.ratios)
        codec = CodecSection(spec="the codec", codebook_sizes=self.sizes, frame_rates=rates)
        return StreamTokenizer(SequenceConfig(layout="interleaved", offsets="book", codec=codec), context=2**31)

    @property
    def vocabularies(self) -> tuple[int, ...]:
        return (len(self.vocabulary),)

    @property
    def choices(self) -> tuple[tuple[Ranges, ...], ...]:
        (first, size), *others = (self.vocabulary.block(f"codes-{k}") for k in range(len(self.sizes)))
        with_end: Ranges = ((self.end, self.end + 1), (first, first + size))
        return ((with_end, *(((start, start + count),) for start, count in others)),)

    def prompt(self, text: str) -> Ints:
        return self._tokenizer.text_rows(text)[None]

    def targets(self, text: str, codes: Sequence[Ints]) -> tuple[Ints, Ints]:
        tokens, targets = self._tokenizer.example(text, codes)
        return tokens[None], targets[None]

    def codes(self, tokens: Ints) -> list[Ints]:
        return self._tokenizer.codes(tokens[0])

    def allowed(self, step: int, ended_at: int | None) -> list[Tensor]:
        rare = torch.tensor([sum(self.vocabulary.block(f"codes-{k}")) - 1 for k in range(len(self.sizes))])
        ids = self._tokenizer.allowed(step)
        return [ids[~torch.isin(ids, rare)]]


class Delay(Sequences):
    """One stream per codebook; `fill` is the last id of every stream."""

    @property
    def vocabularies(self) -> tuple[int, ...]:
        first = len(Vocabulary.of_codec(self.sizes[:1]))
        return (first + 1, *(size + 1 for size in self.sizes[1:]))

    @property
    def choices(self) -> tuple[tuple[Ranges, ...], ...]:
        first, size = self.vocabulary.block("codes-0")
        return ((((self.end, self.end + 1), (first, first + size)),), *((((0, count),),) for count in self.sizes[1:]))

    def prompt(self, text: str) -> Ints:
        words = self.vocabulary
        ids = [words.id("text-start"), *words.text(text), words.id("text-end"), words.id("speech-start")]
        rows = np.broadcast_to(self._fill, (len(self.sizes), len(ids))).copy()
        rows[0] = ids
        return rows

    def targets(self, text: str, codes: Sequence[Ints]) -> tuple[Ints, Ints]:
        prompt = self.prompt(text)
        whole = np.concatenate([prompt, self._speech(codes)], axis=1)
        targets = whole[:, 1:].copy()
        targets[:, : prompt.shape[1] - 1] = IGNORE
        targets[targets == self._fill] = IGNORE  # fill is known, not learned
        return whole[:, :-1], targets

    def codes(self, tokens: Ints) -> list[Ints]:
        books = len(self.sizes)
        length = min(len(up_to_end(tokens[0], self.end)), tokens.shape[1] - books + 1)
        rows = undelay(tokens[:, : length + books - 1], range(books)) if length > 0 else np.empty((books, 0), np.int64)
        return [rows[0] - self.vocabulary.block("codes-0")[0], *rows[1:]]

    def allowed(self, step: int, ended_at: int | None) -> list[Tensor]:
        ids = []
        for k, size in enumerate(self.sizes):
            start = self.vocabulary.block("codes-0")[0] if k == 0 else 0
            if step >= k and (ended_at is None or step < ended_at + k):
                end = [self.end] if k == 0 and step > 0 else []
                ids.append(torch.tensor([*range(start, start + size - 1), *end]))
            else:
                ids.append(torch.tensor([self.vocabularies[k] - 1]))
        return ids

    @property
    def _fill(self) -> Ints:
        return np.array(self.vocabularies)[:, None] - 1

    def _speech(self, codes: Sequence[Ints]) -> Ints:
        """[S, T]: the codes, late by their number, and the end."""
        books = whole_steps(codes, self.ratios)
        late = delay(np.stack([self.vocabulary.codes(0, books[0]), *books[1:]]), range(len(books)), fill=-1)
        wide = np.pad(late, ((0, 0), (0, max(0, len(books[0]) + 1 - late.shape[1]))), constant_values=-1)
        wide[0, len(books[0])] = self.end
        return np.where(wide < 0, self._fill, wide)


LAYOUTS: dict[str, type[Sequences]] = {"flattened": Flattened, "delay": Delay}

"""From a text and a codec's codes to the token LM's sequence, in each layout, and back to codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from speech_eval.adapters.base import Codes
from speech_eval.errors import BadInput
from speech_eval.reference_models.speech_lm.layouts import (
    Ints,
    deinterleave,
    delay,
    interleave,
    pattern,
    ratios_of,
    undelay,
    whole_steps,
)
from speech_eval.reference_models.speech_lm.tokenizer import IGNORE
from speech_eval.reference_models.speech_lm.vocabulary import Vocabulary

LAYOUTS = ("flattened", "delay")


@dataclass(frozen=True)
class Sequences:
    """A codec's codes as sequences `[streams, T]` of one layout.

    flattened  one stream; its vocabulary is Vocabulary.of_codec over all codebooks
    delay      stream k reads codebook k, k steps late; text is in stream 0, and `fill` is the last id of every stream
    """

    layout: str
    sizes: tuple[int, ...]
    ratios: tuple[int, ...]

    @classmethod
    def of(cls, layout: str, codes: Codes) -> Sequences:
        """The layout of a codec, seen from any of its codes. Raises `BadInput` where it cannot be laid out so."""
        if layout not in LAYOUTS:
            raise BadInput(f"No layout is named '{layout}'.", f"Use {' or '.join(LAYOUTS)}.")
        if not len(codes.codebooks):
            raise BadInput(
                "The codec gives no codes (Opus does not), so no language model can read them.",
                "Use a codec with codebooks.",
            )
        ratios = ratios_of(codes.frame_rates)
        if layout == "delay" and set(ratios) != {1}:
            raise BadInput("The delay layout needs codebooks of one frame rate.", "Use the flattened layout.")
        return cls(layout, tuple(int(size) for size in codes.codebook_sizes), ratios)

    @property
    def vocabulary(self) -> Vocabulary:
        """Text, specials and all codebooks. In the delay layout its first codebook is stream 0's."""
        return Vocabulary.of_codec(self.sizes)

    @property
    def vocabularies(self) -> tuple[int, ...]:
        """Ids in each stream."""
        if self.layout == "flattened":
            return (len(self.vocabulary),)
        first = len(Vocabulary.of_codec(self.sizes[:1]))
        return (first + 1, *(size + 1 for size in self.sizes[1:]))

    @property
    def choices(self) -> tuple[tuple[tuple[tuple[int, int], ...], ...], ...]:
        """For each stream, the sets of ids among which a place of speech chooses: a codebook each, and where the speech
        may end, its mark with the first of them."""
        words = self.vocabulary
        end = words.id("speech-end")
        blocks = [words.block(f"codes-{k}") for k in range(len(self.sizes))]
        first = ((end, end + 1), (blocks[0][0], sum(blocks[0])))
        if self.layout == "flattened":
            return ((first, *(((start, start + size),) for start, size in blocks[1:])),)
        return ((first,), *((((0, size),),) for size in self.sizes[1:]))

    def prompt(self, text: str) -> Ints:
        """[S, T]: the text between its marks, then the mark that speech follows. An empty text is no text."""
        words = self.vocabulary
        ids = [words.id("text-start"), *words.text(text), words.id("text-end"), words.id("speech-start")]
        return self._streams(np.array(ids))

    def speech(self, codes: Sequence[Ints]) -> Ints:
        """[S, T]: the codes and the mark that ends them."""
        books, end = whole_steps(codes, self.ratios), self.vocabulary.id("speech-end")
        if self.layout == "flattened":
            block = [book for book, _ in pattern(self.ratios)]
            raw = interleave(books, self.ratios).reshape(-1, len(block))
            columns = [self.vocabulary.codes(book, raw[:, i]) for i, book in enumerate(block)]
            return np.append(np.stack(columns, axis=1).reshape(-1), end)[None]
        late = delay(np.stack([self.vocabulary.codes(0, books[0]), *books[1:]]), range(len(books)), fill=-1)
        wide = np.pad(
            late, ((0, 0), (0, len(books[0]) + 1 - min(late.shape[1], len(books[0]) + 1))), constant_values=-1
        )
        wide[0, len(books[0])] = end
        fill = np.array(self.vocabularies)[:, None] - 1
        return np.where(wide < 0, fill, wide)

    def codes(self, tokens: Ints) -> list[Ints]:
        """The inverse of `speech`; what follows the ending mark, and an unfinished block, are left out."""
        end = self.vocabulary.id("speech-end")
        ends = np.flatnonzero(tokens[0] == end)
        length = int(ends[0]) if len(ends) else tokens.shape[1]
        starts = [self.vocabulary.block(f"codes-{k}")[0] for k in range(len(self.sizes))]
        if self.layout == "flattened":
            block = [book for book, _ in pattern(self.ratios)]
            kept = tokens[0, : length - length % len(block)].reshape(-1, len(block))
            return deinterleave((kept - np.array([starts[book] for book in block])).reshape(-1), self.ratios)
        books = len(self.sizes)
        length = min(length, tokens.shape[1] - books + 1)
        rows = undelay(tokens[:, : length + books - 1], range(books)) if length > 0 else np.empty((books, 0), np.int64)
        return [rows[0] - starts[0], *rows[1:]]

    def allowed(self, step: int, ended_at: int | None) -> list[tuple[int, int, bool]]:
        """Ids that may stand at a step of speech, a stream each: first, last + 1, and whether the ending mark may too.

        `ended_at` is the step at which stream 0 ended, in the delay layout: the others still have codes to say.
        """
        if self.layout == "flattened":
            block = pattern(self.ratios)
            book = block[step % len(block)][0]
            start, size = self.vocabulary.block(f"codes-{book}")
            return [(start, start + size, step % len(block) == 0 and step > 0)]
        ranges = []
        for k, size in enumerate(self.sizes):
            fill = self.vocabularies[k] - 1
            start = self.vocabulary.block("codes-0")[0] if k == 0 else 0
            speaking = step >= k and (ended_at is None or step < ended_at + k)
            ranges.append((start, start + size, k == 0 and step > 0) if speaking else (fill, fill + 1, False))
        return ranges

    def targets(self, text: str, codes: Sequence[Ints]) -> tuple[Ints, Ints]:
        """Tokens and targets [S, T] of one utterance: codes and the ending mark are learned, the text is read."""
        prompt, speech = self.prompt(text), self.speech(codes)
        whole = np.concatenate([prompt, speech], axis=1)
        targets = whole[:, 1:].copy()
        targets[:, : prompt.shape[1] - 1] = IGNORE
        if self.layout == "delay":  # fill is known, not learned
            targets[targets == np.array(self.vocabularies)[:, None] - 1] = IGNORE
        return whole[:, :-1], targets

    def _streams(self, ids: Ints) -> Ints:
        fill = np.array(self.vocabularies)[:, None] - 1
        rows = np.broadcast_to(fill, (len(self.vocabularies), len(ids))).copy()
        rows[0] = ids
        return rows

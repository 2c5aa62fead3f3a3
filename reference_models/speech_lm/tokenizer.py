"""Text and codes to the ids that a speech language model reads, and back. The networks know ids alone.

StreamTokenizer   layouts flat and interleaved: one id per position
FrameTokenizer    layout csm: one row of K + 1 slots per position, K codebooks and the text
DelayTokenizer    layout delay: such rows, in which codebook k is k positions late
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from speech_eval.errors import BadInput
from speech_eval.reference_models.speech_lm import frontend
from speech_eval.reference_models.speech_lm.layouts import Ints, deinterleave, delay, interleave, undelay, whole_steps
from speech_eval.reference_models.speech_lm.script import shortest_seconds
from speech_eval.reference_models.speech_lm.sequence import SequenceConfig
from speech_eval.text.detect import UNKNOWN

IGNORE = -100  # a label that is not learned
EMPTY = -1  # a slot of a row that holds nothing

Example = tuple[Ints, Ints]  # ids and labels, [T] or [T, streams]


class TextTokenizer(Protocol):
    """A text LLM's tokenizer, as transformers has it."""

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]: ...

    def save_pretrained(self, folder: Any) -> Any: ...


class SpeechTokenizer(ABC):
    """What both kinds share: the text side, the template and the checks. `vocabulary` is the table of ids, `context`
    the model's longest sequence; `text_tokenizer` comes with a text LLM of `base` ids."""

    streams: int
    end: int
    pad: int  # the id that fills a sequence up
    tokens_per_step: int

    def __init__(
        self,
        config: SequenceConfig,
        context: int,
        text_tokenizer: TextTokenizer | None = None,
        base: int | None = None,
    ) -> None:
        self.config, self.context, self.text_tokenizer = config, context, text_tokenizer
        self.vocabulary = config.table(base)

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
        (said,) = self.spoken([text if prompt_text is None else f"{prompt_text} {text}"], language)
        ids = self.text_rows(said, speaker)
        if prompt_codes is not None:
            ids = np.concatenate((ids, self._speech_rows(prompt_codes)))
        check_fits(len(ids), self.context, text, self.config.steps_per_second)
        return torch.from_numpy(ids)

    def spoken(self, texts: list[str], language: str = UNKNOWN) -> list[str]:
        """Texts of one language as they enter the model, still as characters. Raises `BadInput` for a text that cannot
        be read, and for phonemes of a language that the model has not learned."""
        config = self.config
        voice = config.language
        if config.frontend == "phonemes":
            voice = frontend.learned_voice(language, config.languages or (config.language,))
        read = frontend.readings(texts, config.frontend, [voice] * len(texts))
        for text, reading in zip(texts, read, strict=True):
            if reading.problem:
                raise BadInput(f"'{text[:40]}': {reading.problem}.", "State the language of the text, or leave it out.")
        return [reading.said for reading in read]

    @abstractmethod
    def allowed(self, step: int) -> Tensor:
        """Ids that may occur at position `step` of the speech; the end only after a whole step."""

    @abstractmethod
    def codes(self, ids: Ints) -> list[Ints]:
        """Codes [frames_k] of each codebook from the ids of speech, up to the end; an unfinished step is dropped."""

    @abstractmethod
    def example(self, said: str, codes: Sequence[Ints], speaker: str = "") -> Example:
        """Ids and labels of one utterance whose text is as `spoken` gave it. `labels[t]` follows `ids[t]`: the codes
        and the end, `IGNORE` while the text is read. The template may name the `speaker`."""

    @abstractmethod
    def text_example(self, text: str) -> Example:
        """Ids and labels of text alone, learned from its first token on (text replay)."""

    @abstractmethod
    def text_rows(self, said: str, speaker: str = "") -> Ints:
        """The template with the text, and perhaps the speaker's name, in it."""

    @abstractmethod
    def _speech_rows(self, codes: Sequence[Ints]) -> Ints:
        """Codes as ids, in whole steps, without the end. Raises `BadInput` for codes of another codec."""

    def _template(self, said: str, speaker: str) -> list[int]:
        ids: list[int] = []
        for special, text in self.config.filled(said, speaker):
            ids += [self.vocabulary.id(text)] if special else self._text(text)
        return ids

    def _text(self, said: str) -> list[int]:
        if self.text_tokenizer is not None:
            return list(self.text_tokenizer.encode(said, add_special_tokens=False))
        start, _ = self.vocabulary.block("text")
        return [start + number for number in frontend.ids(said, self.config.frontend)]


class StreamTokenizer(SpeechTokenizer):
    """All codebooks in one stream (`layouts.interleave`); each place of a step has its own ids, or its codebook's."""

    streams = 1

    def __init__(
        self,
        config: SequenceConfig,
        context: int,
        text_tokenizer: TextTokenizer | None = None,
        base: int | None = None,
    ) -> None:
        super().__init__(config, context, text_tokenizer, base)
        own = config.offsets == "position"
        blocks = [
            self.vocabulary.block(f"codes-{place if own else book}") for place, (book, _) in enumerate(config.block)
        ]
        self._firsts, self._sizes = (np.array(column) for column in zip(*blocks, strict=True))
        self.tokens_per_step = len(blocks)
        self.end, self.start = self.vocabulary.id("speech-end"), self.vocabulary.id("speech-start")
        self.first_code, self.pad = self.vocabulary.block("codes-0")[0], self.vocabulary.id("pad")

    def allowed(self, step: int) -> Tensor:
        place = step % self.tokens_per_step
        first, size = int(self._firsts[place]), int(self._sizes[place])
        codes = torch.arange(first, first + size)
        return torch.cat((codes, torch.tensor([self.end]))) if place == 0 and step > 0 else codes

    def codes(self, ids: Ints) -> list[Ints]:
        """As `SpeechTokenizer.codes`. Raises `BadInput` for ids at places where they may not occur."""
        stream = up_to_end(np.asarray(ids, dtype=np.int64), self.end)
        table = stream[: len(stream) - len(stream) % self.tokens_per_step].reshape(-1, self.tokens_per_step)
        raw = table - self._firsts
        if raw.size and not ((raw >= 0) & (raw < self._sizes)).all():
            raise BadInput("Some ids are not codes of their place in the step.", "Sample within `allowed`.")
        return deinterleave(raw.reshape(-1), self.config.ratios)

    def example(self, said: str, codes: Sequence[Ints], speaker: str = "") -> Example:
        prompt = self.text_rows(said, speaker)
        whole = np.concatenate((prompt, self._speech_rows(codes), [self.end]))
        labels = whole[1:].copy()
        labels[: len(prompt) - 1] = IGNORE
        return whole[:-1], labels

    def text_example(self, text: str) -> Example:
        whole = np.array([self.vocabulary.id("text-start"), *self._text(text), self.vocabulary.id("text-end")])
        return whole[:-1], whole[1:]

    def text_rows(self, said: str, speaker: str = "") -> Ints:
        return np.array(self._template(said, speaker), dtype=np.int64)

    def _speech_rows(self, codes: Sequence[Ints]) -> Ints:
        check_codes(codes, self.config)
        ratios = self.config.ratios
        stream = interleave(whole_steps(codes, ratios), ratios)
        return (stream.reshape(-1, self.tokens_per_step) + self._firsts).reshape(-1)


class FrameTokenizer(SpeechTokenizer):
    """One row of `streams` = K + 1 slots per position: K codebooks, then text. A slot without content is `EMPTY`.

    Slot 0 has one id more than its codebook, the end. Text slots hold ids of `vocabulary`, code slots plain codes.
    """

    tokens_per_step = 1
    pad = EMPTY

    def __init__(self, config: SequenceConfig, context: int) -> None:
        super().__init__(config, context)
        self.sizes = list(config.codec.codebook_sizes)
        if len(self.sizes) < 2:
            raise BadInput(f"The layout {config.layout} needs two codebooks or more.", "Use the layout flat.")
        self.books, self.streams, self.end = len(self.sizes), len(self.sizes) + 1, self.sizes[0]
        # Ids of each slot: codebook 0 and the end, the other codebooks, specials and text.
        self.slots = [self.sizes[0] + 1, *self.sizes[1:], self.vocabulary.block("codes-0")[0]]

    def allowed(self, step: int) -> Tensor:
        return torch.arange(self.sizes[0] + (step > 0))

    def codes(self, ids: Ints) -> list[Ints]:
        rows = up_to_end(np.asarray(ids, dtype=np.int64).reshape(-1, self.streams), self.end)
        books = [rows[:, k].copy() for k in range(self.books)]
        check_codes(books, self.config)
        return books

    def example(self, said: str, codes: Sequence[Ints], speaker: str = "") -> Example:
        prompt, frames = self.text_rows(said, speaker), self._whole_rows(codes)
        rows = np.concatenate((prompt, frames))
        labels = np.full_like(rows, IGNORE)
        written = frames[:, : self.books]
        labels[len(prompt) - 1 : -1, : self.books] = np.where(written == EMPTY, IGNORE, written)
        labels[-1, 0] = self.end
        return rows, labels

    def text_example(self, text: str) -> Example:
        raise BadInput(f"The layout {self.config.layout} learns no text.", "Set text_replay to 0.")

    def text_rows(self, said: str, speaker: str = "") -> Ints:
        ids = self._template(said, speaker)
        rows = np.full((len(ids), self.streams), EMPTY, dtype=np.int64)
        rows[:, -1] = ids
        return rows

    def _speech_rows(self, codes: Sequence[Ints]) -> Ints:
        check_codes(codes, self.config)
        length = min(len(book) for book in codes)
        rows = np.full((length, self.streams), EMPTY, dtype=np.int64)
        rows[:, :-1] = np.stack([np.asarray(book)[:length] for book in codes], axis=1)
        return rows

    def _whole_rows(self, codes: Sequence[Ints]) -> Ints:
        """All rows of an utterance, without the end."""
        return self._speech_rows(codes)


class DelayTokenizer(FrameTokenizer):
    """Codebook k stands k rows late, so that a code follows those of its frame that come before it.

    slot 0   a0 a1 a2 ·  ·  end        · is `tail`: codebook 0 is through, the others are not yet
    slot 1      b0 b1 b2
    slot 2         c0 c1 c2
    """

    def __init__(self, config: SequenceConfig, context: int) -> None:
        super().__init__(config, context)
        self.tail = self.end + 1
        self.slots[0] += 1
        self._delays = range(self.books)

    def allowed(self, step: int) -> Tensor:
        if step == 0:
            return torch.arange(self.end)
        ids = torch.arange(self.tail + 1)
        return ids if step >= self.books else ids[ids != self.end]

    def codes(self, ids: Ints) -> list[Ints]:
        rows = up_to_end(np.asarray(ids, dtype=np.int64).reshape(-1, self.streams), self.end)
        if len(rows) < self.books:
            return [np.zeros(0, dtype=np.int64) for _ in range(self.books)]
        frames = undelay(rows[:, : self.books].T, self._delays).T
        books = list(up_to_end(frames, self.tail).T.copy())
        check_codes(books, self.config)
        return books

    def _speech_rows(self, codes: Sequence[Ints]) -> Ints:
        rows = self._whole_rows(codes)
        return rows[: len(rows) - self.books + 1]

    def _whole_rows(self, codes: Sequence[Ints]) -> Ints:
        rows = super()._speech_rows(codes)
        late = delay(rows[:, : self.books].T, self._delays, EMPTY).T
        late[len(rows) :, 0] = self.tail
        return np.concatenate((late, np.full_like(late[:, :1], EMPTY)), axis=1)


def up_to_end(rows: Ints, end: int) -> Ints:
    """The rows [T] or [T, streams] before the first `end` (in slot 0)."""
    ends = np.flatnonzero((rows if rows.ndim == 1 else rows[:, 0]) == end)
    return rows[: int(ends[0])] if len(ends) else rows


def learned(labels: Ints, streams: int) -> Ints:
    """The labels of a document that are learned, as ids of speech: `IGNORE` in a slot of a learned row becomes 0."""
    rows = labels[(labels if streams == 1 else labels[:, 0]) != IGNORE]
    return rows if streams == 1 else np.where(rows == IGNORE, 0, rows)


def check_prompt(text: str, prompt_text: str | None, prompt_codes: Sequence[Ints] | None) -> None:
    """Raise `BadInput` for an empty text and for a voice prompt without its transcript or recording."""
    if not text.strip():
        raise BadInput("There is no text to speak.", "Give at least one word.")
    if (prompt_text is None) != (prompt_codes is None):
        missing = "transcript" if prompt_text is None else "recording"
        raise BadInput(f"A voice prompt without its {missing}.", "Give a prompt's recording and its transcript.")


def check_fits(positions: int, context: int, text: str, steps_per_second: float) -> None:
    """Raise `BadInput` if a prompt of so many positions leaves less room than the text could possibly be spoken in."""
    room = max(0.0, (context - positions) / steps_per_second)
    if positions >= context or room < shortest_seconds(text):
        raise BadInput(
            f"'{text[:40]}…' and its prompt take {positions} of {context} positions: no room to speak, "
            f"{room:.2f} s for {len(text)} characters.",
            "Split the text into sentences, or shorten the prompt.",
        )


def check_codes(codes: Sequence[Ints], config: SequenceConfig) -> None:
    """Raise `BadInput` unless these are codes of the configured codec's codebooks."""
    sizes = config.codec.codebook_sizes
    ranges = [(int(np.min(book)), int(np.max(book))) if len(book) else (0, 0) for book in codes]
    if len(codes) != len(sizes) or any(not 0 <= low <= high < n for (low, high), n in zip(ranges, sizes, strict=True)):
        raise BadInput(
            f"Codes of {len(codes)} codebooks with values {ranges} do not fit a codec with codebooks of {list(sizes)}.",
            f"Encode with the codec that the model was trained on: {config.codec.spec}.",
        )

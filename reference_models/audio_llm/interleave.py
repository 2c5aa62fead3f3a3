"""Speech and its text in turn, as Voxtral is pretrained (arXiv 2507.13264): A is a chunk of audio, T its text.

    repeat   A1 <repeat> T1 · A2 <repeat> T2 · …     the text of what was heard, each chunk a document of its own
    next     A1 <next> T2 A3 <next> T4 …             the text that goes on from it, one document per utterance

Learned are the texts, each with an end, so that the model knows when to stop; chunks and marks are given. `read` is
the inverse of both.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from speech_eval.errors import BadInput
from speech_eval.reference_models.audio_llm.features import Word
from speech_eval.reference_models.audio_llm.prompts import Heard, Segment, Written
from speech_eval.reference_models.speech_lm.speech_encoders import FRAME_RATE

Ids = tuple[int, ...]
Encode = Callable[[str], Ids]
Pattern = Literal["repeat", "next"]


@dataclass(frozen=True)
class Marks:
    """Token ids of `<repeat>` and `<next>`, and of the end of a text. No two are equal, and none is empty."""

    repeat: Ids
    next: Ids
    end: Ids


@dataclass(frozen=True)
class Chunk:
    """Frames `start` to `end` of an utterance, and the words that are spoken in them."""

    start: int
    end: int
    text: str


@dataclass(frozen=True)
class Document:
    """What the model reads, and which frames [start, end) lie in each place for audio."""

    segments: tuple[Segment, ...]
    spans: tuple[tuple[int, int], ...]


def chunks(words: Sequence[Word], frames: int, seconds: float) -> tuple[Chunk, ...]:
    """An utterance of `frames` frames cut between words into chunks of at least `seconds` each, the last one too.

    The chunks cover the frames without a gap, and their texts, joined by spaces, are the words. An utterance that is
    too short for two is one chunk. Raises `BadInput` for an utterance without word times.
    """
    if not words:
        raise BadInput("An utterance without word times cannot be cut.", "Align it: audio_llm.alignment.")
    cuts, first = [0], 0
    texts = []
    for place in range(1, len(words)):
        middle = round((words[place - 1].end + words[place].start) / 2 * FRAME_RATE)
        shortest = max(1, seconds * FRAME_RATE)
        if middle - cuts[-1] >= shortest and frames - middle >= shortest:
            cuts.append(middle)
            texts.append(" ".join(word.text for word in words[first:place]))
            first = place
    texts.append(" ".join(word.text for word in words[first:]))
    return tuple(Chunk(start, end, text) for start, end, text in zip(cuts, [*cuts[1:], frames], texts, strict=True))


def repeated(chunk: Chunk, marks: Marks, encode: Encode) -> Document:
    """A chunk, `<repeat>`, and its text to learn."""
    ids = encode(chunk.text)
    segments = (Heard(ids), Written(marks.repeat), Written(ids + marks.end, learned=True))
    return Document(segments, ((chunk.start, chunk.end),))


def followed(parts: Sequence[Chunk], marks: Marks, encode: Encode) -> Document:
    """Every second chunk as text: what follows the one before. Of an odd number the last is left out; raises `BadInput`
    for fewer than two."""
    if len(parts) < 2:
        raise BadInput("Nothing follows a single chunk.", "Use shorter chunks, or <repeat>.")
    pairs = list(zip(parts[0::2], parts[1::2], strict=False))
    segments: list[Segment] = []
    for heard, said in pairs:
        written = Written(encode(said.text) + marks.end, learned=True)
        segments += [Heard(encode(heard.text)), Written(marks.next), written]
    return Document(tuple(segments), tuple((heard.start, heard.end) for heard, _ in pairs))


def interleaved(
    parts: Sequence[Chunk], share: float, marks: Marks, encode: Encode, draw: random.Random
) -> list[Document]:
    """The documents of one utterance: with probability `share` every chunk repeated, else one document of what follows.

    A single chunk has nothing that follows: it is repeated, unless `share` is 0, where it gives no document.
    """
    if draw.random() < share or (len(parts) < 2 and share > 0):
        return [repeated(part, marks, encode) for part in parts]
    return [followed(parts, marks, encode)] if len(parts) >= 2 else []


def read(document: Document, marks: Marks) -> tuple[Pattern, list[tuple[tuple[int, int], Ids]]]:
    """The pattern of a document, and each place for audio with the ids of the text behind it, without the end.

    Raises `BadInput` for what neither pattern makes: a mark that is missing or another, an end that is not last.
    """
    segments, found = document.segments, []
    pattern: Pattern = "repeat" if segments[1:2] == (Written(marks.repeat),) else "next"
    mark = marks.repeat if pattern == "repeat" else marks.next
    if len(segments) != 3 * len(document.spans) or (pattern == "repeat" and len(document.spans) != 1):
        raise BadInput("The document is neither a repetition nor a continuation.", "Make it with `interleaved`.")
    for number, span in enumerate(document.spans):
        heard, given, said = segments[3 * number : 3 * number + 3]
        if not isinstance(heard, Heard) or given != Written(mark) or not isinstance(said, Written) or not said.learned:
            raise BadInput(f"Part {number + 1} of the document is not audio, mark and text.", "See `interleaved`.")
        if said.ids[-len(marks.end) :] != marks.end:
            raise BadInput(f"Part {number + 1} of the document has no end to learn.", "Make it with `interleaved`.")
        found.append((span, said.ids[: -len(marks.end)]))
    return pattern, found

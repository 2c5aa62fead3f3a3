"""The rows of a duplex model: text, the agent's codes and the user's codes side by side. Pure functions with inverses.

frame                 0     1     2     3     4     5     6
text                 PAD  EPAD    it  EPAD   rain    s   PAD     a word's ids from its onset on, EPAD before each word
agent, book 0         a0    a1    a2    a3    a4    a5    a6
agent, other books     -    b0    b1    b2    b3    b4    b5     `acoustic_delay` 1
user, all books       u0    u1    u2    u3    u4    u5    u6

A `text_delay` above 0 writes the words after their sound (recognition), one below 0 before it (synthesis). Moshi
(Défossez et al. 2024) leaves EPAD out between words that touch; here every word has one, so that the words can be read
back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from speech_eval.errors import BadInput
from speech_eval.reference_models.speech_lm.layouts import Ints, delay, undelay
from speech_eval.reference_models.speech_lm.tokenizer import EMPTY


@dataclass(frozen=True)
class Word:
    """A word of a channel, from `start` to `end` in seconds."""

    text: str
    start: float
    end: float


@dataclass(frozen=True)
class Delays:
    """How late each slot of a row is, in frames: the text, then the agent's codebooks, then the user's."""

    books: int
    acoustic: int = 1
    text: int = 0

    @property
    def early(self) -> int:
        """Rows before the first frame, in which only text is written."""
        return max(0, -self.text)

    @property
    def agent(self) -> tuple[int, ...]:
        return (self.early, *(self.early + self.acoustic for _ in range(self.books - 1)))

    @property
    def slots(self) -> tuple[int, ...]:
        return (self.early + self.text, *self.agent, *(self.early for _ in range(self.books)))


def rows_of(text: Ints, agent: Ints, user: Ints, delays: Delays) -> Ints:
    """Text [T], the agent's and the user's codes [K, T] each to rows [T + the largest delay, 1 + 2K]. A slot before its
    first frame and after its last is `EMPTY`. Raises `BadInput` for streams of different lengths."""
    if not text.shape == agent.shape[1:] == user.shape[1:] or not len(agent) == len(user) == delays.books:
        raise BadInput(
            f"Text {text.shape}, agent {agent.shape} and user {user.shape} are not of one length in {delays.books} "
            "codebooks.",
            "Cut both channels to the same frames.",
        )
    return delay(np.concatenate([text[None], agent, user]), delays.slots, EMPTY).T


def streams_of(rows: Ints, delays: Delays) -> tuple[Ints, Ints, Ints]:
    """The inverse of `rows_of`: text [T], the agent's codes [K, T] and the user's [K, T]."""
    streams = undelay(rows.T, delays.slots)
    return streams[0], streams[1 : 1 + delays.books], streams[1 + delays.books :]


def monologue(words: Sequence[tuple[int, Sequence[int]]], frames: int, pad: int, epad: int) -> Ints:
    """Words as (frame of the onset, ids) to one id per frame [frames]: EPAD in the frame before the onset, the ids from
    the onset on, `pad` elsewhere. A word whose place is taken by the one before it is late; words that would end after
    the last frame are left out."""
    text, free = np.full(frames, pad, dtype=np.int64), 0
    for onset, ids in words:
        first = max(onset - 1, free)
        end = first + 1 + len(ids)
        if end > frames:
            break
        text[first:end] = (epad, *ids)
        free = end
    return text


def words_of(text: Ints, pad: int, epad: int) -> list[tuple[int, list[int]]]:
    """The inverse of `monologue`: (frame of the onset, ids) per word. Ids without an EPAD before them, as a model may
    write them, are words too."""
    words: list[tuple[int, list[int]]] = []
    inside = False
    for frame, unit in enumerate(text.tolist()):
        if unit in (pad, epad, EMPTY):
            inside = False
        elif inside:
            words[-1][1].append(unit)
        else:
            words.append((frame, [unit]))
            inside = True
    return words


def aligned(text: str, start: float, end: float) -> list[Word]:
    """The words of a text that is spoken from `start` to `end` seconds, each as long as its letters' share."""
    words = text.split()
    lengths = np.array([len(word) + 1 for word in words], dtype=np.float64)
    edges = start + (end - start) * np.concatenate([[0.0], lengths.cumsum() / max(lengths.sum(), 1.0)])
    return [Word(word, float(a), float(b)) for word, a, b in zip(words, edges[:-1], edges[1:], strict=True)]

"""Speech and text in turn: the patterns, what is learned of them, and that nothing is lost."""

from __future__ import annotations

import random

import pytest

pytest.importorskip("torch")
from hypothesis import given, settings
from hypothesis import strategies as st

from speech_eval.errors import BadInput
from speech_eval.reference_models.audio_llm.features import Word
from speech_eval.reference_models.audio_llm.interleave import (
    Chunk,
    Document,
    Marks,
    chunks,
    followed,
    interleaved,
    read,
    repeated,
)
from speech_eval.reference_models.audio_llm.prompts import Heard, Written

MARKS = Marks(repeat=(1,), next=(2, 3), end=(0,))
SENTENCE = [Word("the", 0.1, 0.3), Word("small", 0.3, 0.8), Word("dog", 1.0, 1.4), Word("sleeps", 1.5, 2.1)]


def encode(text: str) -> tuple[int, ...]:
    return tuple(10 + ord(letter) for letter in text)


@st.composite
def utterances(draw: st.DrawFn) -> tuple[list[Word], int]:
    gaps = draw(st.lists(st.tuples(st.floats(0, 0.5), st.floats(0.02, 0.8)), min_size=1, max_size=12))
    words, at = [], 0.0
    for number, (gap, length) in enumerate(gaps):
        words.append(Word(f"w{number}", at + gap, at + gap + length))
        at += gap + length
    return words, max(1, round((at + draw(st.floats(0, 0.4))) * 50))


@given(utterances(), st.floats(0.05, 2.0))
@settings(max_examples=200, deadline=None)
def test_chunks_cover_every_frame_and_every_word_once(utterance: tuple[list[Word], int], seconds: float) -> None:
    words, frames = utterance
    found = chunks(words, frames, seconds)
    assert [part.start for part in found] == [0, *(part.end for part in found[:-1])] and found[-1].end == frames
    assert " ".join(part.text for part in found).split() == [word.text for word in words]
    assert len(found) == 1 or all(part.end - part.start >= seconds * 50 for part in found)


def test_a_cut_lies_in_the_middle_of_a_pause() -> None:
    assert chunks(SENTENCE, 110, 0.8) == (Chunk(0, 45, "the small"), Chunk(45, 110, "dog sleeps"))


@given(utterances(), st.floats(0.05, 1.0), st.floats(0, 1), st.integers())
@settings(max_examples=200, deadline=None)
def test_what_was_interleaved_can_be_read_back(
    utterance: tuple[list[Word], int], seconds: float, share: float, seed: int
) -> None:
    parts = chunks(*utterance, seconds)
    documents = interleaved(parts, share, MARKS, encode, random.Random(seed))
    back = [read(document, MARKS) for document in documents]
    patterns = {pattern for pattern, _ in back}
    pairs = [pair for _, found in back for pair in found]
    if patterns == {"repeat"}:
        assert pairs == [((part.start, part.end), encode(part.text)) for part in parts]
    elif patterns == {"next"}:
        assert pairs == [((a.start, a.end), encode(b.text)) for a, b in zip(parts[0::2], parts[1::2], strict=False)]
    else:
        assert share == 0 and len(parts) == 1 and documents == []


def test_only_texts_and_ends_are_learned() -> None:
    parts = chunks(SENTENCE, 110, 0.8)
    assert repeated(parts[0], MARKS, encode).segments == (
        Heard(encode("the small")),
        Written((1,)),
        Written((*encode("the small"), 0), learned=True),
    )
    four = [Chunk(n, n + 1, str(n)) for n in range(4)]
    learned = [
        part.ids for part in followed(four, MARKS, encode).segments if isinstance(part, Written) and part.learned
    ]
    assert learned == [(*encode("1"), 0), (*encode("3"), 0)]


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0.0), (0.5, 0.5), (1.0, 1.0)])
def test_the_ratio_is_the_share_of_utterances_that_are_repeated(share: float, expected: float) -> None:
    draw, parts = random.Random(0), chunks(SENTENCE, 110, 0.8)
    found = [read(interleaved(parts, share, MARKS, encode, draw)[0], MARKS)[0] for _ in range(400)]
    assert found.count("repeat") / 400 == pytest.approx(expected, abs=0.06)


def test_what_no_pattern_makes_is_refused() -> None:
    document = repeated(Chunk(0, 5, "dog"), MARKS, encode)
    heard, mark, said = document.segments
    assert isinstance(said, Written)
    broken = {
        "no end to learn": (heard, mark, Written(said.ids[:-1], learned=True)),
        "not audio, mark and text": (heard, Written((7,)), said),
        "neither a repetition": (heard, mark),
    }
    for problem, segments in broken.items():
        with pytest.raises(BadInput, match=problem):
            read(Document(segments, document.spans), MARKS)
    with pytest.raises(BadInput, match="Nothing follows"):
        followed([Chunk(0, 5, "dog")], MARKS, encode)
    with pytest.raises(BadInput, match="without word times"):
        chunks([], 10, 0.5)

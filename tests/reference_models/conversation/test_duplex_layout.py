"""Rows of a duplex model hold words and codes of both channels, and give them back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech_eval.errors import BadInput
from speech_eval.reference_models.conversation.duplex.layout import (
    Delays,
    aligned,
    monologue,
    rows_of,
    streams_of,
    words_of,
)
from speech_eval.reference_models.speech_lm.tokenizer import EMPTY

PAD, EPAD = 100, 101


@given(st.integers(1, 8), st.integers(0, 3), st.integers(-4, 4), st.integers(0, 12))
def test_streams_come_back_out_of_rows(books: int, acoustic: int, text: int, frames: int) -> None:
    draw, delays = np.random.default_rng(0), Delays(books, acoustic, text)
    agent, user = draw.integers(0, 9, (books, frames)), draw.integers(0, 9, (books, frames))
    given_streams = (draw.integers(0, 9, frames), agent, user)
    for found, wanted in zip(streams_of(rows_of(*given_streams, delays), delays), given_streams, strict=True):
        assert np.array_equal(found, wanted)


@given(st.lists(st.tuples(st.integers(2, 6), st.lists(st.integers(0, 99), min_size=1, max_size=4)), max_size=6))
def test_words_come_back_out_of_the_monologue(words: list[tuple[int, list[int]]]) -> None:
    onset, placed = 0, []
    for gap, ids in words:  # each begins at least one frame, that of its EPAD, after the word before it
        placed.append((onset + gap, ids))
        onset += gap + len(ids)
    text = monologue(placed, onset + 1, PAD, EPAD)
    assert words_of(text, PAD, EPAD) == placed
    assert all(text[first - 1] == EPAD for first, _ in placed)
    assert (text == EPAD).sum() == len(words)
    assert (text == PAD).sum() == len(text) - sum(1 + len(ids) for _, ids in words)


@given(st.lists(st.tuples(st.integers(0, 20), st.lists(st.integers(0, 99), min_size=1, max_size=3)), max_size=6))
def test_words_that_touch_lose_time_and_nothing_else(words: list[tuple[int, list[int]]]) -> None:
    words = sorted(words, key=lambda word: word[0])
    found = words_of(monologue(words, 60, PAD, EPAD), PAD, EPAD)
    assert [ids for _, ids in found] == [ids for _, ids in words]
    assert all(frame >= onset for (frame, _), (onset, _) in zip(found, words, strict=True))


def test_a_word_that_would_end_after_the_last_frame_is_left_out() -> None:
    assert words_of(monologue([(1, [5]), (4, [6, 7])], 5, PAD, EPAD), PAD, EPAD) == [(1, [5])]


def test_acoustic_codes_are_late_and_the_users_are_not() -> None:
    text, agent, user = np.array([7, 8]), np.array([[1, 2], [3, 4]]), np.array([[5, 6], [7, 8]])
    rows = rows_of(text, agent, user, Delays(2, acoustic=1))
    assert rows.tolist() == [[7, 1, EMPTY, 5, 7], [8, 2, 3, 6, 8], [EMPTY, EMPTY, 4, EMPTY, EMPTY]]


def test_text_may_be_written_after_its_sound_or_before() -> None:
    text, codes = np.array([7, 8]), np.array([[1, 2]])
    assert rows_of(text, codes, codes, Delays(1, text=1)).tolist() == [[EMPTY, 1, 1], [7, 2, 2], [8, EMPTY, EMPTY]]
    assert rows_of(text, codes, codes, Delays(1, text=-1)).tolist() == [[7, EMPTY, EMPTY], [8, 1, 1], [EMPTY, 2, 2]]


def test_streams_of_different_lengths_are_refused() -> None:
    with pytest.raises(BadInput, match="not of one length in 1 codebooks"):
        rows_of(np.array([1]), np.array([[1, 2]]), np.array([[1, 2]]), Delays(1))


def test_words_share_a_turn_by_their_letters() -> None:
    words = aligned("it rains", 1.0, 2.8)
    assert [(word.text, round(word.start, 6), round(word.end, 6)) for word in words] == [
        ("it", 1.0, 1.6),
        ("rains", 1.6, 2.8),
    ]
    assert aligned("", 0.0, 1.0) == []

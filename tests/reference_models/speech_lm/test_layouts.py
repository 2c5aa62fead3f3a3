"""Layouts turn a codec's codes into a language model's sequence and lose nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech_eval.adapters.base import Codes
from speech_eval.errors import BadInput
from speech_eval.reference_models.modelability.sequences import Sequences
from speech_eval.reference_models.speech_lm.layouts import (
    deinterleave,
    delay,
    interleave,
    pattern,
    ratios_of,
    undelay,
    whole_steps,
)
from speech_eval.reference_models.speech_lm.vocabulary import Vocabulary


def random_codes(ratios: tuple[int, ...], steps: int, sizes: list[int], seed: int = 0) -> Codes:
    random = np.random.default_rng(seed)
    books = [random.integers(0, size, steps * ratio) for size, ratio in zip(sizes, ratios, strict=True)]
    return Codes(books, [12.5 * ratio for ratio in ratios], sizes)


def test_a_frame_of_orpheus_is_one_coarse_two_middle_and_four_fine_codes() -> None:
    coarse, middle, fine = np.array([10]), np.array([20, 21]), np.array([30, 31, 32, 33])
    assert interleave([coarse, middle, fine], (1, 2, 4)).tolist() == [10, 20, 30, 31, 21, 32, 33]


def test_codebooks_at_one_rate_follow_each_other_in_every_frame() -> None:
    assert pattern((1, 1, 1)) == ((0, 0), (1, 0), (2, 0))


@given(st.sampled_from([(1,), (1, 1), (1, 2, 4), (1, 1, 2), (1, 2, 2, 4)]), st.integers(0, 9), st.integers(0, 99))
def test_interleaving_can_be_undone(ratios: tuple[int, ...], steps: int, seed: int) -> None:
    codes = random_codes(ratios, steps, [50] * len(ratios), seed).codebooks
    back = deinterleave(interleave(codes, ratios), ratios)
    assert all(np.array_equal(a, b) for a, b in zip(codes, back, strict=True))


@given(st.integers(1, 5), st.integers(1, 20), st.integers(0, 3))
def test_delaying_can_be_undone(books: int, length: int, stride: int) -> None:
    codes = np.arange(books * length).reshape(books, length)
    delays = [stride * k for k in range(books)]
    streams = delay(codes, delays, fill=-1)
    assert streams.shape == (books, length + max(delays))
    assert np.array_equal(undelay(streams, delays), codes)


def speech_of(sequences: Sequences, codes: Codes) -> np.ndarray:
    """The speech of an utterance without text [streams, T], as generation would have drawn it."""
    tokens, targets = sequences.targets("", codes.codebooks)
    prompt = sequences.prompt("").shape[1]
    last = np.where(targets[:, -1:] == -100, np.array(sequences.vocabularies)[:, None] - 1, targets[:, -1:])
    return np.concatenate([tokens[:, prompt:], last], axis=1)


@pytest.mark.parametrize("layout", ["flattened", "delay"])
@given(books=st.integers(1, 4), steps=st.integers(1, 12), seed=st.integers(0, 99))
def test_a_language_models_sequence_gives_the_codes_back(layout: str, books: int, steps: int, seed: int) -> None:
    codes = random_codes((1,) * books, steps, [17] * books, seed)
    sequences = Sequences.of(layout, codes, [18] * len(codes.codebooks))
    back = sequences.codes(speech_of(sequences, codes))
    assert all(np.array_equal(a, b) for a, b in zip(codes.codebooks, back, strict=True))


@pytest.mark.parametrize("layout", ["flattened", "delay"])
@pytest.mark.parametrize("books", [1, 3])
def test_every_token_of_speech_is_one_that_generation_may_draw(layout: str, books: int) -> None:
    codes = random_codes((1,) * books, 6, [17] * books)
    sequences = Sequences.of(layout, codes, [18] * len(codes.codebooks))
    speech = speech_of(sequences, codes)
    ends = int(np.flatnonzero(speech[0] == sequences.end)[0])
    for step in range(speech.shape[1]):
        allowed = sequences.allowed(step, ends if step > ends else None)
        assert all(token in ids.tolist() for token, ids in zip(speech[:, step], allowed, strict=True))


@pytest.mark.parametrize("layout", ["flattened", "delay"])
def test_exactly_the_codes_and_their_end_are_learned(layout: str) -> None:
    codes = random_codes((1, 1), 5, [17, 17])
    tokens, targets = Sequences.of(layout, codes, [18] * len(codes.codebooks)).targets("hello", codes.codebooks)
    assert tokens.shape == targets.shape
    assert (targets != -100).sum() == 2 * 5 + 1


def test_codebooks_that_do_not_nest_are_refused() -> None:
    with pytest.raises(BadInput, match="do not nest"):
        ratios_of([50.0, 75.0])
    with pytest.raises(BadInput, match="do not nest"):
        ratios_of([50.0, 25.0])


def test_the_delay_layout_needs_one_frame_rate() -> None:
    with pytest.raises(BadInput, match="one frame rate"):
        Sequences.of("delay", random_codes((1, 2), 4, [8, 8]), [9, 9])


def test_an_unfinished_block_is_an_error_when_taken_apart_and_cut_when_asked() -> None:
    with pytest.raises(BadInput, match="not whole blocks"):
        deinterleave(np.arange(6), (1, 2, 4))
    assert [len(b) for b in whole_steps([np.arange(3), np.arange(5), np.arange(12)], (1, 2, 4))] == [2, 4, 8]


def test_no_two_meanings_share_an_id() -> None:
    vocabulary = Vocabulary.of_codec([10, 20])
    ids = [vocabulary.id(name) for name in ("pad", "text-start", "text-end", "speech-start", "speech-end")]
    ids += vocabulary.text("".join(map(chr, range(128))))
    ids += [*vocabulary.codes(0, np.arange(10)), *vocabulary.codes(1, np.arange(20))]
    assert len(set(ids)) == len(ids)
    assert max(ids) < len(vocabulary)


def test_another_layout_of_the_same_size_has_another_digest() -> None:
    one, other = Vocabulary.of_codec([10, 20]), Vocabulary.of_codec([20, 10])
    assert len(one) == len(other)
    with pytest.raises(BadInput, match="is not this one"):
        one.check(other.digest, "model.safetensors")


def test_codes_outside_their_book_are_refused() -> None:
    with pytest.raises(BadInput, match="outside block codes-0"):
        Vocabulary.of_codec([10]).codes(0, np.array([10]))

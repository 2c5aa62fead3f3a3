"""Letting a speech LM speak: seeds, limits, reports, errors, and sound while the codes still come."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from support.tiny_speech import codec_of, save_codec, tiny_config, tiny_lm  # noqa: E402

from speech_eval.errors import BadInput, SpeechEvalError  # noqa: E402
from speech_eval.reference_models.speech_lm.codec_stream import SpeechCodec  # noqa: E402
from speech_eval.reference_models.speech_lm.interface import Utterance  # noqa: E402
from speech_eval.reference_models.speech_lm.sampling import (  # noqa: E402
    Sampling,
    filtered,
    generate,
    generate_stream,
    longest_run,
    penalized,
)

torch.set_num_threads(1)
LAYOUTS = ("flat", "interleaved", "csm", "delay")
THREE = [
    Utterance("a", "Hello there.", seed=1),
    Utterance("b", "A much longer text to say.", seed=2),
    Utterance("c", "Hi", seed=3),
]


@pytest.fixture(scope="module")
def codecs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("codecs")
    return {layout: save_codec(folder / layout, layout) for layout in LAYOUTS}


@pytest.fixture(scope="module")
def models(codecs: dict[str, Path]) -> dict[str, Any]:
    found = {name: tiny_lm(tiny_config(codec_of(path), str(path), name)) for name, path in codecs.items()}
    flat = codecs["flat"]
    return found | {"along_speech": tiny_lm(tiny_config(codec_of(flat), str(flat), text_stride=2.5))}


@pytest.mark.parametrize("layout", [*LAYOUTS, "along_speech"])
def test_a_request_says_the_same_alone_in_a_batch_and_as_a_stream(layout: str, models: dict[str, Any]) -> None:
    model = models[layout]
    sampling = Sampling(top_k=30, top_p=0.95, repetition_penalty=1.1, max_tokens=60)
    for said, utterance in zip(generate(model, THREE, sampling), THREE, strict=True):
        (alone,) = generate(model, [utterance], sampling)
        np.testing.assert_array_equal(alone.ids, said.ids)
        parts = list(generate_stream(model, utterance, sampling, steps=3))
        for book, whole in enumerate(said.codes):
            np.testing.assert_array_equal(np.concatenate([codes[book] for codes, _ in parts]), whole)
        assert [ended is not None for _, ended in parts] == [False] * (len(parts) - 1) + [True]
        assert parts[-1][1].report() == said.report()


def test_another_seed_says_something_else(models: dict[str, Any]) -> None:
    first, second = generate(models["flat"], [Utterance("a", "Hi", seed=1), Utterance("b", "Hi", seed=2)], Sampling())
    assert first.ids.tolist() != second.ids.tolist()


@pytest.mark.parametrize("layout", ["flat", "interleaved", "along_speech"])
def test_with_a_cache_and_padding_the_choices_are_those_of_whole_forward_passes(
    layout: str, models: dict[str, Any]
) -> None:
    model = models[layout]
    for generation in generate(model, THREE, Sampling(temperature=0.0, max_tokens=12)):
        ids = torch.from_numpy(generation.prompt)
        for step, token in enumerate(generation.ids):
            with torch.inference_mode():
                logits = model.head(model.hidden(ids[None]))[0, -1]
            allowed = model.tokenizer.allowed(step)
            assert int(allowed[logits[allowed].argmax()]) == token
            ids = torch.cat([ids, torch.tensor([token])])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_codes_lie_within_their_books(layout: str, models: dict[str, Any]) -> None:
    for said in generate(models[layout], THREE, Sampling(temperature=3.0, max_tokens=40)):
        for book, size in zip(said.codes, models[layout].config.codec.codebook_sizes, strict=True):
            assert not len(book) or 0 <= book.min() <= book.max() < size


def test_draws_follow_the_probabilities(models: dict[str, Any]) -> None:
    model = models["flat"]
    prompt = model.tokenizer.prompt_ids("Hi")
    with torch.inference_mode():
        allowed = model.tokenizer.allowed(0)
        odds = (model.core(input_ids=prompt[None]).logits[0, -1][allowed] / 0.7).softmax(0).numpy()
    asked = [Utterance(str(seed), "Hi", seed=seed) for seed in range(3000)]
    drawn = [int(said.ids[0]) for said in generate(model, asked, Sampling(temperature=0.7, max_tokens=1))]
    seen = np.bincount(np.array(drawn) - int(allowed[0]), minlength=len(allowed))
    statistic = float((((seen - 3000 * odds) ** 2) / (3000 * odds)).sum())
    assert statistic < 63 + 4 * np.sqrt(2 * 63)  # chi-square with 63 degrees of freedom, 4 standard deviations


def test_top_k_and_top_p_keep_the_likeliest() -> None:
    logits = torch.log(torch.tensor([0.1, 0.4, 0.2, 0.3]))
    assert torch.isfinite(filtered(logits, top_k=2, top_p=1.0)).tolist() == [False, True, False, True]
    assert torch.isfinite(filtered(logits, top_k=0, top_p=0.65)).tolist() == [False, True, False, True]
    assert torch.isfinite(filtered(logits, top_k=0, top_p=0.71)).tolist() == [False, True, True, True]
    assert torch.isfinite(filtered(logits, top_k=0, top_p=1e-9)).tolist() == [False, True, False, False]
    assert torch.equal(filtered(logits, top_k=0, top_p=1.0), logits)


def test_a_repetition_penalty_makes_what_was_said_less_likely() -> None:
    logits, allowed = torch.tensor([2.0, -1.0, 1.0]), torch.tensor([10, 11, 12])
    assert penalized(logits, allowed, [10, 11], 2.0).tolist() == [1.0, -2.0, 1.0]
    assert torch.equal(penalized(logits, allowed, [], 2.0), logits)


def test_stopping_is_the_models_own_only_before_the_limit(models: dict[str, Any]) -> None:
    model = models["flat"]
    asked = [Utterance(str(seed), "Hi", seed=seed) for seed in range(20)]
    cut, free = generate(model, asked, Sampling(max_tokens=5)), generate(model, asked, Sampling())
    for short, whole in zip(cut, free, strict=True):
        assert short.stopped == (len(whole.ids) < 5)  # the fifth place is the end's, or the limit's
        assert short.ids.tolist() == whole.ids[:5].tolist()


def test_speech_ends_where_the_context_does(codecs: dict[str, Path]) -> None:
    model = tiny_lm(tiny_config(codec_of(codecs["flat"]), str(codecs["flat"]), positions=32))
    said = generate(model, [Utterance(str(seed), "Hi", seed=seed) for seed in range(8)], Sampling(temperature=5.0))
    assert any(not item.stopped for item in said)
    assert max(len(item.prompt) + len(item.ids) for item in said) == 32


def test_a_repeated_step_is_counted() -> None:
    first, second = np.array([1, 1, 2, 2, 2, 3]), np.repeat([1, 1, 2, 2, 9, 3], 2)
    assert longest_run([first]) == 3
    assert longest_run([first, second]) == 2
    assert longest_run([np.zeros(0, dtype=np.int64)]) == 0


def test_a_voice_prompt_of_another_language_stands_before_the_speech(models: dict[str, Any]) -> None:
    model = models["flat"]
    codes = np.arange(40) % 64
    (said,) = generate(model, [Utterance("a", "Hello.", 0, "Привет, мир.", [codes])], Sampling(max_tokens=5))
    first = model.tokenizer.vocabulary.block("codes-0")[0]
    np.testing.assert_array_equal(said.prompt[-40:] - first, codes)
    assert len(said.ids) <= 5


@pytest.mark.parametrize(
    ("utterance", "words"),
    [
        (Utterance("a", "  "), "no text"),
        (Utterance("a", "word " * 200), "no room"),
        (Utterance("a", "Hi", prompt_codes=[np.arange(3)]), "without its transcript"),
        (Utterance("a", "Hi", prompt_text="Hello."), "without its recording"),
        (Utterance("a", "Hi", prompt_text="Hello.", prompt_codes=[np.array([64])]), "do not fit a codec"),
    ],
)
def test_what_cannot_be_said_is_an_error(utterance: Utterance, words: str, models: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=words):
        generate(models["flat"], [utterance], Sampling())


def test_logits_that_are_not_numbers_are_an_error_that_names_the_request(models: dict[str, Any]) -> None:
    model = tiny_lm(models["flat"].config)
    with torch.no_grad():
        next(model.parameters()).fill_(float("nan"))
    with pytest.raises(SpeechEvalError, match="broken: the model's logits hold NaN"):
        generate(model, [Utterance("broken", "Hi")], Sampling())


@pytest.mark.parametrize("wrong", [{"temperature": -1.0}, {"top_p": 0.0}, {"top_k": -1}, {"repetition_penalty": 0.5}])
def test_sampling_that_makes_no_sense_is_an_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=next(iter(wrong))):
        Sampling(**wrong)


# ------------------------------------------------------------------------------------------------- sound


def streamed(codec: SpeechCodec, books: list[Any], steps: int) -> list[Any]:
    pairs = list(zip(books, codec.ratios, strict=True))
    count = -(-len(books[0]) // steps)
    parts = ([book[i * steps * r : (i + 1) * steps * r] for book, r in pairs] for i in range(count))
    return [chunk.samples for chunk in codec.stream(parts)]


def random_books(codec: SpeechCodec, steps: int) -> list[Any]:
    draw = np.random.default_rng(0).integers
    return [draw(0, size, steps * ratio) for size, ratio in zip(codec.codebook_sizes, codec.ratios, strict=True)]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_causal_codec_sounds_the_same_in_parts(layout: str, codecs: dict[str, Path]) -> None:
    codec = SpeechCodec(codec_of(codecs[layout]))
    books = random_books(codec, 100)
    chunks = streamed(codec, books, 3)
    assert len(chunks) > 30
    np.testing.assert_allclose(np.concatenate(chunks), codec.decode(books).samples, atol=1e-6)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_windows_of_another_codec_come_close_and_do_not_pop(layout: str, tmp_path: Path) -> None:
    adapter = codec_of(save_codec(tmp_path, layout, causal=False))
    codec = SpeechCodec(adapter)
    books = random_books(codec, 100)
    whole, heard = codec.decode(books).samples, np.concatenate(streamed(codec, books, 3))
    assert len(heard) == len(whole)
    assert np.abs(heard - whole).max() < 0.05 * np.abs(whole).max()  # seen: 0.033
    assert np.abs(np.diff(heard)).max() < 1.05 * np.abs(np.diff(whole)).max()
    wide = SpeechCodec(adapter, lookahead=0.5)
    np.testing.assert_allclose(np.concatenate(streamed(wide, books, 3)), whole, atol=1e-6)


def test_the_first_sound_comes_before_the_last_codes(codecs: dict[str, Path]) -> None:
    codec = SpeechCodec(codec_of(codecs["flat"]))
    taken = 0

    def parts() -> Any:
        nonlocal taken
        for start in range(0, 100, 10):
            taken = start + 10
            yield [np.arange(start, start + 10) % 64]

    next(codec.stream(parts()))
    assert taken == 10


def test_no_codes_are_no_sound(codecs: dict[str, Path]) -> None:
    codec = SpeechCodec(codec_of(codecs["flat"]))
    assert len(codec.decode([np.zeros(0, dtype=np.int64)]).samples) == 0
    assert streamed(codec, [np.zeros(0, dtype=np.int64)], 3) == []


def test_a_codec_with_other_books_is_refused(codecs: dict[str, Path]) -> None:
    with pytest.raises(BadInput, match=r"codebooks of \[64\], the model was trained on \[65536\]"):
        SpeechCodec(codec_of(codecs["flat"]), [65536], [50.0])
    with pytest.raises(BadInput, match=r"frames per second: \[50.0\], the model was trained on \[75.0\]"):
        SpeechCodec(codec_of(codecs["flat"]), [64], [75.0])

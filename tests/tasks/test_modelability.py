"""Codec modelability: the same small language model over any codec's codes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from support.run_fixture import tone
from support.tiny_codecs import save_tiny_codec

from speech_eval import Imported
from speech_eval.adapters import spec as modelspec
from speech_eval.adapters.base import Codes
from speech_eval.engine import session as runner
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.engine.session import Settings
from speech_eval.engine.task import TASKS
from speech_eval.errors import BadInput
from speech_eval.progress import silent
from speech_eval.reference_models.modelability import budget as budgets
from speech_eval.reference_models.modelability import model as networks
from speech_eval.reference_models.modelability.budget import Budget
from speech_eval.reference_models.modelability.counts import Counts
from speech_eval.reference_models.modelability.heads import TwoSteps
from speech_eval.reference_models.modelability.lexicon import Book
from speech_eval.reference_models.modelability.sequences import Sequences
from speech_eval.reference_models.modelability.speaking import speak
from speech_eval.reference_models.modelability.training import Spent, Utterance, _pad, bits, new_model, train
from speech_eval.reference_models.speech_lm.layouts import Ints

STRATEGY = "speech_eval.reference_models.modelability.strategy:Modelability"
TINY = Budget((), seconds=20.0, passes=30, batch_seconds=12.0, width=32, layers=1, heads=2, feed_forward=64,
              positions=512, learning_rate=1e-2)  # fmt: skip


def rows(predictable: bool, books: int = 1, n: int = 24) -> list[list[Ints]]:
    """Codes of recordings of one second: they count upwards, or are dice."""
    random = np.random.default_rng(0)
    return [
        [(np.arange(40) + i) % 16 if predictable else random.integers(0, 16, 40) for _ in range(books)]
        for i in range(n)
    ]


def read(codes: list[list[Ints]], size: int, layout: str = "flattened") -> tuple[list[Book], Sequences]:
    """The words of each codebook that is declared with `size` codes."""
    books = [Book.of(row, size) for row in zip(*codes, strict=True)]
    like = Codes(codes[0], [40.0] * len(books), [size] * len(books))
    return books, Sequences.of(layout, like, [book.rare + 1 for book in books])


def learned(
    codes: list[list[Ints]], layout: str = "flattened", budget: Budget = TINY, size: int = 16
) -> tuple[float, Spent]:
    """Bits of the last recording after training on the others, and what that cost."""
    *training, held_out = codes
    books, sequences = read(training, size, layout)
    words = [[book.read(row)[0] for book, row in zip(books, item, strict=True)] for item in codes]
    names = sum(book.read(row)[1] for book, row in zip(books, held_out, strict=True))
    model = new_model(sequences, budget)
    spent = train(model, sequences, [Utterance("", item, 1.0) for item in words[:-1]], budget, silent)
    return bits(model, sequences, "", words[-1]) + names, spent


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["flattened", "delay"])
def test_what_can_be_predicted_costs_next_to_nothing_and_dice_cost_their_entropy(layout: str) -> None:
    longer = replace(TINY, passes=40)
    nominal = 2 * 40 * 4
    assert learned(rows(predictable=True, books=2), layout, longer)[0] < 0.2 * nominal
    assert learned(rows(predictable=False, books=2), layout)[0] > 0.95 * nominal


@pytest.mark.parametrize("predictable", [True, False])
def test_the_same_codes_cost_the_same_whatever_size_is_declared(predictable: bool) -> None:
    (small, spent), (large, as_much) = (learned(rows(predictable), size=size) for size in (1024, 65_536))
    assert large == pytest.approx(small, rel=1e-6) and as_much == spent


def test_a_code_that_training_did_not_see_costs_its_name_at_most_a_bit_more_than_telling_all_codes_apart() -> None:
    corpus = [np.array([1, 1, 1, 3, 3, 5, 7])]
    book = Book.of(corpus, 16)
    words, names = book.read(np.array([1, 3, 5, 9]))
    assert words.tolist() == [0, 1, 2, 2] and book.say(words[:2]).tolist() == [1, 3]
    # 5 is among 6 codes up to 7 without a word, 9 among the 8 beyond; 2 of 3 and 1 of 3 rare codes, with one more each.
    assert names == pytest.approx(np.log2(6 * 4 / 3) + np.log2(8 * 4))
    every = 2.0 ** -np.array([book.read(np.array([code]))[1] for code in range(16) if code not in (1, 3)])
    assert every.sum() == pytest.approx(1.0)


def test_all_codecs_read_the_same_recordings_in_the_same_batches() -> None:
    coarse, fine = rows(predictable=True), rows(predictable=True, books=4)
    one, four = learned(coarse)[1], learned(fine)[1]
    assert (one.steps, one.audio_seconds) == (four.steps, four.audio_seconds) == (2 * TINY.passes, 23 * TINY.passes)
    assert four.flops > 3 * one.flops


def test_what_is_longer_than_the_model_is_read_in_windows() -> None:
    short = replace(TINY, positions=16)
    assert learned(rows(predictable=True), budget=short)[1].audio_seconds == 23 * TINY.passes
    assert learned(rows(predictable=True), budget=short)[0] < 0.5 * 40 * 4


def test_the_same_budget_gives_the_same_bits_again() -> None:
    once, again = (learned(rows(predictable=True), budget=replace(TINY, passes=4)) for _ in range(2))
    assert once == again


def test_counts_need_the_entropy_of_what_they_count() -> None:
    random = np.random.default_rng(0)
    dice, skewed = random.integers(0, 16, 20_000), random.choice(4, 20_000, p=[0.7, 0.1, 0.1, 0.1])
    cycle = np.arange(20_000) % 16
    for row, size, unigram, bigram in ((dice, 16, 4.0, 4.0), (skewed, 4, 1.357, 1.357), (cycle, 16, 4.0, 0.0)):
        one, two = Counts([row], size).bits(row[:5000])
        assert one / 5000 == pytest.approx(unigram, abs=0.03) and two / 5000 == pytest.approx(bigram, abs=0.05)


@pytest.mark.parametrize("size", [10, 8192, 60_000])
def test_a_head_in_two_steps_is_a_distribution_over_its_set(size: int) -> None:
    head = TwoSteps(size, 8)
    hidden = torch.randn(8)
    every = head.log_probabilities(hidden)
    assert every.shape == (size,) and every.exp().sum().item() == pytest.approx(1.0, abs=1e-4)
    places = torch.tensor([0, size // 2, size - 1])
    assert torch.allclose(-head.nll(hidden.expand(3, -1), places), every[places], atol=1e-4)


def test_a_large_codebook_is_learned_in_two_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "DIRECT", 8)
    _, sequences = read(rows(predictable=True), 16)
    model = new_model(sequences, TINY)
    assert list(model.heads) == ["0-0"]
    assert learned(rows(predictable=True), budget=replace(TINY, passes=60))[0] < 0.2 * 40 * 4
    assert speak(model, sequences, "hello", seed=1, temperature=1.0, max_steps=20)[0][0].max() < 16


@pytest.mark.parametrize("layout", ["flattened", "delay"])
def test_layers_that_are_computed_again_learn_the_same(layout: str) -> None:
    short = replace(TINY, passes=3)
    kept, again = (learned(rows(True, 2), layout, replace(short, checkpointing=on))[0] for on in (False, True))
    assert again == pytest.approx(kept, rel=1e-5)


def test_padding_in_a_batch_changes_no_loss() -> None:
    _, sequences = read(rows(predictable=True), 16)
    model = new_model(sequences, TINY).eval()
    pairs = [sequences.targets("", [np.arange(n) % 16]) for n in (3, 11, 7)]
    with torch.inference_mode():
        together = model.nll(*_pad(pairs)).sum(dim=(1, 2))
        alone = torch.cat([model.nll(*_pad([pair])).sum(dim=(1, 2)) for pair in pairs])
    assert torch.allclose(together, alone, atol=1e-4)


@pytest.mark.parametrize("layout", ["flattened", "delay"])
def test_what_the_model_says_is_codes_that_training_saw(layout: str) -> None:
    books, sequences = read(rows(predictable=True, books=3), 64, layout)
    model = new_model(sequences, TINY)
    words, _ = speak(model, sequences, "hello", seed=1, temperature=1.0, max_steps=60)
    codes = [book.say(row) for book, row in zip(books, words, strict=True)]
    assert len(codes) == 3 and len({len(book) for book in codes}) == 1 and len(codes[0]) > 0
    assert all(book.min() >= 0 and book.max() < 16 for book in codes)
    again, _ = speak(model, sequences, "hello", seed=1, temperature=1.0, max_steps=60)
    assert all(np.array_equal(a, b) for a, b in zip(words, again, strict=True))


@pytest.fixture
def folders(tmp_path: Path) -> tuple[str, str]:
    """An audio folder to train on and one to evaluate on."""
    for part, count in (("train", 6), ("eval", 2)):
        folder = tmp_path / part
        folder.mkdir()
        lines = []
        for i in range(count):
            soundfile.write(folder / f"{part}{i}.wav", tone(i + 10 * (part == "eval"), 1.0).samples, 16_000)
            lines.append(json.dumps({"file_name": f"{part}{i}.wav", "text": f"sentence {i}", "metadata": {}}))
        (folder / "metadata.jsonl").write_text("\n".join(lines))
    return str(tmp_path / "train"), str(tmp_path / "eval")


@pytest.mark.slow
def test_a_codec_runs_through_the_task_and_does_not_train_twice(
    tmp_path: Path, folders: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(budgets.BUDGETS, "smoke-2", replace(TINY, train=(folders[0],), seconds=6.0, passes=3))
    spec = modelspec.parse(str(save_tiny_codec("dac", tmp_path / "dac")))
    metrics = ("modelability[flattened@smoke-2]", "bitrate[measured@1]")
    settings = Settings(data=folders[1], metrics=metrics, workers=1)
    results = runner.run(spec, ["codec-modelability"], tmp_path / "run", settings)
    (task,) = results.tasks
    assert task.counts.ok == 2, RunDirectory(tmp_path / "run").outputs("codec-modelability")
    names = {number.name: number.strict.value or 0.0 for number in task.metrics}
    assert min(names[n] for n in ("bits-given-text", "bits-per-second", "bigram", "unigram")) > 0
    first, _ = RunDirectory(tmp_path / "run").outputs("codec-modelability").values()
    assert first.token_model and (first.token_model.corpus_seconds, first.token_model.passes) == (6.0, 3)
    assert first.audio is None and first.token_model.ended is None
    weights = tmp_path / "run" / "work" / "codec-modelability" / "lm.safetensors"
    written = weights.stat().st_mtime_ns
    (tmp_path / "run" / "outputs" / "codec-modelability.jsonl").unlink()
    again = runner.run(spec, ["codec-modelability"], tmp_path / "run", settings)
    assert weights.stat().st_mtime_ns == written
    assert again.tasks == results.tasks


def test_a_corpus_that_is_smaller_than_the_budget_is_refused(
    tmp_path: Path, folders: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(budgets.BUDGETS, "smoke-2", replace(TINY, train=(folders[0],), seconds=7.0))
    spec = modelspec.parse(str(save_tiny_codec("dac", tmp_path / "dac")))
    with pytest.raises(BadInput, match="hold 6 s of recordings, the budget is 7 s"):
        runner.run(spec, ["codec-modelability"], tmp_path / "run", Settings(data=folders[1], workers=1))


def test_the_model_speaks_if_a_task_asks_for_it(
    tmp_path: Path, folders: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(budgets.BUDGETS, "smoke-2", replace(TINY, train=(folders[0],), seconds=6.0, passes=3))
    options = {"layout": "flattened", "budget": "smoke-2", "speak": True}
    aloud = replace(TASKS.get("codec-modelability")(), name="aloud", generate=Imported(STRATEGY, options))
    monkeypatch.setitem(TASKS._loaded, "aloud", lambda: aloud)
    spec = modelspec.parse(str(save_tiny_codec("dac", tmp_path / "dac")))
    runner.run(spec, ["aloud"], tmp_path / "run", Settings(data=folders[1], workers=1))
    outputs = RunDirectory(tmp_path / "run").outputs("aloud").values()
    assert all(output.token_model and output.token_model.ended is not None for output in outputs)
    assert all((output.status == "ok") == (output.audio is not None) for output in outputs)

"""Codec modelability: the same small language model over any codec's codes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from support.run_fixture import tone
from support.tiny_codecs import save_tiny_codec

from speech_eval.adapters import spec as modelspec
from speech_eval.adapters.base import Codes
from speech_eval.engine import session as runner
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.engine.session import Settings
from speech_eval.progress import silent
from speech_eval.reference_models.modelability import budget as budgets
from speech_eval.reference_models.modelability.budget import Budget
from speech_eval.reference_models.modelability.sequences import Sequences
from speech_eval.reference_models.modelability.speaking import speak
from speech_eval.reference_models.modelability.training import Utterance, bits, new_model, train

TINY = Budget((), audio_seconds=700.0, flops=1e15, width=32, layers=1, heads=2, feed_forward=64, positions=512,
              batch_positions=1024, learning_rate=1e-2)  # fmt: skip


def corpus(predictable: bool, books: int = 1, n: int = 24) -> list[Utterance]:
    """Codes that count upwards, or dice."""
    random = np.random.default_rng(0)
    items = []
    for i in range(n):
        rows = [(np.arange(40) + i) % 16 if predictable else random.integers(0, 16, 40) for _ in range(books)]
        items.append(Utterance("", rows, 1.0))
    return items


def learned(items: list[Utterance], layout: str = "flattened", budget: Budget = TINY) -> tuple[float, float]:
    """Bits a second of held-out codes and the nominal bitrate."""
    *training, held_out = items
    like = Codes(held_out.codes, [40.0] * len(held_out.codes), [16] * len(held_out.codes))
    sequences = Sequences.of(layout, like)
    model = new_model(sequences, budget)
    train(model, sequences, training, budget, silent)
    return bits(model, sequences, "", held_out.codes) / held_out.seconds, like.bitrate


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["flattened", "delay"])
def test_what_can_be_predicted_costs_next_to_nothing_and_dice_cost_their_entropy(layout: str) -> None:
    longer = Budget(**{**TINY.__dict__, "audio_seconds": 1500.0})
    easy, nominal = learned(corpus(predictable=True, books=2), layout, longer)
    hard, _ = learned(corpus(predictable=False, books=2), layout)
    assert easy < 0.2 * nominal
    assert hard > 0.95 * nominal


def test_training_stops_at_whichever_budget_is_spent_first() -> None:
    items = corpus(predictable=True)
    sequences = Sequences.of("flattened", Codes(items[0].codes, [40.0], [16]))
    by_audio = train(new_model(sequences, TINY), sequences, items, TINY, silent)
    short = Budget(**{**TINY.__dict__, "flops": by_audio.flops / 4})
    by_flops = train(new_model(sequences, short), sequences, items, short, silent)
    assert by_audio.stopped_by == "audio seconds" and by_audio.audio_seconds >= 700
    assert by_flops.stopped_by == "FLOPs" and by_flops.steps < by_audio.steps


def test_the_same_budget_gives_the_same_bits_again() -> None:
    short = Budget(**{**TINY.__dict__, "audio_seconds": 100.0})
    once, again = (learned(corpus(predictable=True), budget=short) for _ in range(2))
    assert once == again


def test_padding_in_a_batch_changes_no_loss() -> None:
    sequences = Sequences.of("flattened", Codes([np.arange(10)], [40.0], [16]))
    model = new_model(sequences, TINY).eval()
    from speech_eval.reference_models.modelability.training import _pad

    pairs = [sequences.targets("", [np.arange(n) % 16]) for n in (3, 11, 7)]
    with torch.inference_mode():
        together = model.nll(*_pad(pairs)).sum(dim=(1, 2))
        alone = torch.cat([model.nll(*_pad([pair])).sum(dim=(1, 2)) for pair in pairs])
    assert torch.allclose(together, alone, atol=1e-4)


@pytest.mark.parametrize("layout", ["flattened", "delay"])
def test_what_the_model_says_is_codes_of_the_codec(layout: str) -> None:
    sequences = Sequences.of(layout, Codes([np.arange(8)] * 3, [40.0] * 3, [16] * 3))
    model = new_model(sequences, TINY)
    codes, _ = speak(model, sequences, "hello", seed=1, temperature=1.0, max_steps=60)
    assert len(codes) == 3 and len({len(book) for book in codes}) == 1 and len(codes[0]) > 0
    assert all(book.min() >= 0 and book.max() < 16 for book in codes)
    again, _ = speak(model, sequences, "hello", seed=1, temperature=1.0, max_steps=60)
    assert all(np.array_equal(a, b) for a, b in zip(codes, again, strict=True))


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
    monkeypatch.setitem(
        budgets.BUDGETS, "smoke-1", Budget(**{**TINY.__dict__, "train": (folders[0],), "audio_seconds": 20.0})
    )
    spec = modelspec.parse(str(save_tiny_codec("dac", tmp_path / "dac")))
    metrics = ("modelability[flattened@smoke-1]", "bitrate[measured@1]")
    settings = Settings(data=folders[1], metrics=metrics, workers=1)
    results = runner.run(spec, ["codec-modelability"], tmp_path / "run", settings)
    (task,) = results.tasks
    assert task.counts.ok == 2, RunDirectory(tmp_path / "run").outputs("codec-modelability")
    names = {number.name: number.strict.value or 0.0 for number in task.metrics}
    assert names["bits-per-second"] > 0
    weights = tmp_path / "run" / "work" / "codec-modelability" / "lm.safetensors"
    written = weights.stat().st_mtime_ns
    (tmp_path / "run" / "outputs" / "codec-modelability.jsonl").unlink()
    again = runner.run(spec, ["codec-modelability"], tmp_path / "run", settings)
    assert weights.stat().st_mtime_ns == written
    assert again.tasks == results.tasks

"""Codebooks that use one code for everything: prevented, named while it happens, and ended with a remedy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")
from support.codec_training_fixture import speech  # noqa: E402

from speech_eval.reference_models.codec.collapse import CollapseWatch  # noqa: E402
from speech_eval.reference_models.codec.config import CodecConfig  # noqa: E402
from speech_eval.reference_models.codec.model import Codec  # noqa: E402
from speech_eval.reference_models.codec.quantizers import CodeStatistics, LevelStatistics, Spread  # noqa: E402
from speech_eval.reference_models.codec.train import CodecTrainer, train  # noqa: E402
from speech_eval.reference_models.codec.training_config import TrainingConfig  # noqa: E402
from speech_eval.reference_models.training.checkpoint import save_checkpoint  # noqa: E402
from speech_eval.reference_models.training.log import TrainingStopped  # noqa: E402

torch.set_num_threads(1)
COSINE = {"codebook_size": 64, "codebook_dim": 8}
EMA = {"lookup": "ema", "codebook_size": 64, "codebook_dim": 16}
QUANTIZERS: dict[str, dict[str, Any]] = {
    "fsq": {"type": "fsq", "levels": [8, 5, 5, 5]},
    "fsq-xcodec2": {"type": "fsq", "levels": [4] * 8},
    "vq": {"type": "vq", **COSINE},
    "rvq": {"type": "rvq", "codebooks": 4, "dropout": 0.0, **COSINE},
    "rvq-ema": {"type": "rvq", "codebooks": 4, "dropout": 0.0, **EMA},
    "multiscale": {"type": "multiscale", "strides": [4, 2, 1], **COSINE},
    "split": {"type": "split", "codebooks": 4, "dropout": 0.0, **EMA},
}


def config(quantizer: str, **changes: Any) -> CodecConfig:
    """A small spectral codec at 12.5 Hz, where every kind of quantizer but `ema` was seen to collapse."""
    return CodecConfig.model_validate(
        {
            "latent_dim": 32,
            "downsample": 2,
            "encoder": {"type": "stft", "n_fft": 1280, "hop": 640, "phase": False, "channels": 48, "blocks": 2},
            "decoder": {"type": "vocos", "n_fft": 1280, "hop": 640, "channels": 48, "blocks": 1},
            "quantizer": QUANTIZERS[quantizer],
            **changes,
        }
    )


def training(rate: float, steps: int, **changes: Any) -> TrainingConfig:
    return TrainingConfig.model_validate(
        {
            "steps": steps,
            "batch_size": 4,
            "segment_seconds": 1.28,
            "optimizer": {"learning_rate": rate, "warmup_steps": 10, "schedule": "cosine", "clip_norm": 100},
            "losses": {"mel": 15, "commitment": 1, "codebook": 1},
            "mel_windows": [512],
            "mel_bands": [80],
            "validation_clips": 1,
            "validate_every": 10_000,
            "save_every": 10_000,
            "log_every": 20,
            **changes,
        }
    )


# ---------------------------------------------------------------------------------------------- prevented


@pytest.mark.slow
@pytest.mark.parametrize("rate", [2e-3, 6e-3])
@pytest.mark.parametrize("quantizer", QUANTIZERS)
def test_no_quantizer_collapses_at_three_times_the_recipes_learning_rate(
    quantizer: str, rate: float, tmp_path: Path
) -> None:
    train(config(quantizer), training(rate, 80), speech(), tmp_path)
    *_, last = (json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines())
    assert min(last["perplexity"]) > 2.5, last["perplexity"]


def test_frames_keep_their_mean_and_spread_whatever_the_encoder_gives() -> None:
    spread = Spread(3)
    found = spread(50.0 + 1e3 * torch.randn(4, 3, 20))
    torch.testing.assert_close(found.mean((0, 2)), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(found.var((0, 2), unbiased=False), torch.ones(3), atol=1e-4, rtol=0)


def test_what_was_learned_in_batches_is_used_on_single_frames() -> None:
    torch.manual_seed(0)
    spread = Spread(2)
    for _ in range(200):
        spread(torch.tensor([3.0, -1.0])[:, None] + torch.tensor([0.5, 4.0])[:, None] * torch.randn(8, 2, 50))
    spread.eval()
    torch.testing.assert_close(
        spread(torch.tensor([[[3.5], [-1.0]]])), torch.tensor([[[1.0], [0.0]]]), atol=0.1, rtol=0
    )


def test_a_constant_frame_has_a_finite_gradient() -> None:
    z = torch.ones(1, 4, 1, requires_grad=True)
    Spread(4)(z).square().sum().backward()
    assert z.grad is not None and bool(z.grad.isfinite().all())


def test_a_checkpoint_from_before_the_normalization_has_none(tmp_path: Path) -> None:
    codec = Codec(config("fsq", norm=False))
    plain = codec.config.model_dump(mode="json")
    plain.pop("norm")
    save_checkpoint(tmp_path, "codec", plain, codec.state_dict(), {})
    again, _ = Codec.load(tmp_path)
    audio = torch.randn(1, 1, 8000)
    assert not again.config.norm and torch.equal(again.encode(audio)[0], codec.eval().encode(audio)[0])


# ----------------------------------------------------------------------------------------- named and ended


def level(perplexity: float, size: int = 1024) -> LevelStatistics:
    return LevelStatistics(size, 1000, 0.1, perplexity, 0.0)


def test_a_collapsed_codebook_is_named_once() -> None:
    said: list[str] = []
    watch = CollapseWatch(0, said.append, stop=True, normalized=True)
    for step in (50, 100, 150):
        watch.look(step, [level(200.0), level(1.0)])
    assert said == ["step 50: codebook 1 uses one code of 1024 for nearly all frames"] and watch.named == {1}


def test_a_training_whose_codebooks_have_all_collapsed_ends_with_a_remedy() -> None:
    watch = CollapseWatch(100, lambda message: None, stop=True, normalized=False)
    for step in (50, 100, 150, 300):
        watch.look(step, [level(1.0), level(1.05)])
    with pytest.raises(TrainingStopped, match="since step 150 every codebook uses one code") as stopped:
        watch.look(450, [level(1.0), level(1.0)])
    assert "model.norm: true" in stopped.value.remedy and "training.optimizer.learning_rate" in stopped.value.remedy


@pytest.mark.parametrize("levels", [[level(1.0), level(3.0)], [level(1.3), level(1.0)], [level(1.0, size=1)]])
def test_codebooks_of_which_one_is_alive_go_on(levels: list[LevelStatistics]) -> None:
    watch = CollapseWatch(0, lambda message: None, stop=True, normalized=True)
    for step in range(50, 2000, 50):
        watch.look(step, levels)


def test_only_a_warning_is_given_where_that_is_asked_for() -> None:
    watch = CollapseWatch(0, lambda message: None, stop=False, normalized=True)
    for step in range(50, 2000, 50):
        watch.look(step, [level(1.0)])


@pytest.mark.slow
def test_a_run_that_collapses_says_so_and_stops(tmp_path: Path) -> None:
    said: list[str] = []
    fragile = config("vq", norm=False)
    fragile = fragile.model_copy(update={"quantizer": fragile.quantizer.model_copy(update={"restart_below": 0.0})})
    with pytest.raises(TrainingStopped, match="every codebook uses one code"):
        train(fragile, training(2e-2, 1000), speech(), tmp_path, say=said.append)
    assert any("codebook 0 uses one code of 64" in line for line in said)


def test_the_card_names_codebooks_that_had_collapsed(tmp_path: Path) -> None:
    run = CodecTrainer(
        config("fsq"), training(1e-3, 1), speech(), tmp_path, name="c", overfit=False, say=lambda m: None
    )
    run.collapse.look(1, [level(1.0)])
    assert run.checkpoint()["trouble"]["collapsed_codebooks"] == [0]


def test_statistics_of_one_code_are_a_collapse() -> None:
    statistics = CodeStatistics([16, 16])
    statistics.update([torch.zeros(1000, dtype=torch.long), torch.arange(16).repeat(10)])
    assert [found.collapsed for found in statistics.report()] == [True, False]

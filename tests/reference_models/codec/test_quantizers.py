"""Quantizers: nearest codes, gradients that reach the encoder from every level, and honest statistics."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

torch = pytest.importorskip("torch")
import torch.nn.functional as F  # noqa: E402
from pydantic import TypeAdapter  # noqa: E402
from torch import Tensor  # noqa: E402

from speech_eval.reference_models.codec.config import FSQConfig  # noqa: E402
from speech_eval.reference_models.codec.quantizers import (  # noqa: E402
    FSQ,
    CodeStatistics,
    Quantizer,
    QuantizerConfig,
    build_quantizer,
)
from speech_eval.reference_models.codec.quantizers import base as quantizer_base  # noqa: E402
from speech_eval.reference_models.codec.quantizers import codebook as codebook_file  # noqa: E402
from speech_eval.reference_models.codec.quantizers import fsq as fsq_file  # noqa: E402

torch.set_num_threads(1)

DIM = 12
EMA = {"lookup": "ema", "codebook_dim": DIM}
LEARNED: dict[str, dict[str, Any]] = {
    "rvq": {"type": "rvq", "codebooks": 4, "codebook_size": 16, "codebook_dim": 4},
    "rvq-ema": {"type": "rvq", "codebooks": 4, "codebook_size": 16, **EMA},
    "rvq-ema-projected": {"type": "rvq", "codebooks": 4, "codebook_size": 16, "lookup": "ema", "codebook_dim": 6},
    "multiscale": {"type": "multiscale", "strides": [4, 2, 1], "codebook_size": 16, "codebook_dim": 4},
    "split": {"type": "split", "codebooks": 4, "codebook_size": 16, **EMA},
}
ALL = LEARNED | {
    "vq": {"type": "vq", "codebook_size": 16, "codebook_dim": 4},
    "vq-ema": {"type": "vq", "codebook_size": 16, **EMA},
    "fsq": {"type": "fsq", "levels": [5, 4, 3]},
}


def make(settings: dict[str, Any], dim: int = DIM) -> Quantizer:
    torch.manual_seed(0)
    return build_quantizer(TypeAdapter(QuantizerConfig).validate_python(settings), dim)


def latents(batch: int = 4, frames: int = 40, seed: int = 1) -> Tensor:
    return torch.randn(batch, DIM, frames, generator=torch.Generator().manual_seed(seed))


def gradient_at_encoder(settings: dict[str, Any]) -> Tensor:
    """Of a function of the quantized latent, at what the encoder gave."""
    z = latents().requires_grad_()
    latent = make(settings)(z).latent
    weights = torch.randn(latent.shape, generator=torch.Generator().manual_seed(2))
    if not latent.requires_grad:
        return torch.zeros_like(z)
    (gradient,) = torch.autograd.grad((latent * weights).sum(), z, allow_unused=True)
    return torch.zeros_like(z) if gradient is None else gradient


# ------------------------------------------------------------------------------------------ gradients


@pytest.mark.parametrize("name", LEARNED)
def test_every_levels_commitment_reaches_the_encoder(name: str) -> None:
    quantizer = make(LEARNED[name])
    quantizer(latents(seed=3))  # starts EMA codebooks
    quantizer.eval()

    def pull(n: int) -> Tensor:
        """The gradient of the first n levels' commitment at the encoder's output."""
        z = latents().requires_grad_()
        (gradient,) = torch.autograd.grad(quantizer(z, n).losses["commitment"], z)
        return gradient

    total = torch.zeros(4, DIM, 40)
    for n in range(1, len(quantizer.sizes) + 1):
        of_level, total = pull(n) - total, pull(n)
        assert of_level.norm() > 1e-4, f"level {n - 1} pulls on nothing"


def test_a_levels_commitment_pulls_each_frame_towards_its_code() -> None:
    quantizer = make(LEARNED["rvq-ema"])
    quantizer(latents(seed=3))
    quantizer.eval()
    z = latents().requires_grad_()
    (gradient,) = torch.autograd.grad(quantizer(z).losses["commitment"], z)
    left = sum(z - quantizer.decode(quantizer(z).codes[:n]) for n in range(1, 5))  # the residual after each level
    torch.testing.assert_close(gradient, 2 * left / z.numel())


@pytest.mark.parametrize("name", ALL)
def test_what_the_decoder_wants_reaches_the_encoder(name: str) -> None:
    assert gradient_at_encoder(ALL[name]).norm() > 0.1


@pytest.mark.parametrize("name", ALL)
def test_nothing_reaches_the_encoder_without_the_straight_through_estimator(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (quantizer_base, codebook_file, fsq_file):
        monkeypatch.setattr(module, "straight_through", lambda x, quantized: quantized)
    assert gradient_at_encoder(ALL[name]).norm() == 0.0


@pytest.mark.parametrize("name", ["rvq-ema", "vq-ema"])
def test_residual_levels_pass_the_gradient_through_once(name: str) -> None:
    z = latents().requires_grad_()
    (gradient,) = torch.autograd.grad(make(ALL[name])(z).latent.sum(), z)
    torch.testing.assert_close(gradient, torch.ones_like(z))


@pytest.mark.parametrize("name", ["rvq", "multiscale"])
def test_every_level_learns_its_codes_by_gradient(name: str) -> None:
    quantizer = make({**LEARNED[name], "dropout": 0.0})
    out = quantizer(latents())
    (out.losses["codebook"] + out.latent.square().mean()).backward()
    assert all(parameter.grad is not None and parameter.grad.norm() > 0 for parameter in quantizer.parameters())


def test_distillation_of_the_first_codebook_reaches_the_encoder() -> None:
    for settings in ALL.values():
        z = latents().requires_grad_()
        first = make(settings)(z).first
        assert first.shape == z.shape
        assert torch.autograd.grad(first.square().sum(), z)[0].norm() > 0


# --------------------------------------------------------------------------------------------- lookup


def test_cosine_lookup_finds_the_nearest_direction_at_any_length() -> None:
    quantizer = make({"type": "vq", "codebook_size": 64, "codebook_dim": 4})
    book = quantizer.books[0]  # type: ignore[index]
    x = torch.randn(2, 4, 30)
    cosines = F.cosine_similarity(x.mT[:, :, None], book.codes.weight, dim=-1)
    assert torch.equal(book.nearest(x), cosines.argmax(-1))
    assert torch.equal(book.nearest(x), book.nearest(100 * x))


def test_ema_lookup_finds_the_nearest_code() -> None:
    quantizer = make(ALL["vq-ema"]).eval()
    z, codes = latents(), quantizer.books[0].codes  # type: ignore[index]
    assert torch.equal(quantizer(z).codes[0], torch.cdist(z.mT, codes.expand(4, -1, -1)).argmin(-1))


def test_the_first_batch_starts_ema_codes_at_its_clusters() -> None:
    centers = 5 * torch.eye(DIM)[:8]
    z = centers.repeat_interleave(30, dim=0) + 0.01 * torch.randn(240, DIM)
    quantizer = make({"type": "vq", "codebook_size": 16, **EMA})
    out = quantizer(z.T[None])
    assert out.losses["commitment"] < 2e-4


def test_ema_codes_move_to_the_mean_of_what_chooses_them() -> None:
    quantizer = make({"type": "vq", "codebook_size": 2, "restart_below": 0.0, **EMA})
    book = quantizer.books[0]  # type: ignore[index]
    z = torch.cat((torch.full((1, DIM, 10), -1.0), torch.full((1, DIM, 30), 1.0)), dim=-1)
    quantizer(z)
    for _ in range(600):
        quantizer(z + 0.5)
    torch.testing.assert_close(
        book.codes.sort(0).values, torch.tensor([[-0.5], [1.5]]).expand(2, DIM), atol=0.01, rtol=0
    )


def test_codes_that_nobody_chooses_start_again_from_the_data() -> None:
    quantizer = make({"type": "vq", "codebook_size": 16, **EMA})
    book = quantizer.books[0]  # type: ignore[index]
    quantizer(latents())
    book.codes[3:] = book.sums[3:] = 1000.0
    book.counts[3:] = 1e-4
    quantizer(latents(seed=5))
    assert book.codes.abs().max() < 10
    quantizer.statistics.reset()
    quantizer(latents(seed=5))
    assert quantizer.statistics.report()[0].usage > 0.8


def test_evaluation_teaches_nothing() -> None:
    quantizer = make(ALL["rvq-ema"]).eval()
    before = {name: value.clone() for name, value in quantizer.state_dict().items()}
    quantizer(latents())
    assert all(torch.equal(before[name], value) for name, value in quantizer.state_dict().items())
    assert all(level.count == 0 for level in quantizer.statistics.report())


# ----------------------------------------------------------------------------------- quantizer dropout


def test_dropout_draws_depths_for_the_first_items_only() -> None:
    torch.manual_seed(0)
    drawn = torch.stack([quantizer_base.depths(latents(batch=9), 4, None, 0.5) for _ in range(200)])
    assert set(drawn[:, :4].flatten().tolist()) == {1, 2, 3, 4}
    assert (drawn[:, 4:] == 4).all()


def test_an_item_with_fewer_codebooks_is_what_decoding_fewer_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    from speech_eval.reference_models.codec.quantizers import rvq

    quantizer = make({**LEARNED["rvq"], "dropout": 1.0})
    depths = torch.tensor([1, 3, 4, 2])
    monkeypatch.setattr(rvq, "depths", lambda *_: depths)
    out = quantizer(latents())
    for item, depth in enumerate(depths.tolist()):
        alone = quantizer.decode([found[item : item + 1] for found in out.codes[:depth]])
        torch.testing.assert_close(out.latent[item : item + 1], alone)
    assert [level.count for level in quantizer.statistics.report()] == [160, 120, 80, 40]


# -------------------------------------------------------------------------------- scales, split, scalars


def test_coarse_codes_hold_for_as_many_frames_as_their_stride() -> None:
    quantizer = make(LEARNED["multiscale"]).eval()
    out = quantizer(latents(frames=40))
    assert [found.shape[-1] for found in out.codes] == [10, 20, 40]
    held = quantizer.decode(out.codes[:1]).unfold(-1, 4, 4)
    assert torch.equal(held, held[..., :1].expand_as(held))


def test_acoustic_codes_do_not_depend_on_the_semantic_codebook() -> None:
    quantizer = make(LEARNED["split"]).eval()
    before = quantizer(latents()).codes
    quantizer.semantic.books[0].codes += 1.0  # type: ignore[index, union-attr]
    after = quantizer(latents()).codes
    assert not torch.equal(before[0], after[0])
    assert all(torch.equal(a, b) for a, b in zip(before[1:], after[1:], strict=True))


@pytest.mark.parametrize("levels", [[2], [3], [5, 4, 3], [8, 5, 5, 5], [4] * 8], ids=str)
def test_every_fsq_code_survives_the_round_trip(levels: list[int]) -> None:
    fsq = FSQ(FSQConfig(levels=tuple(levels)), DIM)
    codes = torch.arange(fsq.sizes[0])
    values = fsq.to_values(codes)
    assert torch.equal(fsq.to_codes(values), codes)
    assert len(values.unique(dim=0)) == len(codes)
    assert values.abs().max() <= 1


def test_fsq_values_are_the_grid() -> None:
    fsq = FSQ(FSQConfig(levels=(3, 4)), DIM)
    grid = {(a, b) for a, b in product([-1.0, 0.0, 1.0], [-1.0, -0.5, 0.0, 0.5])}
    assert {tuple(v) for v in fsq.to_values(torch.arange(12)).tolist()} == grid


@pytest.mark.parametrize("level", [2, 3, 4, 5, 8])
def test_fsq_reaches_every_level_and_rounds_to_the_nearest(level: int) -> None:
    fsq = FSQ(FSQConfig(levels=(level,)), DIM)
    values = fsq.round(torch.linspace(-12, 12, 4001)[:, None])
    assert values.unique().numel() == level and (values.diff(dim=0) >= 0).all()
    assert fsq.round(torch.zeros(1, 1)).item() == 0.0


def test_fsq_rounds_in_float32_under_autocast() -> None:
    fsq = FSQ(FSQConfig(levels=(8, 8, 8)), DIM)
    z = latents()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = fsq(z)
    assert torch.equal(fsq.to_codes(fsq.to_values(out.codes[0])), out.codes[0])


# ------------------------------------------------------------------------------------------ statistics


def test_statistics_of_known_counts() -> None:
    statistics = CodeStatistics([4, 8, 2])
    statistics.update([torch.tensor([[0, 0, 1, 1]]), torch.zeros(1, 4, dtype=torch.long)])
    statistics.update([torch.tensor([[2, 2, 3, 3]])])
    uniform, constant, unseen = statistics.report()
    assert (uniform.usage, uniform.perplexity, uniform.entropy, uniform.count) == (1.0, 4.0, 2.0, 8)
    assert (constant.usage, constant.perplexity, constant.entropy) == (0.125, 1.0, 0.0)
    assert (unseen.usage, unseen.perplexity, unseen.entropy, unseen.count) == (0.0, 0.0, 0.0, 0)
    assert statistics.bitrate_efficiency() == pytest.approx(2 / 6)
    statistics.reset()
    assert all(level.count == 0 for level in statistics.report())


@pytest.mark.parametrize("name", ALL)
def test_training_counts_the_codes_it_used(name: str) -> None:
    settings = ALL[name] | ({"dropout": 0.0} if "codebooks" in ALL[name] else {})
    quantizer = make(settings)
    own = CodeStatistics(quantizer.sizes)
    for seed in (1, 2):
        own.update(quantizer(latents(seed=seed)).codes)
    assert quantizer.statistics.report() == own.report()

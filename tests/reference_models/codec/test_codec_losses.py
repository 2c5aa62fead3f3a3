"""Losses, the balancer and the discriminators of codec training."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from speech_eval.errors import BadInput
from speech_eval.metrics.codec import spectral
from speech_eval.reference_models.codec.balancer import Balancer
from speech_eval.reference_models.codec.discriminators import Discriminators
from speech_eval.reference_models.codec.losses import (
    LossTable,
    MelLoss,
    STFTLoss,
    adversarial_loss,
    discriminator_loss,
    feature_matching_loss,
)
from speech_eval.reference_models.codec.training_config import BandConfig, PeriodConfig, STFTConfig
from speech_eval.signal.features import slaney_filters

RATE = 16_000


def noise(seed: int, seconds: float = 0.3) -> Tensor:
    return 0.1 * torch.randn(1, 1, round(seconds * RATE), generator=torch.Generator().manual_seed(seed))


# ---------------------------------------------------------------------------------------------- spectral


def test_mel_loss_is_the_l1_of_log10_mel_magnitudes_over_seven_scales() -> None:
    a, b = noise(1), noise(2)
    expected = 0.0
    for window, bands in zip((32, 64, 128, 256, 512, 1024, 2048), (5, 10, 20, 40, 80, 160, 320), strict=True):
        x, y = (spectral.magnitudes(z[0, 0].numpy(), window) @ slaney_filters(bands, window, RATE).T for z in (a, b))
        expected += np.abs(np.log10(np.maximum(x, 1e-5)) - np.log10(np.maximum(y, 1e-5))).mean()
    assert float(MelLoss(RATE)(a, b)) == pytest.approx(expected, rel=1e-4)


def test_stft_loss_is_the_distance_that_codecs_are_evaluated_by() -> None:
    a, b = noise(1), noise(2)
    pairs = [[spectral.magnitudes(z[0, 0].numpy(), window) for z in (a, b)] for window in spectral.WINDOWS]
    assert float(STFTLoss()(a, b)) == pytest.approx(sum(spectral._distance(x, y) for x, y in pairs), rel=1e-4)


@pytest.mark.parametrize("loss", [MelLoss(RATE), STFTLoss()], ids=["mel", "stft"])
def test_spectral_losses_of_silence_have_finite_gradients(loss: torch.nn.Module) -> None:
    output = torch.zeros(1, 1, 4096, requires_grad=True)
    value = loss(output, noise(1, 0.256))
    value.backward()
    assert output.grad is not None and bool(output.grad.isfinite().all())
    assert float(loss(noise(3), noise(3))) == 0.0


def test_mel_scales_and_bands_must_pair_up() -> None:
    with pytest.raises(BadInput, match="2 mel_windows but 1 mel_bands"):
        MelLoss(RATE, (256, 512), (40,))


# ------------------------------------------------------------------------------------------- adversarial


def maps(logit: float) -> list[list[Tensor]]:
    return [[torch.full((1, 2, 3), 0.5), torch.full((1, 1, 3), logit)] for _ in range(2)]


def test_lsgan_losses_by_hand() -> None:
    assert float(discriminator_loss(maps(0.75), maps(0.5), "lsgan")) == pytest.approx(2 * (0.25**2 + 0.5**2))
    assert float(adversarial_loss(maps(0.5), "lsgan")) == pytest.approx(2 * 0.25)


def test_hinge_losses_by_hand() -> None:
    assert float(discriminator_loss(maps(0.75), maps(-2.0), "hinge")) == pytest.approx(2 * 0.25)
    assert float(adversarial_loss(maps(-2.0), "hinge")) == pytest.approx(4.0)


def test_feature_matching_leaves_out_logits_and_teaches_the_output_alone() -> None:
    real = [[torch.zeros(1, 2, 3, requires_grad=True), torch.zeros(1, 1, 3)]]
    fake = [[torch.full((1, 2, 3), 0.5, requires_grad=True), torch.full((1, 1, 3), 9.0)]]
    loss = feature_matching_loss(real, fake)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(0.5)
    assert real[0][0].grad is None and fake[0][0].grad is not None


# ------------------------------------------------------------------------------------------ loss table


def test_losses_with_weight_zero_are_shown_as_off() -> None:
    table = LossTable({"mel": 15.0, "stft": 0.0})
    assert table.rows() == [{"loss": "mel", "weight": "15"}, {"loss": "stft", "weight": "off"}]
    assert table.weighted({"mel": torch.tensor(2.0), "stft": torch.tensor(1.0)}) == {"mel": torch.tensor(30.0)}


def test_a_loss_without_a_weight_is_an_error() -> None:
    with pytest.raises(BadInput, match="surprise"):
        LossTable({"mel": 1.0}).weighted({"surprise": torch.tensor(1.0)})


# --------------------------------------------------------------------------------------------- balancer


def balanced(scale: float, weights: dict[str, float]) -> Tensor:
    output = torch.ones(2, 1, 4, requires_grad=True)
    losses = {"a": scale * (output * torch.tensor([1.0, 2.0, 3.0, 4.0])).sum(), "b": (output**2).sum()}
    Balancer(weights).backward(losses, output, torch.zeros(()))
    assert output.grad is not None
    return output.grad


def test_the_balancer_takes_no_notice_of_a_losss_scale() -> None:
    weights = {"a": 1.0, "b": 3.0}
    assert torch.allclose(balanced(1.0, weights), balanced(1000.0, weights), rtol=1e-4)


def test_balanced_gradients_have_the_total_norm_and_their_shares() -> None:
    alone = balanced(5.0, {"a": 1.0, "b": 0.0} | {"b": 1e-12})
    assert float(alone.flatten(1).norm(dim=1).mean()) == pytest.approx(1.0, rel=1e-4)
    thirds = balanced(5.0, {"a": 1.0, "b": 2.0})
    a, b = torch.tensor([1.0, 2.0, 3.0, 4.0]) / 30**0.5, torch.full((4,), 0.5)
    assert torch.allclose(thirds[0, 0], a / 3 + 2 * b / 3, rtol=1e-4)


def test_losses_elsewhere_pass_the_balancer_as_they_are() -> None:
    latent = torch.ones(1, 1, 4, requires_grad=True)
    output = latent * 2
    Balancer({"a": 1.0}).backward({"a": output.sum()}, output, 7.0 * latent.sum())
    # 1 of norm over four samples is 0.5 a sample at the output, twice that at the latent, and 7 from elsewhere.
    assert latent.grad is not None and torch.allclose(latent.grad, torch.full_like(latent, 8.0), rtol=1e-4)


def test_a_balancer_goes_on_where_it_was_saved() -> None:
    one, other = Balancer({"a": 1.0}), Balancer({"a": 1.0})
    for step in range(3):
        output = torch.full((1, 1, 4), float(step), requires_grad=True)
        one.backward({"a": (output**2).sum() + output.sum()}, output, torch.zeros(()))
    other.load_state_dict(one.state_dict())
    assert (other.sums, other.counts) == (one.sums, one.counts)


# --------------------------------------------------------------------------------------- discriminators

PARTS = (
    PeriodConfig(periods=(2, 5), channels=(4, 8, 8)),
    BandConfig(windows=(256, 128), channels=4),
    STFTConfig(windows=(256,), channels=4),
)


def test_each_discriminator_gives_its_feature_maps_and_logits() -> None:
    found = Discriminators(PARTS)(noise(1))
    assert [len(part) for part in found] == [3 + 1, 3 + 1, 5 * 5 + 1, 5 * 5 + 1, 5 + 1]
    assert all(part[-1].shape[1] == 1 for part in found)


def test_discriminators_do_not_hear_level_or_offset() -> None:
    torch.manual_seed(0)
    critics = Discriminators(PARTS)
    audio = noise(1)
    for a, b in zip(critics(audio), critics(0.3 * audio + 0.01), strict=True):
        assert torch.allclose(a[-1], b[-1], atol=1e-4)


def test_every_weight_of_the_discriminators_learns() -> None:
    critics = Discriminators(PARTS)
    discriminator_loss(critics(noise(1)), critics(noise(2)), "lsgan").backward()
    assert all(p.grad is not None and float(p.grad.abs().sum()) > 0 for p in critics.parameters())

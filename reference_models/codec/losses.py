"""The losses of codec training: spectral distances, adversarial terms, and the table of their weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speech_eval.errors import BadInput
from speech_eval.reference_models.codec.training_config import MEL_BANDS, MEL_WINDOWS, STFT_WINDOWS, Adversarial
from speech_eval.reference_models.training.precision import in_float32
from speech_eval.signal.features import slaney_filters

# A discriminator's feature maps, the last of which are its logits.
Maps = list[Tensor]
_FLOOR = 1e-5


def magnitudes(audio: Tensor, window: Tensor) -> Tensor:
    """|STFT| [B, bins, frames] of [B, 1, T], hop a quarter of the window, centered, reflected at both ends."""
    size = len(window)
    spectrum = torch.stft(audio[:, 0].float(), size, size // 4, window=window, return_complex=True)
    # The gradient of |z| at 0 is undefined; this keeps it finite and changes nothing above the floor.
    return (spectrum.real.square() + spectrum.imag.square() + 1e-14).sqrt()


class MelLoss(nn.Module):
    """L1 between log10 mel magnitudes, summed over scales (DAC's parameters are the defaults; floor 1e-5)."""

    def __init__(self, rate: int, windows: Sequence[int] = MEL_WINDOWS, bands: Sequence[int] = MEL_BANDS) -> None:
        super().__init__()
        if len(windows) != len(bands):
            raise BadInput(
                f"{len(windows)} mel_windows but {len(bands)} mel_bands.", "Give one number of bands per window."
            )
        for size, count in zip(windows, bands, strict=True):
            filters = torch.from_numpy(slaney_filters(count, size, rate)).float()
            self.register_buffer(f"window_{size}", torch.hann_window(size), persistent=False)
            self.register_buffer(f"filters_{size}", filters, persistent=False)
        self.windows = tuple(windows)

    @in_float32
    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """[B, 1, T] twice to a scalar."""
        scales = [F.l1_loss(self.log_mel(output, size), self.log_mel(target, size)) for size in self.windows]
        return torch.stack(scales).sum()

    def log_mel(self, audio: Tensor, size: int) -> Tensor:
        """log10 mel magnitudes [B, bands, frames]."""
        mel = self.get_buffer(f"filters_{size}") @ magnitudes(audio, self.get_buffer(f"window_{size}"))
        return mel.clamp(min=_FLOOR).log10()


class STFTLoss(nn.Module):
    """L1 of magnitudes and of log10 powers, summed over windows (DAC's MultiScaleSTFTLoss with its defaults)."""

    def __init__(self, windows: Sequence[int] = STFT_WINDOWS) -> None:
        super().__init__()
        for size in windows:
            self.register_buffer(f"window_{size}", torch.hann_window(size), persistent=False)
        self.windows = tuple(windows)

    @in_float32
    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """[B, 1, T] twice to a scalar."""
        total = output.new_zeros(())
        for size in self.windows:
            window = self.get_buffer(f"window_{size}")
            a, b = magnitudes(output, window), magnitudes(target, window)
            log_a, log_b = (2 * x.clamp(min=_FLOOR).log10() for x in (a, b))
            total = total + F.l1_loss(a, b) + F.l1_loss(log_a, log_b)
        return total


# ------------------------------------------------------------------------------------------- adversarial


def discriminator_loss(real: list[Maps], fake: list[Maps], kind: Adversarial) -> Tensor:
    """What discriminators minimize, summed. LSGAN: (1 - D(x))² + D(x̂)². Hinge: [1 - D(x)]₊ + [1 + D(x̂)]₊."""
    total = real[0][-1].new_zeros(())
    for on_real, on_fake in zip(real, fake, strict=True):
        x, y = on_real[-1].float(), on_fake[-1].float()
        if kind == "lsgan":
            total = total + (1 - x).square().mean() + y.square().mean()
        else:
            total = total + F.relu(1 - x).mean() + F.relu(1 + y).mean()
    return total


def adversarial_loss(fake: list[Maps], kind: Adversarial) -> Tensor:
    """What the codec minimizes, summed over discriminators. LSGAN: (1 - D(x̂))². Hinge: -D(x̂)."""
    total = fake[0][-1].new_zeros(())
    for maps in fake:
        y = maps[-1].float()
        total = total + ((1 - y).square().mean() if kind == "lsgan" else -y.mean())
    return total


def feature_matching_loss(real: list[Maps], fake: list[Maps]) -> Tensor:
    """L1 between the feature maps of a recording and of its decoding, logits left out, summed over all (DAC)."""
    total = real[0][0].new_zeros(())
    for on_real, on_fake in zip(real, fake, strict=True):
        for a, b in zip(on_real[:-1], on_fake[:-1], strict=True):
            total = total + F.l1_loss(b.float(), a.detach().float())
    return total


# ------------------------------------------------------------------------------------------------- table


class LossTable:
    """Weights of the losses by name, and the table that is printed before training starts."""

    def __init__(self, weights: dict[str, float]) -> None:
        self.weights = dict(weights)

    def is_on(self, name: str) -> bool:
        return self.weights.get(name, 0.0) != 0.0

    def rows(self) -> list[dict[str, str]]:
        """One row per loss, including those that are off."""
        return [{"loss": name, "weight": f"{w:g}" if w else "off"} for name, w in self.weights.items()]

    def weighted(self, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        """The losses that are on, times their weights. Raises `BadInput` for one that the table does not have."""
        unknown = [name for name in losses if name not in self.weights]
        if unknown:
            raise BadInput(
                f"The losses {', '.join(unknown)} have no weight.", "Name them under `losses` in the recipe."
            )
        return {name: loss * self.weights[name] for name, loss in losses.items() if self.is_on(name)}

"""Stored features as they were not computed: parts masked and noise added, anew in every step (SpecAugment)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import NonNegativeFloat, NonNegativeInt

from speech_eval.reference_models.training.config import Section, knob

if TYPE_CHECKING:
    from torch import Tensor


class MaskSection(Section):
    """What is done to the features of each utterance in a step of training; drawn from torch's generator."""

    spans: NonNegativeInt = knob(2, "Stretches of time that are masked.")
    frames: NonNegativeInt = knob(8, "Longest of them, in frames of 20 ms.")
    bands: NonNegativeInt = knob(1, "Stretches of channels that are masked.")
    channels: NonNegativeInt = knob(64, "Widest of them.")
    noise: NonNegativeFloat = knob(0.1, "Standard deviation of the noise, as a share of that of the features.")

    def apply(self, features: Tensor) -> Tensor:
        """Features [frames, dim] with masked parts zero."""
        import torch

        found = features + torch.randn_like(features) * (self.noise * features.std(correction=0))
        for count, longest, axis in ((self.spans, self.frames, 0), (self.bands, self.channels, 1)):
            for _ in range(count):
                size = int(torch.randint(min(longest, found.shape[axis] // 4) + 1, ()))
                start = int(torch.randint(found.shape[axis] - size + 1, ()))
                found.narrow(axis, start, size).zero_()
        return found

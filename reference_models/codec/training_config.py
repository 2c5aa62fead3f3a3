"""The knobs of codec training, all of them. A recipe gives them under `training`."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from speech_eval.reference_models.codec.config import Section
from speech_eval.reference_models.codec.discriminators import DiscriminatorConfig
from speech_eval.reference_models.codec.losses import MEL_BANDS, MEL_WINDOWS, STFT_WINDOWS, Adversarial
from speech_eval.reference_models.data.segments import Policy

# Every loss that a recipe may weigh; one that it does not name is off, and shown so.
WAVEFORM_LOSSES = ("mel", "stft", "waveform", "adversarial", "feature_matching")
OTHER_LOSSES = ("commitment", "codebook", "distil", "semantic")


class OptimizerConfig(Section):
    """AdamW and its learning rate: linear warm-up, then `exponential` (× `gamma` a step) or `cosine` down to
    `final_share` at the last step. `clip_norm` bounds the norm of the gradient.
    """

    learning_rate: PositiveFloat = 1e-4
    betas: tuple[float, float] = (0.8, 0.99)
    weight_decay: float = 0.0
    warmup_steps: NonNegativeInt = 0
    schedule: Literal["exponential", "cosine"] = "exponential"
    gamma: float = 0.999996
    final_share: float = 0.05
    clip_norm: PositiveFloat = 1000.0

    def rate_at(self, step: int, share: float) -> float:
        """The learning rate of step `step` (from 0), after `share` of the training."""
        warm = min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0
        if self.schedule == "exponential":
            return self.learning_rate * warm * self.gamma ** max(0, step - self.warmup_steps)
        cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, share)))
        return self.learning_rate * warm * (self.final_share + (1 - self.final_share) * cosine)


class AdversaryConfig(Section):
    """Discriminators, from step `start` on, updated every `every`-th step."""

    parts: tuple[DiscriminatorConfig, ...] = ()
    kind: Adversarial = "lsgan"
    start: NonNegativeInt = 0
    every: PositiveInt = 1
    optimizer: OptimizerConfig = OptimizerConfig(clip_norm=10.0)


class TrainingConfig(Section):
    """How a codec is trained. `batch_size` counts segments a process; `save_every`, `validate_every` and `log_every`
    count steps. Training ends after `steps`, or after `minutes` if they are up first; then the learning rate follows
    the clock, and a resumed run is no longer the same bit for bit. With `balancer`, weights of losses at the waveform
    are shares of its gradient (EnCodec).
    """

    steps: PositiveInt
    minutes: PositiveFloat | None = None
    batch_size: PositiveInt = 8
    segment_seconds: PositiveFloat = 1.0
    seed: int = 0
    gain_db: float = 0.0
    optimizer: OptimizerConfig = OptimizerConfig()
    adversary: AdversaryConfig | None = None
    losses: dict[str, float] = Field(
        default={"mel": 15.0, "adversarial": 1.0, "feature_matching": 2.0, "commitment": 0.25, "codebook": 1.0}
    )
    mel_windows: tuple[PositiveInt, ...] = MEL_WINDOWS
    mel_bands: tuple[PositiveInt, ...] = MEL_BANDS
    stft_windows: tuple[PositiveInt, ...] = STFT_WINDOWS
    balancer: bool = False
    ema_decay: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    precision: Literal["float32", "bf16"] = "float32"
    compile: bool = False
    workers: NonNegativeInt = 0
    on_bad_data: Policy = "skip"
    on_nan: Policy = "stop"
    log_every: PositiveInt = 50
    validate_every: PositiveInt = 1000
    validation_clips: PositiveInt = 8
    save_every: PositiveInt = 1000
    tensorboard: bool = False

    @model_validator(mode="after")
    def _losses_fit(self) -> TrainingConfig:
        unknown = [name for name in self.losses if name not in (*WAVEFORM_LOSSES, *OTHER_LOSSES)]
        if unknown:
            raise ValueError(f"losses: {unknown} are not among {[*WAVEFORM_LOSSES, *OTHER_LOSSES]}")
        wants = [name for name in ("adversarial", "feature_matching") if self.losses.get(name)]
        if wants and not (self.adversary and self.adversary.parts):
            raise ValueError(f"losses: {wants} need discriminators (adversary.parts)")
        return self

    def weights(self) -> dict[str, float]:
        """Every loss with its weight, 0 for those that are off."""
        return {name: self.losses.get(name, 0.0) for name in (*WAVEFORM_LOSSES, *OTHER_LOSSES)}

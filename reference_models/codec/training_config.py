"""Every key of codec training. A recipe gives them under `training`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from speech_eval.reference_models.training.config import OptimizerConfig, RunConfig, Section, knob

Adversarial = Literal["lsgan", "hinge"]
MEL_WINDOWS = (32, 64, 128, 256, 512, 1024, 2048)
MEL_BANDS = (5, 10, 20, 40, 80, 160, 320)
STFT_WINDOWS = (2048, 512)
# Every loss that a recipe may weight; one that it does not name is off, and shown as off.
WAVEFORM_LOSSES = ("mel", "stft", "waveform", "adversarial", "feature_matching")
OTHER_LOSSES = ("commitment", "codebook", "distil", "semantic")


BANDS = ((0.0, 0.1), (0.1, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1.0))


class PeriodConfig(Section):
    """Multi-period discriminator of HiFi-GAN and DAC: the waveform folded at each period."""

    type: Literal["period"] = knob("period", "The waveform folded at each period (HiFi-GAN, DAC).")
    periods: tuple[PositiveInt, ...] = knob((2, 3, 5, 7, 11), "Periods in samples, one discriminator each.")
    channels: tuple[PositiveInt, ...] = knob((32, 128, 512, 1024, 1024), "Channels of each layer.")


class BandConfig(Section):
    """DAC's multi-band spectrogram discriminator."""

    type: Literal["bands"] = knob("bands", "Complex spectrograms in bands (DAC).")
    windows: tuple[PositiveInt, ...] = knob((2048, 1024, 512), "Window lengths in samples, one discriminator each.")
    channels: PositiveInt = knob(32, "Channels of the layers.")
    bands: tuple[tuple[float, float], ...] = knob(BANDS, "Bands as shares of the spectrum, one stack of layers each.")


class STFTConfig(Section):
    """EnCodec's multi-scale STFT discriminator."""

    type: Literal["stft"] = knob("stft", "Whole complex spectrograms, dilated over time (EnCodec).")
    windows: tuple[PositiveInt, ...] = knob(
        (2048, 1024, 512, 256, 128), "Window lengths in samples, one discriminator each."
    )
    channels: PositiveInt = knob(32, "Channels of the layers.")


DiscriminatorConfig = Annotated[PeriodConfig | BandConfig | STFTConfig, Field(discriminator="type")]


class AdversaryConfig(Section):
    """Discriminators and when they train."""

    parts: tuple[DiscriminatorConfig, ...] = knob((), "The discriminators.")
    kind: Adversarial = knob("lsgan", "Adversarial loss: `lsgan` (least squares) or `hinge`.")
    start: NonNegativeInt = knob(0, "Step at which they start.")
    every: PositiveInt = knob(1, "Steps between two of their updates.")
    optimizer: OptimizerConfig = knob(OptimizerConfig(clip_norm=10.0), "Their AdamW and learning rate.")


class TrainingConfig(RunConfig):
    """How a codec is trained."""

    batch_size: PositiveInt = knob(8, "Segments per step and process.")
    segment_seconds: PositiveFloat = knob(1.0, "Length of a segment.")
    gain_db: float = knob(0.0, "Largest random change of level, in dB either way.")
    optimizer: OptimizerConfig = knob(OptimizerConfig(), "AdamW and learning rate of the codec.")
    adversary: AdversaryConfig | None = knob(None, "Discriminators; null: none.")
    losses: dict[str, float] = knob(
        {"mel": 15.0, "adversarial": 1.0, "feature_matching": 2.0, "commitment": 0.25, "codebook": 1.0},
        f"Weight of each loss, 0 if absent: {', '.join((*WAVEFORM_LOSSES, *OTHER_LOSSES))}.",
    )
    mel_windows: tuple[PositiveInt, ...] = knob(MEL_WINDOWS, "Window lengths of the loss `mel`, in samples.")
    mel_bands: tuple[PositiveInt, ...] = knob(MEL_BANDS, "Mel bands of the loss `mel` for each window.")
    stft_windows: tuple[PositiveInt, ...] = knob(STFT_WINDOWS, "Window lengths of the loss `stft`, in samples.")
    balancer: bool = knob(False, "Weights of waveform losses are shares of the gradient at the waveform (EnCodec).")
    ema_decay: Annotated[float, Field(ge=0.0, lt=1.0)] = knob(
        0.0, "Decay of the running mean of the weights, which the checkpoint then holds; 0: none."
    )
    precision: Literal["float32", "bf16"] = knob(
        "float32", "`bf16`: layers compute in bfloat16 (autocast). Weights, lookups and losses are always float32."
    )
    compile: bool = knob(False, "Compile the codec with torch.compile.", resume_may_change=True)
    workers: NonNegativeInt = knob(0, "Processes that decode recordings in advance.", resume_may_change=True)
    on_collapse: Literal["stop", "warn"] = knob(
        "stop", "All codebooks use one code each for hundreds of steps: `stop`, or only `warn`.", resume_may_change=True
    )
    validation_clips: PositiveInt = knob(8, "Held-out recordings per validation.", resume_may_change=True)

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

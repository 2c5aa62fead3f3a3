"""Every key of the flow-matching detokenizer, and of its training."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from speech_eval.errors import BadInput
from speech_eval.reference_models.codec.config import TransformerConfig, VocosDecoder
from speech_eval.reference_models.codec.training_config import MEL_BANDS, MEL_WINDOWS, STFT_WINDOWS
from speech_eval.reference_models.speech_lm.sequence import CodecSection
from speech_eval.reference_models.training.config import OptimizerConfig, RunConfig, Section, knob

Share = Annotated[float, Field(ge=0.0, lt=1.0)]


class VelocitySection(Section):
    """The transformer that tells in which direction a noisy spectrogram moves (DiT, Peebles and Xie 2023)."""

    width: PositiveInt = knob(256, "Width of the hidden states.")
    layers: PositiveInt = knob(6, "Transformer layers.")
    heads: PositiveInt = knob(4, "Attention heads per layer.")
    mlp: PositiveInt = knob(768, "Width of the feed-forward layers.")
    block: PositiveInt = knob(10, "Frames that see each other; a stream is decoded in blocks of so many.")
    back: NonNegativeInt = knob(10, "Blocks before its own that a frame sees.")
    ahead: NonNegativeInt = knob(10, "Frames after its own whose codes a frame is told. A stream waits for them.")

    @property
    def context(self) -> int:
        """Frames of the attention window."""
        return (self.back + 1) * self.block


class FlowConfig(Section):
    """Codes are read by a causal transformer, whose frames condition the flow from noise to a mel spectrogram, which
    a Vocos head turns into sound."""

    type: Literal["flow"] = knob("flow", "A detokenizer by flow matching.")
    codec: CodecSection = knob(..., "The codec, as the recipe's part `codec` gives it.", filled_in=True)
    bands: PositiveInt = knob(80, "Mel bands of the spectrogram.")
    reader: TransformerConfig = knob(
        TransformerConfig(layers=2, heads=4, mlp=768, context=100, layer_scale=0.1), "The transformer that reads codes."
    )
    velocity: VelocitySection = knob(VelocitySection(), "The transformer of the flow.")
    vocoder: VocosDecoder = knob(VocosDecoder(), "Spectrogram to waveform. Its `hop` is the spectrogram's too.")

    @model_validator(mode="after")
    def _parts_fit(self) -> FlowConfig:
        if self.vocoder.n_fft != 4 * self.vocoder.hop:
            raise ValueError(f"vocoder.n_fft={self.vocoder.n_fft} must be four times hop={self.vocoder.hop}")
        if self.vocoder.transformer is not None:
            raise ValueError("vocoder.transformer: the Vocos head has none, so leave it out")
        for name, heads in (("velocity", self.velocity.heads), ("reader", self.reader.heads)):
            if self.velocity.width % (2 * heads):
                raise ValueError(
                    f"velocity.width={self.velocity.width}: {heads} heads of even size do not fit ({name})"
                )
        return self

    @property
    def hop(self) -> int:
        """Samples per frame."""
        return self.vocoder.hop

    @property
    def reach(self) -> int:
        """Frames to either side that the sound of a frame depends on: three for each convolution of the Vocos head, two
        by the overlap of its windows."""
        return 3 * (self.vocoder.blocks + 1) + 2

    @property
    def repeats(self) -> tuple[int, ...]:
        """Frames per code of each codebook. Raises `BadInput` for codes that do not last whole frames or blocks."""
        frame_rate = self.codec.sample_rate / self.hop
        found = [frame_rate / rate for rate in self.codec.frame_rates]
        if any(abs(each - round(each)) > 1e-6 or self.velocity.block % max(1, round(each)) for each in found):
            rates = ", ".join(f"{rate:g}" for rate in self.codec.frame_rates)
            raise BadInput(
                f"Codes at {rates} Hz do not fit frames of {frame_rate:g} Hz and blocks of {self.velocity.block}.",
                "Change model.vocoder.hop or model.velocity.block.",
            )
        return tuple(round(each) for each in found)


class FlowTrainingConfig(RunConfig):
    """How the detokenizer is trained: the flow on whole segments, the Vocos head on a part of each."""

    batch_size: PositiveInt = knob(6, "Segments per step and process.")
    segment_seconds: PositiveFloat = knob(2.0, "Length of a segment.")
    vocoder_seconds: PositiveFloat = knob(1.0, "Length of its part that the Vocos head learns from.")
    start_from_codec: bool = knob(
        False, "The Vocos head starts with the weights of the codec's own decoder, which must have its shapes."
    )
    unconditional: Share = knob(0.2, "Share of the segments whose codes are hidden, for classifier-free guidance.")
    optimizer: OptimizerConfig = knob(
        OptimizerConfig(learning_rate=1e-3, betas=(0.8, 0.99), schedule="cosine", clip_norm=100.0),
        "AdamW and its learning rate.",
    )
    losses: dict[Literal["flow", "mel", "stft"], float] = knob(
        {"flow": 1.0, "mel": 15.0, "stft": 1.0}, "Weights: `flow` of the velocity, `mel` and `stft` of the Vocos head."
    )
    mel_windows: tuple[PositiveInt, ...] = knob(MEL_WINDOWS, "Window lengths of the loss `mel`, in samples.")
    mel_bands: tuple[PositiveInt, ...] = knob(MEL_BANDS, "Mel bands of the loss `mel` for each window.")
    stft_windows: tuple[PositiveInt, ...] = knob(STFT_WINDOWS, "Window lengths of the loss `stft`, in samples.")
    ema_decay: Share = knob(0.99, "Decay of the running mean of the weights, which the checkpoint then holds.")
    precision: Literal["float32", "bf16"] = knob(
        "float32", "`bf16`: layers compute in bfloat16 (autocast). Weights and losses are always float32."
    )
    workers: NonNegativeInt = knob(0, "Processes that decode recordings in advance.", resume_may_change=True)
    validation_clips: PositiveInt = knob(8, "Held-out recordings per validation.", resume_may_change=True)

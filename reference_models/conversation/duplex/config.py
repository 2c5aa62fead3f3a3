"""What a duplex model is made of, and every key of its training."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from speech_eval.reference_models.speech_lm.core import DepthCore, LlamaCore
from speech_eval.reference_models.speech_lm.sequence import CodecSection
from speech_eval.reference_models.training.config import OptimizerConfig, RunConfig, Section, knob


class DuplexConfig(Section):
    """A transformer over frames of two channels, and a depth decoder for the agent's codes (Moshi)."""

    type: Literal["duplex"] = knob("duplex", "A model that listens and speaks at once.")
    core: LlamaCore = knob(
        LlamaCore(positions=512),
        "The transformer over frames; each frame sees the `positions` before it, itself included.",
    )
    depth: DepthCore = knob(DepthCore(share=1.0), "The transformer that writes the agent's codes after the text.")
    monologue: bool = knob(True, "Write the agent's words along its codes (inner monologue); else only padding.")
    pieces: Annotated[int, Field(ge=256)] = knob(512, "Pieces of words in the text vocabulary, the 256 bytes included.")
    acoustic_delay: NonNegativeInt = knob(1, "Frames by which the agent's acoustic codebooks are late.", le=250)
    text_delay: int = knob(
        0,
        "Frames by which words are written after their sound (recognition), or before it if negative (synthesis).",
        ge=-250,
        le=250,
    )
    codec: CodecSection = knob(
        CodecSection(spec=""), "The codec, as the recipe's part `codec` gives it.", filled_in=True
    )


class DuplexTrainingConfig(RunConfig):
    """How a duplex model is trained."""

    batch_size: PositiveInt = knob(4, "Dialogues per step and process.")
    sequence: PositiveInt = knob(375, "Frames per dialogue; a random part is cut out of a longer one.")
    optimizer: OptimizerConfig = knob(
        OptimizerConfig(learning_rate=3e-4, betas=(0.9, 0.95), weight_decay=0.1, schedule="cosine", clip_norm=1.0),
        "AdamW and its learning rate.",
    )
    semantic_weight: PositiveFloat = knob(
        100.0, "Weight of the agent's first codebook in the loss of the codes; each other codebook has 1."
    )
    pad_weight: NonNegativeFloat = knob(0.5, "Weight of padding in the loss of the text; words and EPAD have 1.")
    text_mask: Annotated[float, Field(ge=0.0, le=1.0)] = knob(0.0, "Share of the dialogues whose text is hidden.")
    user_mask: Annotated[float, Field(ge=0.0, lt=1.0)] = knob(
        0.0, "Share of the user's frames that are hidden, drawn per step, so that dialogues are not learned by heart."
    )
    delay_jitter: NonNegativeFloat = knob(
        0.0, "The text of each dialogue is shifted by up to so many seconds, either way, drawn per step."
    )
    precision: Literal["float32", "bf16"] = knob(
        "float32", "`bf16`: layers compute in bfloat16 (autocast). Weights are always float32."
    )
    validation_dialogues: NonNegativeInt = knob(16, "Held-out dialogues per validation.", resume_may_change=True)

"""Every key of the Talker, and of its training."""

from __future__ import annotations

from typing import Literal

from pydantic import NonNegativeInt, PositiveInt, model_validator

from speech_eval.reference_models.speech_lm.core import LlamaCore
from speech_eval.reference_models.speech_lm.sequence import CodecSection, SequenceConfig
from speech_eval.reference_models.training.config import OptimizerConfig, RunConfig, Section, knob


class ThinkerSection(Section):
    """The text LLM. It is read and never trained."""

    path: str = knob("asset:smollm2", "`asset:smollm2`, or hub name or directory of a text LLM with a chat template.")
    questions: tuple[str, ...] = knob(
        ("Tell me something.", "Go on.", "What did you see?"),
        "What the user says before the Thinker's text: training takes turns, texts to speak stand after the first.",
    )
    width: int = knob(0, "Width of its hidden states.", filled_in=True)
    weights_sha256: str = knob("", "Digest of its weights; the Talker refuses another Thinker.", filled_in=True)

    @model_validator(mode="after")
    def _asks(self) -> ThinkerSection:
        if not self.questions:
            raise ValueError("questions: give at least one")
        return self


class TalkerConfig(Section):
    """A causal transformer over codes, which is told the Thinker's hidden states and token embeddings on the way: the
    first `lead` tokens before the first code, then one token per `every` codes."""

    type: Literal["talker"] = knob("talker", "A Talker.")
    codec: CodecSection = knob(..., "The codec, as the recipe's part `codec` gives it.", filled_in=True)
    layout: Literal["flat", "interleaved"] = knob(
        "flat", "`flat`: one codebook. `interleaved`: all codebooks in one stream."
    )
    thinker: ThinkerSection = knob(ThinkerSection(), "The text LLM.")
    core: LlamaCore = knob(LlamaCore(positions=1024), "The transformer.")
    lead: PositiveInt = knob(4, "Tokens of text that are told before the first code.")
    every: PositiveInt = knob(6, "Codes per further token of text; text must be told faster than it is spoken.")

    @model_validator(mode="after")
    def _parts_fit(self) -> TalkerConfig:
        if self.core.text_stride is not None:
            raise ValueError("core.text_stride: a Talker's text stands beside its codes, so leave it out")
        return self

    @property
    def sequence(self) -> SequenceConfig:
        """The codes as a sequence."""
        return SequenceConfig(layout=self.layout, codec=self.codec)


class TalkerTrainingConfig(RunConfig):
    """How a Talker is trained."""

    batch_size: PositiveInt = knob(2, "Packed sequences per step and process.")
    sequence: PositiveInt = knob(1024, "Positions of a packed sequence.")
    optimizer: OptimizerConfig = knob(
        OptimizerConfig(
            learning_rate=1e-3, betas=(0.9, 0.95), weight_decay=0.01, schedule="cosine", final_share=0.1, clip_norm=1.0
        ),
        "AdamW and its learning rate.",
    )
    precision: Literal["float32", "bf16"] = knob(
        "float32", "`bf16`: layers compute in bfloat16 (autocast). Weights are always float32."
    )
    validation_packs: NonNegativeInt = knob(8, "Packed held-out sequences per validation.", resume_may_change=True)

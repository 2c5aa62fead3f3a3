"""The transformers that speech LMs are made of, as configuration."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from speech_eval.reference_models.training.config import Section, knob


class LlamaCore(Section):
    """A Llama of this shape, trained from scratch.

    With `text_stride`, text is positioned along the speech that follows it, so that attention need not search for the
    place in the text (the idea of VoiceStar's PM-RoPE, arXiv 2505.19462).
    """

    type: Literal["llama"] = knob("llama", "A Llama trained from scratch; `hub` extends a text LLM.")
    width: PositiveInt = knob(256, "Width of the hidden states.")
    layers: PositiveInt = knob(6, "Transformer layers.")
    heads: PositiveInt = knob(4, "Attention heads per layer.")
    kv_heads: PositiveInt | None = knob(None, "Heads of keys and values (grouped-query attention); null: as `heads`.")
    feed_forward: PositiveInt = knob(704, "Width of the feed-forward layers.")
    positions: PositiveInt = knob(2048, "Longest sequence that the model reads.")
    rope_theta: PositiveFloat = knob(10_000.0, "Base of the rotary position embedding.")
    text_stride: PositiveFloat | None = knob(
        None, "Rotary positions per text id, laid along the speech; null: text and speech count on in one row (LLaSA)."
    )
    tied: bool = knob(True, "Embedding and output head share one matrix.")


class DepthCore(Section):
    """The depth decoder: what writes the other slots of a position after the first."""

    width: PositiveInt = knob(128, "Width of the hidden states.")
    layers: PositiveInt = knob(2, "Transformer layers.")
    heads: PositiveInt = knob(4, "Attention heads per layer.")
    kv_heads: PositiveInt | None = knob(None, "Heads of keys and values; null: as `heads`.")
    feed_forward: PositiveInt = knob(384, "Width of the feed-forward layers.")
    share: Annotated[float, Field(gt=0.0, le=1.0)] = knob(
        1 / 16, "Share of the frames it is trained on, drawn per step."
    )


class DepthSection(DepthCore):
    """The depth decoder of the layout csm, beside which the backbone writes the first codebook."""

    weight: Annotated[float, Field(ge=0.0, le=1.0)] = knob(0.5, "Weight of its loss; the first codebook has the rest.")

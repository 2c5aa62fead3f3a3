"""What an audio LLM is made of. One `AudioLLMConfig` builds one model; recipes and checkpoints store it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from speech_eval.reference_models.training.config import Section, knob

Share = Annotated[float, Field(ge=0.0, lt=1.0)]


class EncoderSection(Section):
    """The speech encoder, always frozen: its features are computed once and stored."""

    spec: str = knob(
        "whisper-base",
        "`whisper-base`, `whisper-tiny.en`, or a directory or hub name of a Whisper, wav2vec 2.0, HuBERT, WavLM or "
        "w2v-BERT.",
    )
    layer: int = knob(-1, "Which of its hidden states; -1 is the last.")
    weights_sha256: str = knob("", "Digest of its weights; others give other features.", filled_in=True)


class FoldSection(Section):
    """Frames side by side, then an MLP."""

    fold: PositiveInt = knob(4, "Frames per position: 4 gives 12.5 Hz.")
    hidden: PositiveInt = knob(1024, "Width of the hidden layer.")


class MlpFoldSection(FoldSection):
    """Frames side by side, then an MLP (Voxtral)."""

    type: Literal["mlp-fold"] = knob("mlp-fold", "Frame folding and an MLP.")
    context: NonNegativeInt = knob(
        0, "Layers of convolution over five neighboring positions behind the hidden layer: a word is longer than one."
    )
    dropout: Share = knob(0.0, "Share of the hidden layer's numbers that are zero in a step of training.")


class StackSwigluSection(Section):
    """Frames side by side, RMS norm, SwiGLU (Ultravox)."""

    type: Literal["stack-swiglu"] = knob("stack-swiglu", "Stacking and SwiGLU.")
    stack: PositiveInt = knob(8, "Frames per position: 8 gives 6.25 Hz.")
    hidden: PositiveInt = knob(1024, "Width of the hidden layer.")


class QFormerSection(Section):
    """Queries that look at windows of frames (SALMONN, Granite)."""

    type: Literal["q-former"] = knob("q-former", "A Q-Former over windows.")
    window: PositiveInt = knob(15, "Frames per window: 15 are .3 s.")
    queries: PositiveInt = knob(3, "Positions per window.")
    layers: PositiveInt = knob(2, "Layers of attention and feed-forward.")
    width: PositiveInt = knob(384, "Width of the queries.")
    heads: PositiveInt = knob(6, "Attention heads.")


class HybridSection(FoldSection):
    """`mlp-fold` plus the embedding of a discrete semantic token per position (Kimi-Audio)."""

    type: Literal["hybrid"] = knob("hybrid", "Continuous features and discrete tokens.")
    codes: PositiveInt = knob(512, "Discrete tokens: centroids of the encoder's features.")


FusionSection = Annotated[
    MlpFoldSection | StackSwigluSection | QFormerSection | HybridSection, Field(discriminator="type")
]


class CTCSection(Section):
    """A CTC head over the LLM's own embeddings, for the stage that learns to listen without the LLM."""

    soft: bool = knob(
        True,
        "The LLM gets the soft embedding of each token that the head hears, and no position for a blank; false: it "
        "gets what the fusion gives, and the head serves to align.",
    )
    spelled: bool = knob(
        False,
        "A token is found by its letters too: embeddings of its pieces of one to three letters, which learn, are added "
        "to the LLM's, so that tokens that are written alike are heard alike.",
    )


class LLMSection(Section):
    """The text language model."""

    spec: str = knob("smollm2", "`smollm2`, or a directory or hub name of a causal language model of transformers.")
    revision: str | None = knob(None, "Its revision on the hub; null: the newest.")
    weights_sha256: str = knob("", "Digest of its weights.", filled_in=True)


class LoRASection(Section):
    """Low-rank adaptation of the LLM."""

    type: Literal["lora"] = knob("lora", "Low-rank adaptation.")
    rank: PositiveInt = knob(8, "Rank.")
    alpha: PositiveFloat = knob(16.0, "Scale, divided by the rank.")
    targets: tuple[str, ...] = knob(("q_proj", "v_proj"), "Names of the linear layers that it is put beside.")
    gated: bool = knob(
        True, "Off in conversations without audio, which then get the base LLM's numbers bit for bit (Granite Speech)."
    )


class LastLayersSection(Section):
    """The last layers of the LLM learn, and its output head."""

    type: Literal["last-layers"] = knob("last-layers", "Full training of the last layers.")
    layers: PositiveInt = knob(8, "Number of layers.")
    head: bool = knob(True, "The output head learns too, apart from the embedding that it shared.")


class FullSection(Section):
    """The whole LLM learns."""

    type: Literal["full"] = knob("full", "Full training.")


AdaptSection = Annotated[LoRASection | LastLayersSection | FullSection, Field(discriminator="type")]


class PromptSection(Section):
    """How the LLM is asked to transcribe. `<|audio|>` is the place of the recording."""

    ask: str = knob("Repeat this:<|audio|>", "What the user says.")
    examples: tuple[str, ...] = knob(
        (
            "The weather is nice today.",
            "She bought three apples and a loaf of bread.",
            "Where did you put my keys?",
            "Please hold the line, someone will be with you shortly.",
        ),
        "Sentences that are repeated, as text, in turns before it. A small frozen LLM needs them to copy; their keys "
        "and values are computed once.",
    )

    @model_validator(mode="after")
    def _has_place(self) -> PromptSection:
        if self.ask.count("<|audio|>") != 1:
            raise ValueError("ask: one recording needs one <|audio|>")
        return self


class AudioLLMConfig(Section):
    """`encoder` → `fusion` → (`ctc`) → `llm`, in the place that the prompt holds for the recording."""

    encoder: EncoderSection = knob(EncoderSection(), "The speech encoder.")
    fusion: FusionSection = knob(MlpFoldSection(), "What joins encoder and LLM.")
    ctc: CTCSection | None = knob(None, "CTC over the LLM's own tokens; null: none.")
    llm: LLMSection = knob(LLMSection(), "The text language model.")
    adapt: AdaptSection | None = knob(None, "What of the LLM may learn; null: nothing.")
    prompt: PromptSection = knob(PromptSection(), "How it is asked to transcribe.")
    longest_seconds: PositiveFloat = knob(30.0, "Longest recording that it takes.")

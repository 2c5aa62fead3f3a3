"""What a speech LM is made of. One `TTSConfig` builds one model; recipes and checkpoints store it as plain data."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt, model_validator

from speech_eval.reference_models.speech_lm.core import DepthSection, LlamaCore
from speech_eval.reference_models.speech_lm.sequence import SequenceConfig
from speech_eval.reference_models.training.config import Section, knob


class HubCore(Section):
    """A text LLM whose embedding and head are extended by speech tokens."""

    type: Literal["hub"] = knob("hub", "A text LLM of transformers; `llama` trains one from scratch.")
    name: str = knob(..., "Hub name or directory of the text LLM.")
    revision: str | None = knob(None, "Its revision on the hub; null: the newest.")
    positions: PositiveInt = knob(2048, "Longest sequence that the model reads.")
    family: Literal["llasa", "orpheus", "neutts"] | None = knob(
        None, "The published speech LM whose tokens it has: it keeps them, and gets no others.", filled_in=True
    )
    architecture: dict[str, Any] | None = knob(
        None, "The LLM's configuration, so that loading a checkpoint needs no hub.", filled_in=True
    )


class TTSConfig(SequenceConfig):
    """A sequence layout and the transformer that learns it."""

    core: Annotated[LlamaCore | HubCore, Field(discriminator="type")] = knob(LlamaCore(), "The transformer.")
    depth: DepthSection | None = knob(None, "The depth decoder; for the layout csm only.")
    one_voice: bool = knob(False, "Learned from a single speaker, so voice prompts are ignored.", filled_in=True)
    vocabulary: str = knob("", "Digest of the table of ids, checked when a checkpoint is loaded.", filled_in=True)

    @model_validator(mode="after")
    def _parts_fit(self) -> TTSConfig:
        if (self.layout == "csm") != (self.depth is not None):
            raise ValueError("`depth` belongs to the layout csm, and to no other")
        reads_phonemes = isinstance(self.core, HubCore) and self.core.family == "neutts"
        if (self.frontend == "tokenizer") != (isinstance(self.core, HubCore) and not reads_phonemes):
            raise ValueError("the frontend `tokenizer` belongs to a core of type hub, and to no other")
        if self.in_rows and isinstance(self.core, HubCore):
            raise ValueError(f"the layout {self.layout} is trained from scratch: use a core of type llama")
        if self.in_rows and isinstance(self.core, LlamaCore) and self.core.text_stride is not None:
            raise ValueError(f"core.text_stride: in the layout {self.layout} text and speech do not share a stream")
        return self

"""What a contextual speech LM is made of: the layout csm, over turns."""

from __future__ import annotations

from typing import Literal

from speech_eval.reference_models.training.config import knob
from speech_eval.reference_models.tts.config import TTSConfig


class ContextConfig(TTSConfig):
    """A speech LM of the layout csm that learns conversations: turns of both speakers, text and sound in turn."""

    type: Literal["csm-context"] = knob("csm-context", "Contextual text-to-speech.")

    def speech_lm(self) -> TTSConfig:
        """The speech LM alone."""
        return TTSConfig.model_validate(self.model_dump(exclude={"type"}))

"""The public face of speech-eval: plug-ins and notebooks import from here alone."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

# Types for checkers and editors. At run time each name is loaded on first use, by the table below.
if TYPE_CHECKING:
    from speech_eval.adapters.base import (  # noqa: I001
        Adapter as Adapter,
        AudioCodec as AudioCodec,
        AudioLanguageModel as AudioLanguageModel,
        ChatReply as ChatReply,
        ChatRequest as ChatRequest,
        Codes as Codes,
        DuplexAgent as DuplexAgent,
        SpeechRecognizer as SpeechRecognizer,
        SpeechSynthesizer as SpeechSynthesizer,
        SynthesisRequest as SynthesisRequest,
        TranscriptionRequest as TranscriptionRequest,
    )
    from speech_eval.audio import Audio as Audio
    from speech_eval.engine.task import Task as Task
    from speech_eval.metrics.base import (
        Metric as Metric,
        ScoringItem as ScoringItem,
        Summary as Summary,
        Unscorable as Unscorable,
        Value as Value,
    )
    from speech_eval.records import ModelInfo as ModelInfo, Sample as Sample
    from speech_eval.registry import (
        register_adapter as register_adapter,
        register_metric as register_metric,
        register_task as register_task,
    )

__version__ = "0.1.0"

_PUBLIC = {
    "Adapter": "speech_eval.adapters.base",
    "SpeechRecognizer": "speech_eval.adapters.base",
    "SpeechSynthesizer": "speech_eval.adapters.base",
    "AudioLanguageModel": "speech_eval.adapters.base",
    "AudioCodec": "speech_eval.adapters.base",
    "DuplexAgent": "speech_eval.adapters.base",
    "TranscriptionRequest": "speech_eval.adapters.base",
    "SynthesisRequest": "speech_eval.adapters.base",
    "ChatRequest": "speech_eval.adapters.base",
    "ChatReply": "speech_eval.adapters.base",
    "Codes": "speech_eval.adapters.base",
    "Audio": "speech_eval.audio",
    "Metric": "speech_eval.metrics.base",
    "Summary": "speech_eval.metrics.base",
    "ScoringItem": "speech_eval.metrics.base",
    "Unscorable": "speech_eval.metrics.base",
    "Value": "speech_eval.metrics.base",
    "ModelInfo": "speech_eval.records",
    "Sample": "speech_eval.records",
    "Task": "speech_eval.engine.task",
    "register_adapter": "speech_eval.registry",
    "register_metric": "speech_eval.registry",
    "register_task": "speech_eval.registry",
}

__all__ = [*_PUBLIC, "__version__"]


def __getattr__(name: str) -> Any:
    """Load a public name on first use, so that importing `speech_eval` costs nothing."""
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'speech_eval' has no attribute '{name}'")

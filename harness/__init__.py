"""The public face of speech-eval: whoever writes a plug-in imports from here alone."""

from __future__ import annotations

import importlib
from typing import Any

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
    "Variant": "speech_eval.engine.task",
    "Strategy": "speech_eval.engine.generate.strategy",
    "Answer": "speech_eval.engine.generate.answer",
    "Timed": "speech_eval.engine.generate.timed",
    "DepthSweep": "speech_eval.engine.generate.depth_sweep",
    "Imported": "speech_eval.engine.generate.strategy",
    "SpeechProbability": "speech_eval.engine.generate.speech_probability",
    "register_adapter": "speech_eval.adapters.catalog",
    "register_metric": "speech_eval.metrics.catalog",
    "register_task": "speech_eval.engine.task",
    "register_group": "speech_eval.engine.task",
}

__all__ = [*_PUBLIC, "__version__"]


def __getattr__(name: str) -> Any:
    """Load a public name on first use, so that importing `speech_eval` costs nothing."""
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'speech_eval' has no attribute '{name}'")

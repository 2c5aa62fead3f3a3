"""The public face of speech-eval: whoever writes a plug-in imports from here alone."""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "Adapter": "harness.adapters.base",
    "SpeechRecognizer": "harness.adapters.base",
    "SpeechSynthesizer": "harness.adapters.base",
    "AudioLanguageModel": "harness.adapters.base",
    "AudioCodec": "harness.adapters.base",
    "DuplexAgent": "harness.adapters.base",
    "TranscriptionRequest": "harness.adapters.base",
    "SynthesisRequest": "harness.adapters.base",
    "ChatRequest": "harness.adapters.base",
    "ChatReply": "harness.adapters.base",
    "Codes": "harness.adapters.base",
    "Audio": "harness.audio",
    "Metric": "harness.metrics.base",
    "Summary": "harness.metrics.base",
    "ScoringItem": "harness.metrics.base",
    "Unscorable": "harness.metrics.base",
    "Value": "harness.metrics.base",
    "ModelInfo": "harness.types",
    "Sample": "harness.types",
    "Task": "harness.task",
    "register_adapter": "harness.registry",
    "register_metric": "harness.registry",
    "register_task": "harness.registry",
}

__all__ = [*_PUBLIC, "__version__"]


def __getattr__(name: str) -> Any:
    """Load a public name on first use, so that importing `harness` costs nothing."""
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'harness' has no attribute '{name}'")

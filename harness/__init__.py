"""The Python API: evaluate models, read and compare runs, and write adapters, tasks and metrics.

    from speech_eval import compare, evaluate

    run = evaluate("whisper-base", "asr", limit=40)
    run.results, run.frame(), run.samples("asr")
    compare(run, "runs/whisper-tiny.en")

Names in `__all__` are public; other modules are internal and may move.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from speech_eval.adapters.base import (
        Adapter,
        AudioCodec,
        AudioLanguageModel,
        ChatReply,
        ChatRequest,
        Codes,
        DuplexAgent,
        Speech,
        SpeechRecognizer,
        SpeechSynthesizer,
        SynthesisRequest,
        TranscriptionRequest,
    )
    from speech_eval.api.data import check_data, fetch_data
    from speech_eval.api.doctor import doctor
    from speech_eval.api.evaluate import evaluate, evaluate_all
    from speech_eval.api.judging import calibrate, compare, gate, selftest
    from speech_eval.api.listing import list_data, list_metrics, list_models, list_tasks
    from speech_eval.api.run import Run, load_run
    from speech_eval.api.scoring import report, score, score_records, verify
    from speech_eval.audio import Audio
    from speech_eval.datasets import load_dataset
    from speech_eval.engine.task import Task
    from speech_eval.errors import SpeechEvalError
    from speech_eval.leaderboard.build import build as build_leaderboard
    from speech_eval.metrics.base import Metric, ScoringItem, Summary, Unscorable, Value
    from speech_eval.records import ModelInfo, Sample
    from speech_eval.reference_models.recipes.reproduce import reproduce, train
    from speech_eval.registry import register_adapter, register_metric, register_task
else:
    # `speech_eval.gate` is the public function. The folder of that name is loaded here so that a later import of one of
    # its modules does not set the attribute again; `from speech_eval.gate.rules import …` works all the same.
    importlib.import_module("speech_eval.gate")
    del gate

__version__ = "0.1.0"

# The same names for the interpreter: each is imported on first use, so that `import speech_eval` costs nothing.
_PUBLIC = {
    name: f"speech_eval.{module}"
    for module, names in {
        "adapters.base": (
            "Adapter AudioCodec AudioLanguageModel ChatReply ChatRequest Codes DuplexAgent Speech SpeechRecognizer "
            "SpeechSynthesizer SynthesisRequest TranscriptionRequest"
        ),
        "api.data": "check_data fetch_data",
        "api.doctor": "doctor",
        "api.evaluate": "evaluate evaluate_all",
        "api.judging": "calibrate compare gate selftest",
        "api.listing": "list_data list_metrics list_models list_tasks",
        "api.run": "Run load_run",
        "api.scoring": "report score score_records verify",
        "audio": "Audio",
        "datasets": "load_dataset",
        "engine.task": "Task",
        "errors": "SpeechEvalError",
        "leaderboard.build": "build_leaderboard",
        "metrics.base": "Metric ScoringItem Summary Unscorable Value",
        "records": "ModelInfo Sample",
        "reference_models.recipes.reproduce": "reproduce train",
        "registry": "register_adapter register_metric register_task",
    }.items()
    for name in names.split()
}
_DEFINED_AS = {"build_leaderboard": "build"}

__all__ = [*sorted(_PUBLIC), "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'speech_eval' has no attribute '{name}'")
    value = getattr(importlib.import_module(_PUBLIC[name]), _DEFINED_AS.get(name, name))
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__

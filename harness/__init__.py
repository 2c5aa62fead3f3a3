"""The Python API: evaluate models, read and compare runs, and write adapters, tasks and metrics.

    from speech_eval import compare, evaluate

    run = evaluate("whisper-base", "asr", limit=40)
    run.results, run.frame(), run.samples("asr")
    compare(run, "runs/whisper-tiny.en")

Names in `__all__` are public, and the modules that docs/api.md names for authors of packages. Others may move.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from speech_eval.adapters.base import Adapter as Adapter
    from speech_eval.adapters.base import AudioCodec as AudioCodec
    from speech_eval.adapters.base import AudioLanguageModel as AudioLanguageModel
    from speech_eval.adapters.base import ChatReply as ChatReply
    from speech_eval.adapters.base import ChatRequest as ChatRequest
    from speech_eval.adapters.base import Codes as Codes
    from speech_eval.adapters.base import DuplexAgent as DuplexAgent
    from speech_eval.adapters.base import Speech as Speech
    from speech_eval.adapters.base import SpeechRecognizer as SpeechRecognizer
    from speech_eval.adapters.base import SpeechSynthesizer as SpeechSynthesizer
    from speech_eval.adapters.base import SynthesisRequest as SynthesisRequest
    from speech_eval.adapters.base import TranscriptionRequest as TranscriptionRequest
    from speech_eval.adapters.catalog import register_adapter as register_adapter
    from speech_eval.api.data import check_data as check_data
    from speech_eval.api.data import fetch_data as fetch_data
    from speech_eval.api.data import prepare_data as prepare_data
    from speech_eval.api.doctor import doctor as doctor
    from speech_eval.api.evaluate import evaluate as evaluate
    from speech_eval.api.evaluate import evaluate_all as evaluate_all
    from speech_eval.api.judging import calibrate as calibrate
    from speech_eval.api.judging import compare as compare
    from speech_eval.api.judging import gate as gate
    from speech_eval.api.judging import save_baseline as save_baseline
    from speech_eval.api.judging import selftest as selftest
    from speech_eval.api.judging import show_baseline as show_baseline
    from speech_eval.api.judging import update_baseline as update_baseline
    from speech_eval.api.leaderboard import build_leaderboard as build_leaderboard
    from speech_eval.api.leaderboard import serve_leaderboard as serve_leaderboard
    from speech_eval.api.listening import build_listening_test as build_listening_test
    from speech_eval.api.listening import import_answers as import_answers
    from speech_eval.api.listening import listening_report as listening_report
    from speech_eval.api.listening import rater_power as rater_power
    from speech_eval.api.listening import serve_listening_test as serve_listening_test
    from speech_eval.api.listing import list_data as list_data
    from speech_eval.api.listing import list_metrics as list_metrics
    from speech_eval.api.listing import list_models as list_models
    from speech_eval.api.listing import list_tasks as list_tasks
    from speech_eval.api.power import power as power
    from speech_eval.api.run import Run as Run
    from speech_eval.api.run import load_run as load_run
    from speech_eval.api.scoring import report as report
    from speech_eval.api.scoring import score as score
    from speech_eval.api.scoring import score_records as score_records
    from speech_eval.api.scoring import slices as slices
    from speech_eval.api.scoring import verify as verify
    from speech_eval.api.training import best_of as best_of
    from speech_eval.api.training import describe_recipe as describe_recipe
    from speech_eval.api.training import export as export
    from speech_eval.api.training import list_recipes as list_recipes
    from speech_eval.api.training import reproduce as reproduce
    from speech_eval.api.training import train as train
    from speech_eval.audio import Audio as Audio
    from speech_eval.datasets import load_dataset as load_dataset
    from speech_eval.engine.generate.answer import Answer as Answer
    from speech_eval.engine.generate.depth_sweep import DepthSweep as DepthSweep
    from speech_eval.engine.generate.question import Question as Question
    from speech_eval.engine.generate.speech_probability import SpeechProbability as SpeechProbability
    from speech_eval.engine.generate.strategy import Batched as Batched
    from speech_eval.engine.generate.strategy import Imported as Imported
    from speech_eval.engine.generate.strategy import Strategy as Strategy
    from speech_eval.engine.generate.timed import Timed as Timed
    from speech_eval.engine.task import Task as Task
    from speech_eval.engine.task import Variant as Variant
    from speech_eval.engine.task import register_group as register_group
    from speech_eval.engine.task import register_task as register_task
    from speech_eval.errors import SpeechEvalError as SpeechEvalError
    from speech_eval.metrics.base import BadData as BadData
    from speech_eval.metrics.base import Metric as Metric
    from speech_eval.metrics.base import ScoringItem as ScoringItem
    from speech_eval.metrics.base import Summary as Summary
    from speech_eval.metrics.base import Unscorable as Unscorable
    from speech_eval.metrics.base import Value as Value
    from speech_eval.metrics.catalog import register_metric as register_metric
    from speech_eval.records import ModelInfo as ModelInfo
    from speech_eval.records import Sample as Sample
else:
    # `speech_eval.gate` is the public function. The folder of that name is loaded here so that a later import of one of
    # its modules does not set the attribute again; `from speech_eval.gate.rules import …` works all the same.
    importlib.import_module("speech_eval.gate")
    del gate

__version__ = "0.2.0.dev0"

# The same names for the interpreter: each is imported on first use, so that `import speech_eval` costs nothing.
_PUBLIC = {
    name: f"speech_eval.{module}"
    for module, names in {
        "adapters.catalog": "register_adapter",
        "adapters.base": (
            "Adapter AudioCodec AudioLanguageModel ChatReply ChatRequest Codes DuplexAgent Speech SpeechRecognizer "
            "SpeechSynthesizer SynthesisRequest TranscriptionRequest"
        ),
        "api.data": "check_data fetch_data prepare_data",
        "api.doctor": "doctor",
        "api.evaluate": "evaluate evaluate_all",
        "api.judging": "calibrate compare gate save_baseline selftest show_baseline update_baseline",
        "api.leaderboard": "build_leaderboard serve_leaderboard",
        "api.listening": "build_listening_test import_answers listening_report rater_power serve_listening_test",
        "api.listing": "list_data list_metrics list_models list_tasks",
        "api.power": "power",
        "api.run": "Run load_run",
        "api.scoring": "report score score_records slices verify",
        "api.training": "best_of describe_recipe export list_recipes reproduce train",
        "audio": "Audio",
        "datasets": "load_dataset",
        "engine.generate.answer": "Answer",
        "engine.generate.question": "Question",
        "engine.generate.depth_sweep": "DepthSweep",
        "engine.generate.speech_probability": "SpeechProbability",
        "engine.generate.strategy": "Batched Imported Strategy",
        "engine.generate.timed": "Timed",
        "engine.task": "Task Variant register_group register_task",
        "errors": "SpeechEvalError",
        "metrics.base": "BadData Metric ScoringItem Summary Unscorable Value",
        "metrics.catalog": "register_metric",
        "records": "ModelInfo Sample",
    }.items()
    for name in names.split()
}

__all__ = [*sorted(_PUBLIC), "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'speech_eval' has no attribute '{name}'")
    value = getattr(importlib.import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__

"""The card of a trained speech LM: its model, codec, training and data, and what went wrong."""

from __future__ import annotations

from typing import Any

from speech_eval import __version__
from speech_eval.reference_models.data.card import data_facts, license_of
from speech_eval.reference_models.data.corpus import Corpus
from speech_eval.reference_models.training.card import training_facts
from speech_eval.reference_models.tts.building import TokenLM
from speech_eval.reference_models.tts.training_config import TTSTrainingConfig


def card(
    name: str,
    model: TokenLM,
    training: TTSTrainingConfig,
    corpus: Corpus,
    shards: dict[str, Any],
    log: Any,
    overfit: bool,
) -> dict[str, Any]:
    """Plain data. `shards` is their summary, `log` a `tts.train.TTSLog`."""
    config, recordings = model.config, data_facts(corpus)
    found: dict[str, Any] = {
        "name": name,
        "description": f"A speech language model of layout {config.layout} over the codes of a codec, "
        f"trained by speech-eval {__version__}." + (" Overfitted to one batch: a check, not a model." * overfit),
        "language": list(config.languages) or [config.language],
        "model": {
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "layout": config.layout,
            "frontend": config.frontend,
            "steps_per_second": config.steps_per_second,
            "vocabulary": model.tokenizer.vocabulary.digest[:16],
        },
        "codec": config.codec.model_dump(mode="json"),
        "training": training_facts(training, log) | {"tokens": log.tokens, "text_replay": training.text_replay},
        "data": recordings | {"shards": shards["splits"]},
        "packing": log.packing,
        "heard_before_training": {key: value for key, value in log.check.items() if key != "heard"},
        "trouble": {
            "left_out": len(shards["passed_over"]),
            "too_long": log.packing.get("too_long", 0),
            "steps_not_finite": log.bad_steps,
        },
        **license_of(recordings),
    }
    if log.validation:
        found["validation"] = log.validation
    return found

"""The card of a trained speech LM: what it is, what it was trained on and for how long, how it did, what went wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from speech_eval import __version__
from speech_eval.environment import hardware, installed
from speech_eval.reference_models.codec.card import license_of, prepared_from
from speech_eval.reference_models.tts.building import TokenLM
from speech_eval.reference_models.tts.training_config import TTSTrainingConfig


def card(
    name: str, model: TokenLM, training: TTSTrainingConfig, data: Path, shards: dict[str, Any], log: Any, overfit: bool
) -> dict[str, Any]:
    """Plain data; `shards` is their summary, `log` the training's."""
    machine, config = hardware(), model.config
    found: dict[str, Any] = {
        "name": name,
        "description": f"A speech language model of layout {config.layout} over the codes of a codec, "
        f"trained by speech-eval {__version__}." + (" Overfitted to one batch: a check, not a model." * overfit),
        "language": config.language,
        "model": {
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "layout": config.layout,
            "frontend": config.frontend,
            "steps_per_second": config.steps_per_second,
            "vocabulary": model.vocabulary.digest[:16],
        },
        "codec": config.codec.model_dump(mode="json"),
        "training": {
            "steps": log.step,
            "of": training.steps,
            "tokens": log.tokens,
            "wall_seconds": round(log.seconds),
            "seed": training.seed,
            "text_replay": training.text_replay,
            "hardware": ", ".join(machine.gpus) or f"{machine.processor}, {machine.cores} cores",
            "torch": installed("torch"),
        },
        "data": {"folder": data.resolve().name, "shards": shards["splits"], **prepared_from(data)},
        "packing": log.packing,
        "heard_before_training": {key: value for key, value in log.check.items() if key != "heard"},
        "trouble": {"passed_over": len(shards["passed_over"]), "steps_not_finite": log.bad_steps},
    }
    if license := license_of(found["data"].get("licenses", {})):
        found["license"] = license
    if log.validation:
        found["validation"] = log.validation
    return found

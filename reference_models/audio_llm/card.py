"""The card of a trained audio LLM: its model, training, data, and what it heard."""

from __future__ import annotations

from typing import Any

from speech_eval import __version__
from speech_eval.reference_models.audio_llm.features import FeatureStore
from speech_eval.reference_models.audio_llm.model import AudioLLM
from speech_eval.reference_models.audio_llm.training_config import AudioTrainingConfig
from speech_eval.reference_models.data.card import data_facts, license_of
from speech_eval.reference_models.data.corpus import Corpus
from speech_eval.reference_models.training.card import training_facts


def card(
    name: str,
    model: AudioLLM,
    training: AudioTrainingConfig,
    store: FeatureStore,
    corpus: Corpus | None,
    log: Any,
    overfit: bool,
) -> dict[str, Any]:
    """Plain data. `store` is what was trained on, `log` an `audio_llm.train.AudioLog`."""
    config, recordings = model.config, {} if corpus is None else data_facts(corpus)
    languages = sorted({row.line["language"] for row in store.rows})
    found: dict[str, Any] = {
        "name": name,
        "description": f"{config.encoder.spec} and {config.llm.spec}, joined by a fusion of type {config.fusion.type}; "
        f"trained by speech-eval {__version__}." + (" Overfitted to one batch: a check, not a model." * overfit),
        "language": languages,
        "model": {
            "encoder": config.encoder.spec,
            "fusion": config.fusion.type,
            "llm": config.llm.spec,
            "llm_license": model.text.license,
            "adapt": "none" if config.adapt is None else config.adapt.type,
            "parameters_learned": sum(tensor.numel() for tensor in model.learned().state_dict().values()),
        },
        "training": training_facts(training, log) | {"utterances": log.utterances},
        "stages": log.stages,
        "data": recordings
        | {
            "utterances": len(store),
            "hours": round(float(store.lengths.sum()) / 50 / 3600, 2),
            "features": store.plan["data"],
        },
        "trouble": {"steps_not_finite": log.bad_steps},
        **license_of(recordings),
    }
    if log.validation:
        found["validation"] = log.validation
    return found

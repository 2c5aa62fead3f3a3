"""The card of a trained codec: what it is, what it was trained on and for how long, how it did, what went wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from speech_eval import __version__
from speech_eval.environment import hardware, installed
from speech_eval.reference_models.codec.model import Codec
from speech_eval.reference_models.codec.training_config import TrainingConfig


def card(
    name: str,
    codec: Codec,
    training: TrainingConfig,
    data: Path,
    *,
    hours: float,
    log: Any,
    validation: dict[str, Any],
    overfit: bool,
) -> dict[str, Any]:
    """Plain data; `log` is the training's, `validation` what its last run gave."""
    machine = hardware()
    found: dict[str, Any] = {
        "name": name,
        "description": f"A neural audio codec at {codec.config.sample_rate} Hz, {codec.bitrate / 1000:g} kbit/s, "
        f"trained by speech-eval {__version__}." + (" Overfitted to one batch: a check, not a model." * overfit),
        "codec": {
            "parameters": sum(parameter.numel() for parameter in codec.parameters()),
            "bits_per_second": codec.bitrate,
            "codebook_sizes": codec.codebook_sizes,
            "frame_rates": codec.frame_rates,
            "causal": codec.config.causal,
        },
        "training": {
            "steps": log.step,
            "of": training.steps,
            "audio_hours": round(log.audio_seconds / 3600, 3),
            "wall_seconds": round(log.seconds),
            "seed": training.seed,
            "hardware": ", ".join(machine.gpus) or f"{machine.processor}, {machine.cores} cores",
            "torch": installed("torch"),
        },
        "losses": {loss: weight or "off" for loss, weight in training.weights().items()},
        "data": {"folder": data.resolve().name, "hours_of_training_speech": round(hours, 3), **prepared_from(data)},
        "trouble": {**log.counts(), "clips": sorted(log.bad_clips), "steps": log.bad_steps},
    }
    if license := license_of(found["data"].get("licenses", {})):
        found["license"] = license
    if validation:
        kept = {key: value for key, value in validation.items() if key != "codebooks"}
        found["validation"] = kept
        found["codebooks"] = validation["codebooks"]
    return found


def license_of(licenses: dict[str, str]) -> str:
    """The most demanding license of the recordings, which weights learned from them keep to; empty where unknown."""
    return max(licenses.values(), key=lambda name: ("SA" in name, "BY" in name), default="").lower()


def prepared_from(data: Path) -> dict[str, Any]:
    """What `speech-eval data prepare` left about the folder; nothing for other folders."""
    file = data / "prepared.json"
    if not file.is_file():
        return {}
    prepared = json.loads(file.read_text("utf-8"))
    return {"sources": prepared["plan"]["sources"], "licenses": prepared["licenses"]}

"""What the cards of all stacks state of the training."""

from __future__ import annotations

from typing import Any

from speech_eval.environment import hardware, installed
from speech_eval.reference_models.training.config import RunConfig
from speech_eval.reference_models.training.log import RunLog


def training_facts(config: RunConfig, log: RunLog) -> dict[str, Any]:
    """Steps, time, seed and machine of a training."""
    machine = hardware()
    return {
        "steps": log.step,
        "of": config.steps,
        "wall_seconds": round(log.seconds),
        "seed": config.seed,
        "hardware": ", ".join(machine.gpus) or f"{machine.processor}, {machine.cores} cores",
        "torch": installed("torch"),
    }

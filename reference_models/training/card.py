"""What the cards of all stacks state: the training, the data it learned from, and the license that follows."""

from __future__ import annotations

import json
from pathlib import Path
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


def data_facts(folder: Path) -> dict[str, Any]:
    """The folder's name, and the sources and licenses that `speech-eval data prepare` recorded in it."""
    file = folder / "prepared.json"
    facts: dict[str, Any] = {"folder": folder.resolve().name}
    if file.is_file():
        prepared = json.loads(file.read_text("utf-8"))
        facts |= {"sources": prepared["plan"]["sources"], "licenses": prepared["licenses"]}
    return facts


def license_of(data: dict[str, Any]) -> dict[str, str]:
    """`{"license": …}`: the most demanding license of the recordings, which the weights inherit; empty if unknown."""
    licenses = data.get("licenses", {}).values()
    strictest = max(licenses, key=lambda name: ("SA" in name, "BY" in name), default="").lower()
    return {"license": strictest} if strictest else {}

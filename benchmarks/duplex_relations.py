"""What inner monologue and the acoustic delay are worth: held-out nats of small duplex models that differ in one key.

    python benchmarks/duplex_relations.py CHECKPOINT DATA --steps 300

CHECKPOINT is a duplex model that was trained on DATA; its dialogues as codes are used again. Each variant has the same
steps, seed and dialogues. Printed: nats per frame of the agent's first codebook, per code of the others, and per piece
of a word; those of the codes together are what the variant pays for a frame.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from speech_eval.reference_models.conversation.duplex.config import DuplexConfig, DuplexTrainingConfig
from speech_eval.reference_models.conversation.duplex.train import SHARDS, DuplexTrainer
from speech_eval.reference_models.data.corpus import Corpus, open_corpus
from speech_eval.reference_models.training.checkpoint import read_description

VARIANTS: dict[str, dict[str, Any]] = {
    "delay 1, monologue": {},
    "delay 1, no monologue": {"monologue": False},
    "delay 0, monologue": {"acoustic_delay": 0},
    "delay 2, monologue": {"acoustic_delay": 2},
}
CORE = {"width": 96, "layers": 2, "heads": 2, "feed_forward": 256, "positions": 256}
DEPTH = {"width": 64, "layers": 1, "heads": 2, "feed_forward": 128, "share": 0.5}


@contextmanager
def trained(changes: dict[str, Any], source: Path, corpus: Corpus, steps: int, seed: int) -> Iterator[DuplexTrainer]:
    """A variant after its training; its folder is gone afterwards."""
    codec = read_description(source)["config"]["codec"]
    config = DuplexConfig.model_validate({"core": CORE, "depth": DEPTH, "pieces": 320, "codec": codec, **changes})
    training = DuplexTrainingConfig.model_validate(
        {
            "steps": steps,
            "seed": seed,
            "batch_size": 4,
            "sequence": 256,
            "semantic_weight": 5.0,
            "optimizer": {"learning_rate": 3e-3, "betas": [0.9, 0.95], "schedule": "cosine", "warmup_steps": 20},
            "validate_every": steps,
            "validation_dialogues": 1000,
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(source / SHARDS, Path(folder) / SHARDS)
        trainer = DuplexTrainer(
            config, training, corpus, Path(folder), name="variant", overfit=False, say=lambda _: None
        )
        trainer.loop.start(resume=False)
        trainer.run()
        yield trainer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    corpus = open_corpus(given.data, given.checkpoint)
    for name, changes in VARIANTS.items():
        with trained(changes, given.checkpoint, corpus, given.steps, given.seed) as trainer:
            nats = {kind: round(value, 4) for kind, value in trainer.log.validation.items() if kind != "step"}
        print(json.dumps({"variant": name, **nats}), flush=True)


if __name__ == "__main__":
    main()

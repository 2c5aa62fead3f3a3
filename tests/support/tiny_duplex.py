"""A causal codec with random weights, dialogues of noise with words, and the smallest duplex model, for tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

torch = pytest.importorskip("torch")

from speech_eval.reference_models.codec.config import CodecConfig  # noqa: E402
from speech_eval.reference_models.codec.model import Codec  # noqa: E402
from speech_eval.reference_models.conversation.duplex.config import DuplexConfig  # noqa: E402
from speech_eval.reference_models.conversation.duplex.model import DuplexLM  # noqa: E402
from speech_eval.reference_models.recipes.schema import ResolvedRecipe  # noqa: E402
from speech_eval.reference_models.training.checkpoint import save_checkpoint  # noqa: E402

RATE, HOP = 16_000, 1280
CORE: dict[str, Any] = {"width": 64, "layers": 2, "heads": 2, "feed_forward": 128}
DEPTH: dict[str, Any] = {"width": 32, "layers": 1, "heads": 2, "feed_forward": 64, "share": 1.0}


def save_codec(directory: Path, seed: int = 0) -> Path:
    """12.5 frames per second, three codebooks of 16."""
    torch.manual_seed(seed)
    config = CodecConfig.model_validate(
        {
            "causal": True,
            "latent_dim": 16,
            "downsample": 2,
            "encoder": {"type": "stft", "n_fft": 1280, "hop": 640, "channels": 16, "blocks": 1},
            "decoder": {"type": "vocos", "n_fft": 1280, "hop": 640, "channels": 16, "blocks": 1},
            "quantizer": {"type": "rvq", "codebooks": 3, "codebook_size": 16},
        }
    )
    save_checkpoint(directory, "codec", config.model_dump(mode="json"), Codec(config).state_dict(), {"name": "tiny"})
    return directory


def tiny_model(**changes: Any) -> DuplexLM:
    """A model over that codec, with random weights."""
    torch.manual_seed(0)
    codec = {"spec": "codec", "codebook_sizes": (16, 16, 16), "frame_rates": (12.5,) * 3}
    config = {"core": {**CORE, "positions": 16}, "depth": DEPTH, "pieces": 256, "codec": codec, **changes}
    return DuplexLM(DuplexConfig.model_validate(config)).eval()


def dialogues(folder: Path, words: list[list[Any]] | None = None, count: int = 1, frames: int = 36) -> Path:
    """An AudioFolder of stereo recordings: noise on the right, then noise on the left while its words are said."""
    words = [[0, "it", 1.4, 1.7], [0, "rains.", 1.8, 2.3], [1, "weather?", 0.2, 1.0]] if words is None else words
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(count):
        noise = np.random.default_rng(number).normal(0, 0.1, (frames * HOP, 2))
        for channel in (0, 1):
            said = np.zeros(len(noise), dtype=bool)
            for _, _, start, end in (word for word in words if word[0] == channel):
                said[int(start * RATE) : int(end * RATE)] = True
            noise[~said, channel] = 0.0
        soundfile.write(folder / f"{number}.wav", noise, RATE, subtype="FLOAT")
        rows.append({"file_name": f"{number}.wav", "text": "it rains", "words": words, "split": "train"})
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def recipe(codec: Path, steps: int = 4, **training: Any) -> ResolvedRecipe:
    """A training of the tiny model."""
    return ResolvedRecipe.model_validate(
        {
            "name": "conversation/tiny",
            "size": "smoke",
            "codec": {"spec": str(codec)},
            "model": {"type": "duplex", "core": {**CORE, "positions": 64}, "depth": DEPTH, "pieces": 260},
            "training": {
                "steps": steps,
                "batch_size": 1,
                "sequence": 60,
                "optimizer": {"learning_rate": 5e-3, "betas": [0.9, 0.95], "schedule": "cosine", "warmup_steps": 5},
                **training,
            },
            "evaluation": {"task": "turn-taking"},
        }
    )

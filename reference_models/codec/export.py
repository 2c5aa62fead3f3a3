"""A codec for use alone: weight normalization folded, without the state of training."""

from __future__ import annotations

from pathlib import Path

from speech_eval.reference_models.codec.model import Codec
from speech_eval.reference_models.training.checkpoint import save_checkpoint


def export(directory: Path, output: Path) -> None:
    """Write the codec of a checkpoint: weights as safetensors, `reference.json`, and its card."""
    codec, card = Codec.load(directory)
    codec.eval().remove_weight_norm()
    save_checkpoint(output, "codec", codec.config.model_dump(mode="json"), codec.state_dict(), card)

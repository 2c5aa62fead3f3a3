"""A small AudioFolder of recorded speech and the smallest codec worth the name, for tests of codec training."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from speech_eval.reference_models.codec.config import CodecConfig
from speech_eval.reference_models.codec.training_config import TrainingConfig
from speech_eval.reference_models.data.prepare import prepare

CODEC = CodecConfig.model_validate(
    {
        "sample_rate": 16000,
        "latent_dim": 16,
        "encoder": {"type": "stft", "channels": 16, "blocks": 1},
        "decoder": {"type": "vocos", "channels": 16, "blocks": 1},
        "quantizer": {"type": "rvq", "codebooks": 2, "codebook_size": 16, "codebook_dim": 4},
    }
)
TRAINING = TrainingConfig.model_validate(
    {
        "steps": 8,
        "batch_size": 2,
        "segment_seconds": 0.2,
        "ema_decay": 0.9,
        "optimizer": {"learning_rate": 1e-3, "warmup_steps": 2, "schedule": "cosine"},
        "adversary": {
            "start": 2,
            "parts": [
                {"type": "period", "periods": [2], "channels": [2, 4]},
                {"type": "bands", "windows": [256], "channels": 2},
                {"type": "stft", "windows": [256], "channels": 2},
            ],
        },
        "losses": {"mel": 15, "stft": 1, "adversarial": 1, "feature_matching": 2, "commitment": 0.25, "codebook": 1},
        "mel_windows": [128, 512],
        "mel_bands": [20, 80],
        "stft_windows": [256],
        "validate_every": 100,
        "validation_clips": 2,
        "save_every": 100,
    }
)


@cache
def speech() -> Path:
    """Sixteen recordings of an English voice and as many of an Italian one, who is held out."""
    folder = Path(mkdtemp(prefix="speech-eval-test-")) / "speech"
    prepare(folder, ("asterisk-en", "asterisk-it"), limit=16)
    return folder

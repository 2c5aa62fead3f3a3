"""Small speech LMs and codes to feed them, for tests of the TTS stack."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pytest

from speech_eval.reference_models.speech_lm.layouts import Ints
from speech_eval.reference_models.tts.config import TTSConfig

CORE = {"type": "llama", "width": 32, "layers": 2, "heads": 2, "feed_forward": 48, "positions": 256}
DEPTH = {"width": 16, "layers": 1, "heads": 2, "feed_forward": 24}
CODECS = {
    "flat": ((40,), (25.0,)),
    "interleaved": ((12, 13, 14), (10.0, 20.0, 40.0)),
    "csm": ((20, 21, 22), (12.5, 12.5, 12.5)),
    "delay": ((20, 21, 22), (12.5, 12.5, 12.5)),
}


def config(layout: str, **changes: object) -> TTSConfig:
    sizes, rates = CODECS[layout]
    base = {
        "layout": layout,
        "codec": {"spec": "none", "codebook_sizes": sizes, "frame_rates": rates},
        "core": CORE,
        "depth": DEPTH if layout == "csm" else None,
    }
    return TTSConfig.model_validate(base | changes)


def along_speech() -> TTSConfig:
    """The layout flat with the text laid along the speech."""
    return config("flat", core=CORE | {"text_stride": 2.5})


def some_codes(settings: TTSConfig, steps: int, seed: int = 0) -> list[Ints]:
    """Random codes of the configured codec, `steps` coarse steps."""
    random = np.random.default_rng(seed)
    sizes: Sequence[int] = settings.codec.codebook_sizes
    return [random.integers(0, size, steps * ratio) for size, ratio in zip(sizes, settings.ratios, strict=True)]


@cache
def folder() -> Path:
    return Path(mkdtemp(prefix="speech-eval-test-"))


@cache
def voice() -> Path:
    """Twelve sentences of a synthetic voice, one or two of them held out."""
    pytest.importorskip("hibari")
    from speech_eval.reference_models.data.prepare import prepare

    prepare(folder() / "voice", ("hibari-generated",), limit=12)
    return folder() / "voice"


@cache
def tiny_codec(layout: str) -> Path:
    """An untrained codec checkpoint whose codes suit a layout."""
    import torch

    from speech_eval.reference_models.codec.config import CodecConfig
    from speech_eval.reference_models.codec.model import Codec
    from speech_eval.reference_models.training.checkpoint import save_checkpoint

    lookup = {"codebook_size": 16, "codebook_dim": 4}
    quantizers: dict[str, dict[str, Any]] = {
        "flat": {"type": "fsq", "levels": [5, 5]},
        "interleaved": {"type": "multiscale", "strides": [2, 1], **lookup},
        "csm": {"type": "rvq", "codebooks": 2, **lookup},
        "delay": {"type": "rvq", "codebooks": 2, **lookup},
    }
    config = CodecConfig.model_validate(
        {
            "sample_rate": 16000,
            "latent_dim": 16,
            "encoder": {"type": "stft", "channels": 16, "blocks": 1},
            "decoder": {"type": "vocos", "channels": 16, "blocks": 1},
            "quantizer": quantizers[layout],
        }
    )
    torch.manual_seed(0)
    path = folder() / f"codec-{layout}"
    save_checkpoint(path, "codec", config.model_dump(mode="json"), Codec(config).state_dict(), {"name": "tiny"})
    return path


@cache
def shards_of(layout: str) -> tuple[Path, dict[str, Any]]:
    """Shards of the voice in the tiny codec of a layout, and their summary."""
    from speech_eval.reference_models.data.token_shards import write_shards

    path = folder() / f"shards-{layout}"
    return path, write_shards(voice(), str(tiny_codec(layout)), path)

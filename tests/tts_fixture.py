"""Small speech LMs and codes to feed them, for tests of the TTS stack."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from reference_models.tts.config import TTSConfig
from reference_models.tts.layouts import Ints

CORE = {"type": "llama", "width": 32, "layers": 2, "heads": 2, "feed_forward": 48, "positions": 256}
DEPTH = {"width": 16, "layers": 1, "heads": 2, "feed_forward": 24}
CODECS = {
    "flat": ((40,), (25.0,)),
    "interleaved": ((12, 13, 14), (10.0, 20.0, 40.0)),
    "csm": ((20, 21, 22), (12.5, 12.5, 12.5)),
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


def some_codes(settings: TTSConfig, steps: int, seed: int = 0) -> list[Ints]:
    """Random codes of the configured codec, `steps` coarse steps."""
    random = np.random.default_rng(seed)
    sizes: Sequence[int] = settings.codec.codebook_sizes
    return [random.integers(0, size, steps * ratio) for size, ratio in zip(sizes, settings.ratios, strict=True)]

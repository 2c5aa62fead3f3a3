"""Tiny speech models over tiny codecs, with seeded random weights, for tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

torch = pytest.importorskip("torch")

from speech_eval.adapters.base import AudioCodec  # noqa: E402
from speech_eval.adapters.spec import resolve  # noqa: E402
from speech_eval.reference_models.codec.config import CodecConfig  # noqa: E402
from speech_eval.reference_models.codec.model import Codec  # noqa: E402
from speech_eval.reference_models.training.checkpoint import save_checkpoint  # noqa: E402
from speech_eval.reference_models.tts import building  # noqa: E402
from speech_eval.reference_models.tts.config import TTSConfig  # noqa: E402

QUANTIZERS: dict[str, dict[str, Any]] = {
    "flat": {"type": "fsq", "levels": [4, 4, 4]},
    "interleaved": {"type": "multiscale", "strides": [4, 2, 1], "codebook_size": 16},
    "csm": {"type": "rvq", "codebooks": 3, "codebook_size": 16},
    "delay": {"type": "rvq", "codebooks": 3, "codebook_size": 16},
}


def save_codec(directory: Path, layout: str = "flat", causal: bool = True) -> Path:
    """A codec of the layout's quantizer, 50 Hz at 16 kHz."""
    torch.manual_seed(0)
    config = CodecConfig.model_validate(
        {
            "causal": causal,
            "latent_dim": 32,
            "encoder": {"type": "stft", "n_fft": 640, "hop": 320, "channels": 32, "blocks": 2},
            "decoder": {"type": "vocos", "n_fft": 640, "hop": 320, "channels": 64, "blocks": 2},
            "quantizer": QUANTIZERS[layout],
        }
    )
    save_checkpoint(directory, "codec", config.model_dump(mode="json"), Codec(config).state_dict(), {})
    return directory


def codec_of(path: Path) -> AudioCodec:
    codec = resolve(str(path)).build()
    assert isinstance(codec, AudioCodec)
    return codec


def tiny_config(
    codec: AudioCodec, spec: str, layout: str = "flat", positions: int = 512, text_stride: float | None = None
) -> TTSConfig:
    """A two-layer Llama over the codec's books."""
    from speech_eval.reference_models.speech_lm.codec_stream import probe

    like = probe(codec)
    return TTSConfig.model_validate(
        {
            "layout": layout,
            "codec": {"spec": spec, "codebook_sizes": like.codebook_sizes, "frame_rates": like.frame_rates},
            "core": {
                "type": "llama",
                "width": 32,
                "layers": 2,
                "heads": 2,
                "feed_forward": 64,
                "positions": positions,
                "text_stride": text_stride,
            },
            "depth": {"width": 16, "layers": 1, "heads": 2, "feed_forward": 32} if layout == "csm" else None,
        }
    )


def tiny_lm(config: TTSConfig, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    return building.build(config).eval()


def spoken_tones(path: Path) -> Path:
    """An AudioFolder of six tones that stand for words, two of them held out."""
    rows = []
    for number, text in enumerate(("One.", "Two.", "Three.", "Four.", "Five.", "Six.")):
        time = np.arange(24_000) / 16_000
        path.mkdir(parents=True, exist_ok=True)
        soundfile.write(path / f"{number}.wav", 0.1 * np.sin(2 * np.pi * (150 + 10 * number) * time), 16_000)
        split = "held-out" if number > 3 else "train"
        rows.append(
            {"file_name": f"{number}.wav", "id": str(number), "text": text, "speaker": "a", "language": "en"}
            | {"split": split, "seconds": 1.5}
        )
    (path / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def save_start(directory: Path) -> Path:
    """An untrained speaking model with its codec, to align."""
    codec = save_codec(directory / "codec")
    model = tiny_lm(tiny_config(codec_of(codec), str(codec), positions=256))
    section = model.config.codec.model_copy(update={"spec": "codec"})
    model.config = model.config.model_copy(update={"codec": section})
    building.save(directory, model, model.state_dict(), {"name": "tiny", "license": "apache-2.0"})
    return directory

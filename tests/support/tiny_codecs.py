"""Tiny checkpoints of the real codec classes with random weights, for tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

# By family: class, configuration, codebooks, frames a second.
FAMILIES: dict[str, tuple[str, dict[str, Any], int, float]] = {
    "encodec": (
        "EncodecModel",
        {
            "hidden_size": 16,
            "num_filters": 4,
            "codebook_size": 32,
            "codebook_dim": 16,
            "target_bandwidths": [0.75, 1.5],
            "num_lstm_layers": 1,
        },
        4,
        75.0,
    ),
    "dac": (
        "DacModel",
        {
            "encoder_hidden_size": 4,
            "downsampling_ratios": [2, 4, 5, 8],
            "decoder_hidden_size": 32,
            "n_codebooks": 4,
            "codebook_size": 32,
            "codebook_dim": 4,
            "sampling_rate": 16_000,
        },
        4,
        50.0,
    ),
    "mimi": (
        "MimiModel",
        {
            "hidden_size": 16,
            "num_filters": 4,
            "codebook_size": 32,
            "codebook_dim": 8,
            "vector_quantization_hidden_dimension": 8,
            "num_quantizers": 8,
            "num_hidden_layers": 1,
            "intermediate_size": 32,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "upsample_groups": 16,
        },
        8,
        12.5,
    ),
}


def save_tiny_codec(family: str, path: Path) -> Path:
    """Write a seeded checkpoint of `family` to `path` and return it; skips the test without torch or transformers."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    model_name, options, _, _ = FAMILIES[family]
    torch.manual_seed(0)
    cls = getattr(transformers, model_name)
    model = cls(cls.config_class(**options)).eval()
    fill_codebooks(model)
    if family == "encodec":  # an untrained encoder hardly varies: its first codebook is its own frames
        with torch.inference_mode():
            frames = model.encoder(0.1 * torch.randn(1, 1, 24_000))[0].T
        model.quantizer.layers[0].codebook.embed.copy_(frames[:64:2])
    model.save_pretrained(path)
    return path


def fill_codebooks(model: Any, std: float = 0.03) -> Any:
    """The model with random codebooks: untrained ones are all zeros."""
    import torch

    for name, tensor in [*model.named_buffers(), *model.named_parameters()]:
        if name.endswith(("embed", "embed_sum")):
            torch.nn.init.normal_(tensor.data, std=std)
    return model


_SEMANTIC = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "output_hidden_size": 32,
    "feature_projection_input_dim": 160,
}
SCALAR: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "encoder_hidden_size": 4,
    "semantic_model_config": _SEMANTIC,
    "quantization_dim": 64,
}


def save_scalar_codec(prefix: str, path: Path, **changes: Any) -> Path:
    """Write a seeded XCodec2 (`Xcodec2`) or NeuCodec (`NeuCodec`) to `path` and return it; `changes` of its config."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = getattr(transformers, f"{prefix}Config")(**SCALAR, **changes)
    getattr(transformers, f"{prefix}Model")(config).save_pretrained(path)
    return path


def save_snac(path: Path, codebook_size: int = 64) -> Path:
    """Write a seeded SNAC as its authors do to `path` and return it; skips the test without the package."""
    torch, package = pytest.importorskip("torch"), pytest.importorskip("snac")
    config = {
        "sampling_rate": 24_000,
        "encoder_dim": 4,
        "encoder_rates": [2, 4, 8, 8],
        "decoder_dim": 32,
        "decoder_rates": [8, 8, 4, 2],
        "attn_window_size": None,
        "codebook_size": codebook_size,
        "vq_strides": [4, 2, 1],
    }
    torch.manual_seed(0)
    path.mkdir(parents=True, exist_ok=True)
    torch.save(package.SNAC(**config).state_dict(), path / "pytorch_model.bin")
    (path / "config.json").write_text(json.dumps(config))
    return path

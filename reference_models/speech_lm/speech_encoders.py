"""Speech encoders of transformers that the stacks learn from: which there are, and how Whisper hears short speech."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from speech_eval.adapters.checkpoints import converted, load_model, locate, weights_digest
from speech_eval.adapters.parts import load_part
from speech_eval.assets.convert.whisper import convert
from speech_eval.errors import BadInput

RATE = 16_000  # samples per second, of every supported encoder
FRAME_RATE = 50.0  # features per second, of every supported encoder
KINDS = ("whisper", "wavlm", "hubert", "wav2vec2", "wav2vec2-bert")
BUNDLED = ("whisper-tiny.en", "whisper-base")


@dataclass(frozen=True)
class PretrainedEncoder:
    """A frozen encoder on the CPU in float32, its feature extractor, its width, and the digest of its weights."""

    kind: str
    model: Any
    extract: Any
    dim: int
    weights_sha256: str


def load_encoder(name: str) -> PretrainedEncoder:
    """A bundled Whisper, or the encoder of a directory or hub name. Raises `BadInput` for other architectures."""
    checkpoint = locate(str(converted(name, convert)) if name in BUNDLED else name)
    kind = str(checkpoint.config().get("model_type"))
    if kind not in KINDS:
        raise BadInput(f"{name} is of type '{kind}', not a speech encoder.", f"Use {KINDS}.")
    with torch.device("cpu"):  # also where a model around it is only sketched, on the meta device
        model = load_model(
            "AutoModel", checkpoint, dtype="float32", device="cpu", extra="train", untrained=("masked_spec_embed",)
        )
    encoder = model.encoder if kind == "whisper" else model
    encoder.requires_grad_(False)
    extract = load_part("AutoFeatureExtractor", checkpoint.directory, extra="train")
    return PretrainedEncoder(
        kind, encoder, extract, int(model.config.hidden_size), weights_digest(checkpoint.weights())
    )


def whisper_states(encoder: Any, mel: Tensor) -> list[Tensor]:
    """The states of Whisper's encoder on as many frames as there are, instead of 30 s: mel [B, bands, 2 F] to one
    [B, F, D] per layer, that before the first layer included."""
    x = F.gelu(encoder.conv2(F.gelu(encoder.conv1(mel)))).mT
    states = [x + encoder.embed_positions.weight[: x.shape[1]]]
    for layer in encoder.layers:
        out = layer(states[-1], attention_mask=None)
        states.append(out[0] if isinstance(out, tuple) else out)
    states[-1] = encoder.layer_norm(states[-1])
    return states

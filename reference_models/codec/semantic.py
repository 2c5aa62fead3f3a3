"""Features of a frozen speech encoder, for codes that carry what is said and not only how it sounds.

Distilled (Mimi): the first codebook's output learns to predict them; the encoder is needed in training only.
Fused (XCodec2): they enter beside the acoustic frames before the quantizer, and are predicted again from its output.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speech_eval.errors import BadInput
from speech_eval.reference_models.codec.config import SemanticConfig
from speech_eval.reference_models.speech_lm.speech_encoders import FRAME_RATE, RATE, load_encoder, whisper_states
from speech_eval.reference_models.training.precision import in_float32


class Teacher:
    """A frozen transformers encoder: audio to one layer's hidden states, about 50 per second.

    Not a module, so that its weights enter no checkpoint of a codec; `weights_sha256` is their digest. Raises
    `BadInput` for other architectures, and for other weights than the configuration names.
    """

    def __init__(self, config: SemanticConfig) -> None:
        encoder = load_encoder(config.teacher)
        self.kind, self.model, self.extract = encoder.kind, encoder.model, encoder.extract
        self.weights_sha256 = encoder.weights_sha256
        if config.weights_sha256 not in ("", self.weights_sha256):
            raise BadInput(
                f"The teacher {config.teacher} has the weights {self.weights_sha256[:16]}…, the codec was trained with "
                f"{config.weights_sha256[:16]}…: it would give other codes.",
                "Put the weights it was trained with in their place, or train the codec again.",
            )
        self.layer = config.layer
        self.dim = encoder.dim

    @torch.no_grad()
    @in_float32
    def __call__(self, audio: Tensor, rate: int) -> Tensor:
        """audio [B, 1, T] at `rate` Hz to features [B, dim, about 50 × seconds] on the audio's device."""
        waves = list(resample(audio[:, 0].float(), rate).cpu().numpy())
        whisper: dict[str, Any] = {"truncation": False, "device": str(audio.device)}
        options = whisper if self.kind == "whisper" else {}
        inputs = self.extract(waves, sampling_rate=RATE, padding="longest", return_tensors="pt", **options)
        inputs = inputs.to(audio.device)
        model = self.model.to(audio.device)
        if self.kind == "whisper":
            return whisper_states(model, inputs["input_features"])[self.layer].mT
        states = model(**inputs, output_hidden_states=True).hidden_states
        return states[self.layer].mT


def resample(waves: Tensor, rate: int) -> Tensor:
    """[B, T] to 16 kHz by cutting or zero-padding the spectrum."""
    if rate == RATE:
        return waves
    length = round(waves.shape[-1] * RATE / rate)
    return torch.fft.irfft(torch.fft.rfft(waves), n=length) * (length / waves.shape[-1])


def align(features: Tensor, frames: int, rate: float) -> Tensor:
    """Features [B, D, F] to the codec's frames [B, D, frames] at `rate` Hz.

    At slower rates, averages over two frames' width, as in Mimi (50 Hz to 12.5 Hz: stride 4, kernel 8).
    """
    ratio = round(FRAME_RATE / rate)
    if ratio >= 2:
        features = F.avg_pool1d(features, 2 * ratio, ratio, padding=ratio // 2, ceil_mode=True, count_include_pad=False)
    elif abs(FRAME_RATE / rate - 1) > 0.01:
        features = F.interpolate(features, scale_factor=rate / FRAME_RATE, mode="linear")
    lacking = max(0, frames - features.shape[-1])  # encoders without padding lose the last frame
    return F.pad(features, (0, lacking), mode="replicate")[..., :frames]


class SemanticDistillation(nn.Module):
    """1 - cosine of a linear projection of the first codebook's output and the teacher's features (Mimi)."""

    def __init__(self, config: SemanticConfig, latent_dim: int, sample_rate: int) -> None:
        super().__init__()
        self.teacher, self.sample_rate = Teacher(config), sample_rate
        self.project = nn.Linear(latent_dim, self.teacher.dim)

    @in_float32
    def forward(self, first_latent: Tensor, audio: Tensor) -> Tensor:
        """first_latent [B, D, F] of audio [B, 1, T] to a scalar in [0, 2]."""
        frames = first_latent.shape[-1]
        rate = frames * self.sample_rate / audio.shape[-1]
        target = align(self.teacher(audio, self.sample_rate), frames, rate)
        return 1 - F.cosine_similarity(self.project(first_latent.mT), target.mT, dim=-1).mean()


class SemanticFusion(nn.Module):
    """Semantic frames join the acoustic ones before the quantizer and are predicted from its output (XCodec2)."""

    def __init__(self, config: SemanticConfig, dim: int, sample_rate: int, frame_rate: float) -> None:
        super().__init__()
        self.teacher, self.sample_rate, self.frame_rate = Teacher(config), sample_rate, frame_rate
        self.encode = nn.Sequential(
            nn.Conv1d(self.teacher.dim, dim, 3, padding=1), nn.GELU(), nn.Conv1d(dim, dim, 3, padding=1)
        )
        self.join = nn.Conv1d(2 * dim, dim, 1)
        self.decode = nn.Sequential(
            nn.Conv1d(dim, dim, 3, padding=1), nn.GELU(), nn.Conv1d(dim, self.teacher.dim, 3, padding=1)
        )

    def features(self, audio: Tensor, frames: int) -> Tensor:
        """audio [B, 1, T] to the teacher's features [B, dim of teacher, frames]."""
        return align(self.teacher(audio, self.sample_rate), frames, self.frame_rate)

    def forward(self, z: Tensor, features: Tensor) -> Tensor:
        """Acoustic z [B, D, F] and features to the quantizer's input [B, D, F]."""
        return self.join(torch.cat((self.encode(features), z), dim=1))

    @in_float32
    def loss(self, latent: Tensor, features: Tensor) -> Tensor:
        """Mean squared error of the features predicted from the quantized latent [B, D, F]."""
        return F.mse_loss(self.decode(latent), features)

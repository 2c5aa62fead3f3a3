"""The codec: waveform → frames → codes → frames → waveform."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import lcm
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from speech_eval.errors import BadInput
from speech_eval.reference_models.codec.config import CodecConfig
from speech_eval.reference_models.codec.decoder import build_decoder
from speech_eval.reference_models.codec.encoder import build_encoder
from speech_eval.reference_models.codec.layers import Transformer
from speech_eval.reference_models.codec.quantizers import Quantized, Spread, build_quantizer
from speech_eval.reference_models.codec.semantic import SemanticFusion
from speech_eval.reference_models.codec.streaming import Conv1d, ConvTranspose1d, Pass, StreamState
from speech_eval.reference_models.training.checkpoint import load_checkpoint, restored


@dataclass
class CodecOutput:
    """The result of a forward pass. `audio` [B, 1, T]; `codes[k]` [B, frames_k]; `losses` are unweighted scalars of the
    quantizer (FSQ has none) and of fused semantics; `first_latent` [B, D, frames] is what the first codebook alone
    gives, for distillation.
    """

    audio: Tensor
    codes: list[Tensor]
    losses: dict[str, Tensor]
    first_latent: Tensor


class Codec(nn.Module):
    """A neural audio codec of one channel.

    `hop` samples per frame; `codebook_sizes` and `frame_rates` (Hz), one entry per codebook; waveforms are padded to a
    multiple of `block` samples, so that every codebook has whole frames.
    """

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.config = config
        dim, causal, ratio = config.latent_dim, config.causal, config.downsample
        enc, dec = config.encoder, config.decoder
        self.encoder = build_encoder(enc, dim, causal)  # [B, 1, T] to [B, dim, T / encoder hop]
        self.encoder_transformer = Transformer(enc.transformer, dim, causal) if enc.transformer else Pass()
        self.downsample = Conv1d(dim, dim, 2 * ratio, stride=ratio, causal=causal) if ratio > 1 else Pass()
        self.norm = Spread(dim) if config.norm else nn.Identity()
        self.quantizer = build_quantizer(config.quantizer, dim)  # [B, dim, F] to codes and back
        self.upsample = ConvTranspose1d(dim, dim, stride=ratio, causal=causal) if ratio > 1 else Pass()
        self.decoder_transformer = Transformer(dec.transformer, dim, causal) if dec.transformer else Pass()
        self.decoder = build_decoder(dec, dim, causal)  # back to [B, 1, T]
        semantic = config.semantic if config.semantic is not None and config.semantic.mode == "fuse" else None
        rate = config.sample_rate / config.hop
        self.fusion = SemanticFusion(semantic, dim, config.sample_rate, rate) if semantic is not None else None
        if self.fusion is not None:
            self.config = config.taught_by(self.fusion.teacher.weights_sha256)

        self.hop = config.hop
        self.block = self.hop * lcm(*self.quantizer.strides)
        self.codebook_sizes = list(self.quantizer.sizes)
        self.frame_rates = [config.sample_rate / (self.hop * stride) for stride in self.quantizer.strides]

    @classmethod
    def load(cls, directory: Path) -> tuple[Codec, dict[str, Any]]:
        """The codec of a checkpoint directory and its card, on the CPU. Raises `BadInput` for one that does not fit."""
        plain, state, card = load_checkpoint(directory, "codec")
        normed = any("parametrizations" in name for name in state)

        def build() -> Codec:
            codec = cls(CodecConfig.model_validate({"norm": False} | plain))  # codecs without the key had none
            if not normed:
                codec.remove_weight_norm()
            return codec

        return restored(directory, build, state), card

    @property
    def bitrate(self) -> float:
        """Nominal bits per second with all codebooks."""
        sizes = torch.tensor(self.codebook_sizes, dtype=torch.float64)
        return float((torch.tensor(self.frame_rates, dtype=torch.float64) * sizes.log2()).sum())

    def forward(self, audio: Tensor, n_quantizers: int | None = None) -> CodecOutput:
        """audio [B, 1, T] through the first `n_quantizers` codebooks (in training: as quantizer dropout draws)."""
        z, features = self.fuse(self.pad(audio))
        quantized = self.quantizer(z, self.check_depth(n_quantizers))
        losses = quantized.losses
        if self.fusion is not None and features is not None:
            losses["semantic"] = self.fusion.loss(quantized.latent, features)
        heard = self.to_audio(self.bypass(z, quantized))[..., : audio.shape[-1]]
        return CodecOutput(heard, quantized.codes, losses, quantized.first)

    def encode(self, audio: Tensor, n_quantizers: int | None = None) -> list[Tensor]:
        """audio [B, 1, T] to codes [B, frames_k] of the first `n_quantizers` codebooks."""
        z, _ = self.fuse(self.pad(audio))
        return self.quantizer(z, self.check_depth(n_quantizers)).codes

    def decode(self, codes: Sequence[Tensor]) -> Tensor:
        """Codes [B, frames_k] of the first `len(codes)` codebooks to audio [B, 1, frames × hop]."""
        self.check_codes(codes)
        return self.to_audio(self.quantizer.decode(codes))

    # ---------------------------------------------------------------------------------------- streaming

    def start_stream(self) -> StreamState:
        """The state of one stream, in either direction. Raises `BadInput` for a codec that is not causal."""
        if not self.config.causal:
            raise BadInput("This codec is not causal, so it cannot stream.", "Train one with `causal: true`.")
        return StreamState()

    def stream_encode(self, chunk: Tensor, state: StreamState, *, last: bool = False) -> list[Tensor]:
        """The next samples [B, 1, any number] to the codes they complete [B, maybe 0]; `last` pads the remainder."""
        pending = torch.cat((state[self], chunk), dim=-1) if self in state else chunk
        whole = pending.shape[-1] // self.block * self.block
        ready, state[self] = pending[..., :whole], pending[..., whole:]
        if last:
            ready, state[self] = self.pad(pending), pending[..., :0]
        if ready.shape[-1] == 0:
            return [torch.zeros(chunk.shape[0], 0, dtype=torch.long, device=chunk.device) for _ in self.codebook_sizes]
        return self.quantizer(self.norm(self.to_latent(ready, state))).codes

    def stream_decode(self, codes: Sequence[Tensor], state: StreamState, *, last: bool = False) -> Tensor:
        """The next frames' codes [B, frames_k] to audio [B, 1, frames × hop]. A Vocos decoder gives `decoder.delay`
        samples less at first and the rest when `last`.
        """
        self.check_codes(codes)
        audio = codes[0].new_zeros(codes[0].shape[0], 1, 0, dtype=torch.float32)
        if codes[0].shape[-1]:
            audio = self.to_audio(self.quantizer.decode(codes), state)
        rest = self.decoder.flush(state) if last else None
        return audio if rest is None else torch.cat((audio, rest), dim=-1)

    # ------------------------------------------------------------------------------------------- steps

    def to_latent(self, audio: Tensor, state: StreamState | None = None) -> Tensor:
        """[B, 1, blocks × block] to [B, D, F]."""
        return self.downsample(self.encoder_transformer(self.encoder(audio, state), state), state)

    def fuse(self, audio: Tensor) -> tuple[Tensor, Tensor | None]:
        """[B, 1, blocks × block] to the quantizer's input, and the semantic features in it if they are fused."""
        z = self.to_latent(audio)
        if self.fusion is None:
            return self.norm(z), None
        features = self.fusion.features(audio, z.shape[-1])
        return self.norm(self.fusion(z, features)), features

    def to_audio(self, z: Tensor, state: StreamState | None = None) -> Tensor:
        """[B, D, F] to [B, 1, F × hop]."""
        return self.decoder(self.decoder_transformer(self.upsample(z, state), state), state)

    def pad(self, audio: Tensor) -> Tensor:
        """Zeros after the waveform, up to a multiple of `block`."""
        return F.pad(audio, (0, -audio.shape[-1] % self.block))

    def bypass(self, z: Tensor, quantized: Quantized) -> Tensor:
        """In training, some items reach the decoder unquantized (Mimi)."""
        share = self.config.quantizer.bypass
        if not self.training or share == 0.0:
            return quantized.latent
        skip = torch.rand(z.shape[0], 1, 1, device=z.device) < share
        return torch.where(skip, z, quantized.latent)

    def remove_weight_norm(self) -> None:
        """Fold weight normalization into plain weights: faster, for inference only."""
        for module in self.modules():
            if parametrize.is_parametrized(module, "weight"):
                parametrize.remove_parametrizations(module, "weight")

    def check_depth(self, n_quantizers: int | None) -> int | None:
        available = len(self.codebook_sizes)
        if n_quantizers is not None and not 1 <= n_quantizers <= available:
            raise BadInput(f"n_quantizers={n_quantizers}: the codec has {available} codebooks.", "Ask for 1 to all.")
        return n_quantizers

    def check_codes(self, codes: Sequence[Tensor]) -> None:
        """Raise `BadInput` unless these are codes of the first codebooks, of matching lengths and within range."""
        if not 1 <= len(codes) <= len(self.codebook_sizes):
            raise BadInput(f"{len(codes)} codebooks: the codec has {len(self.codebook_sizes)}.", "Give the first ones.")
        spans = {found.shape[-1] * stride for found, stride in zip(codes, self.quantizer.strides, strict=False)}
        if len(spans) > 1:
            raise BadInput(f"Codebooks span {sorted(spans)} frames.", "Cut all of them at the same time.")
        for k, (found, size) in enumerate(zip(codes, self.codebook_sizes, strict=False)):
            if found.numel() and not 0 <= int(found.min()) <= int(found.max()) < size:
                raise BadInput(f"Codebook {k} has codes outside 0 to {size - 1}.", "Remove offsets before decoding.")

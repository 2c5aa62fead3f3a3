"""What a codec is made of. One `CodecConfig` builds one `Codec`; recipes and checkpoints carry it as plain data."""

from __future__ import annotations

from math import prod
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

Probability = Annotated[float, Field(ge=0.0, le=1.0)]


class Section(BaseModel):
    """A part of the configuration: immutable, and a misspelt key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TransformerConfig(Section):
    """Transformer layers at the encoder's frame rate (Mimi): RoPE, a sliding window of `context` frames, LayerScale."""

    layers: PositiveInt = 8
    heads: PositiveInt = 8
    mlp: PositiveInt = 2048
    context: PositiveInt = 250
    layer_scale: float = 0.01


class ConvUnits(Section):
    """Residual units of the convolutional stacks. DAC: kernel 7, dilations 1, 3, 9, Snake. SEANet (EnCodec, Mimi):
    kernel 3, dilation 1, compress 2, ELU. SNAC: as DAC, depthwise.
    """

    kernel: PositiveInt = 7
    dilations: tuple[PositiveInt, ...] = (1, 3, 9)
    compress: PositiveInt = 1
    depthwise: bool = False
    activation: Literal["snake", "elu"] = "snake"


class ConvEncoder(Section):
    """Waveform to frames by strided convolutions; `channels` after the first one, doubled at every stride."""

    type: Literal["conv"] = "conv"
    channels: PositiveInt = 64
    strides: tuple[PositiveInt, ...] = (2, 4, 5, 8)
    units: ConvUnits = ConvUnits()
    transformer: TransformerConfig | None = None

    @property
    def hop(self) -> int:
        return prod(self.strides)


class STFTEncoder(Section):
    """Spectrum to frames by ConvNeXt blocks that all run at the frame rate: a tenth of the cost of `conv`. Without
    `phase` it sees magnitudes alone, so that where a frame starts within a period is no part of its codes."""

    type: Literal["stft"] = "stft"
    n_fft: PositiveInt = 640
    hop: PositiveInt = 320
    phase: bool = True
    channels: PositiveInt = 256
    blocks: PositiveInt = 4
    transformer: TransformerConfig | None = None

    @model_validator(mode="after")
    def _frames_fit(self) -> STFTEncoder:
        _check_window(self.n_fft, self.hop)
        return self


class ConvDecoder(Section):
    """Frames to waveform by transposed convolutions; `channels` after the first one, halved at every stride."""

    type: Literal["conv"] = "conv"
    channels: PositiveInt = 1536
    strides: tuple[PositiveInt, ...] = (8, 5, 4, 2)
    units: ConvUnits = ConvUnits()
    tanh: bool = True
    transformer: TransformerConfig | None = None

    @property
    def hop(self) -> int:
        return prod(self.strides)

    @model_validator(mode="after")
    def _channels_halve(self) -> ConvDecoder:
        if self.channels % 2 ** len(self.strides):
            raise ValueError(f"channels={self.channels} cannot be halved {len(self.strides)} times")
        return self


class VocosDecoder(Section):
    """Frames to waveform by ConvNeXt blocks at the frame rate and one inverse STFT (Vocos)."""

    type: Literal["vocos"] = "vocos"
    n_fft: PositiveInt = 1280
    hop: PositiveInt = 320
    channels: PositiveInt = 512
    blocks: PositiveInt = 8
    transformer: TransformerConfig | None = None

    @model_validator(mode="after")
    def _frames_fit(self) -> VocosDecoder:
        _check_window(self.n_fft, self.hop)
        return self


def _check_window(n_fft: int, hop: int) -> None:
    if n_fft % hop or n_fft == hop or (n_fft - hop) % 2 or n_fft % 2:
        raise ValueError(
            f"n_fft={n_fft} must be an even multiple of hop={hop}, at least twice it, with an even overlap"
        )


class Lookup(Section):
    """How a codebook finds and learns its codes.

    `cosine` (DAC): nearest of L2-normalized codes in `codebook_dim` dimensions behind a projection of its own, learned
    by gradient. `ema` (EnCodec, Mimi): nearest in Euclidean distance, codes are running means of what chose them,
    started by k-means; codes used less than `restart_below` × uniform start again from the data.
    """

    lookup: Literal["cosine", "ema"] = "cosine"
    codebook_size: PositiveInt = 1024
    codebook_dim: PositiveInt = 8
    ema_decay: Probability = 0.99
    restart_below: Probability = 0.1
    bypass: Probability = 0.0  # share of training items that the decoder sees unquantized (Mimi: 0.5)


class VQConfig(Lookup):
    """One codebook."""

    type: Literal["vq"] = "vq"


class RVQConfig(Lookup):
    """Residual codebooks. With `dropout` p, the first int(B × p) items of a batch use n ~ U{1..N} of them (DAC)."""

    type: Literal["rvq"] = "rvq"
    codebooks: PositiveInt = 9
    dropout: Probability = 0.5


class MultiScaleConfig(Lookup):
    """Residual codebooks of which each sees every `strides[k]`-th frame's average (SNAC)."""

    type: Literal["multiscale"] = "multiscale"
    strides: tuple[PositiveInt, ...] = (4, 2, 1)
    dropout: Probability = 0.0

    @model_validator(mode="after")
    def _strides_nest(self) -> MultiScaleConfig:
        if any(a % b for a, b in zip(self.strides, self.strides[1:], strict=False)) or not self.strides:
            raise ValueError(f"strides={list(self.strides)}: each must divide the one before it")
        return self


class SplitConfig(Lookup):
    """A semantic codebook beside residual acoustic ones, outputs summed (Mimi). `codebooks` counts the semantic one."""

    type: Literal["split"] = "split"
    codebooks: Annotated[int, Field(ge=2)] = 8
    dropout: Probability = 0.5


class FSQConfig(Section):
    """Finite scalar quantization: as many rounded dimensions as `levels` has entries, one code of their product."""

    type: Literal["fsq"] = "fsq"
    levels: tuple[Annotated[int, Field(ge=2)], ...] = (4, 4, 4, 4, 4, 4, 4, 4)
    bypass: Probability = 0.0


class SemanticConfig(Section):
    """Features of a speech encoder. `distil`: the first codebook learns to predict them (Mimi). `fuse`: they enter
    beside the acoustic frames before the quantizer, and are predicted again after it (XCodec2).

    `teacher` is a registered Whisper (`whisper-tiny.en`, `whisper-base`), or a directory or hub name of a WavLM,
    HuBERT, w2v-BERT or Whisper checkpoint; `layer` counts its hidden states, -1 being the last.
    """

    teacher: str = "whisper-base"
    layer: int = -1
    mode: Literal["distil", "fuse"] = "distil"


class CodecConfig(Section):
    """`encoder` → (transformer) → ÷ `downsample` → `quantizer` → × `downsample` → (transformer) → `decoder`."""

    sample_rate: PositiveInt = 16_000
    causal: bool = False
    latent_dim: PositiveInt = 256
    downsample: PositiveInt = 1
    encoder: Annotated[ConvEncoder | STFTEncoder, Field(discriminator="type")] = ConvEncoder()
    decoder: Annotated[ConvDecoder | VocosDecoder, Field(discriminator="type")] = ConvDecoder()
    quantizer: Annotated[
        VQConfig | RVQConfig | FSQConfig | MultiScaleConfig | SplitConfig, Field(discriminator="type")
    ] = RVQConfig()
    semantic: SemanticConfig | None = None

    @property
    def hop(self) -> int:
        """Samples a frame, at the quantizer."""
        return self.encoder.hop * self.downsample

    @model_validator(mode="after")
    def _parts_fit(self) -> CodecConfig:
        if self.encoder.hop != self.decoder.hop:
            raise ValueError(f"the encoder's hop is {self.encoder.hop} samples, the decoder's {self.decoder.hop}")
        for part in (self.encoder, self.decoder):
            if part.transformer and self.latent_dim % (2 * part.transformer.heads):
                raise ValueError(
                    f"latent_dim={self.latent_dim} does not give {part.transformer.heads} heads of even size"
                )
        if self.causal and self.semantic is not None and self.semantic.mode == "fuse":
            raise ValueError("a causal codec cannot fuse features of an encoder that sees the whole utterance")
        return self

"""What a codec is made of. One `CodecConfig` builds one `Codec`; recipes and checkpoints store it as plain data."""

from __future__ import annotations

from math import prod
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from speech_eval.reference_models.training.config import Section, knob

Probability = Annotated[float, Field(ge=0.0, le=1.0)]


class TransformerConfig(Section):
    """Transformer layers at the frame rate (Mimi): rotary positions, a sliding window, LayerScale."""

    layers: PositiveInt = knob(8, "Layers.")
    heads: PositiveInt = knob(8, "Attention heads per layer.")
    mlp: PositiveInt = knob(2048, "Width of the feed-forward layers.")
    context: PositiveInt = knob(250, "Frames that a frame attends to: the last ones if causal, else on either side.")
    layer_scale: float = knob(0.01, "Initial value of the learned scale of each residual branch (LayerScale).")


class ConvUnits(Section):
    """Residual units of the convolutional stacks. DAC: kernel 7, dilations 1, 3, 9, Snake. SEANet (EnCodec, Mimi):
    kernel 3, dilation 1, compress 2, ELU. SNAC: as DAC, depthwise.
    """

    kernel: PositiveInt = knob(7, "Width of the dilated convolution.")
    dilations: tuple[PositiveInt, ...] = knob((1, 3, 9), "One residual unit per dilation.")
    compress: PositiveInt = knob(1, "Factor by which the inner channels are fewer.")
    depthwise: bool = knob(False, "One filter per channel in the dilated convolution (SNAC).")
    activation: Literal["snake", "elu"] = knob("snake", "`snake` (DAC) or `elu` (EnCodec, Mimi).")


class ConvEncoder(Section):
    """Waveform to frames by strided convolutions."""

    type: Literal["conv"] = knob("conv", "Strided convolutions (DAC, SEANet); `stft` is the fast alternative.")
    channels: PositiveInt = knob(64, "Channels after the first convolution, doubled at every stride.")
    strides: tuple[PositiveInt, ...] = knob((2, 4, 5, 8), "Strides; their product is the samples per frame.")
    units: ConvUnits = knob(ConvUnits(), "The residual units before each stride.")
    lstm: NonNegativeInt = knob(0, "LSTM layers at the frame rate, with a skip around them (EnCodec: 2); 0: none.")
    transformer: TransformerConfig | None = knob(None, "Transformer after the convolutions; null: none.")

    @property
    def hop(self) -> int:
        return prod(self.strides)


class STFTEncoder(Section):
    """Spectrum to frames by ConvNeXt blocks at the frame rate: a tenth of the cost of `conv`."""

    type: Literal["stft"] = knob("stft", "A spectrum and ConvNeXt blocks; `conv` is the published kind.")
    n_fft: PositiveInt = knob(640, "Samples per window; an even multiple of `hop`, at least twice it.")
    hop: PositiveInt = knob(320, "Samples per frame.")
    phase: bool = knob(
        True,
        "Also read the complex spectrum. Without it, the codes do not depend on where a frame starts within a period.",
    )
    channels: PositiveInt = knob(256, "Channels of the blocks.")
    blocks: PositiveInt = knob(4, "ConvNeXt blocks.")
    transformer: TransformerConfig | None = knob(None, "Transformer after the blocks; null: none.")

    @model_validator(mode="after")
    def _frames_fit(self) -> STFTEncoder:
        _check_window(self.n_fft, self.hop)
        return self


class ConvDecoder(Section):
    """Frames to waveform by transposed convolutions."""

    type: Literal["conv"] = knob("conv", "Transposed convolutions (DAC, SEANet); `vocos` is the fast alternative.")
    channels: PositiveInt = knob(1536, "Channels after the first convolution, halved at every stride.")
    strides: tuple[PositiveInt, ...] = knob((8, 5, 4, 2), "Strides; their product must be the encoder's.")
    units: ConvUnits = knob(ConvUnits(), "The residual units after each stride.")
    lstm: NonNegativeInt = knob(0, "LSTM layers at the frame rate, with a skip around them (EnCodec: 2); 0: none.")
    tanh: bool = knob(True, "Limit the waveform by tanh.")
    transformer: TransformerConfig | None = knob(None, "Transformer before the convolutions; null: none.")

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

    type: Literal["vocos"] = knob("vocos", "ConvNeXt blocks and an inverse STFT; `conv` is DAC's kind.")
    n_fft: PositiveInt = knob(1280, "Samples per window; an even multiple of `hop`, at least twice it.")
    hop: PositiveInt = knob(320, "Samples per frame.")
    channels: PositiveInt = knob(512, "Channels of the blocks.")
    blocks: PositiveInt = knob(8, "ConvNeXt blocks.")
    transformer: TransformerConfig | None = knob(None, "Transformer before the blocks; null: none.")

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
    """How a codebook finds and learns its codes."""

    lookup: Literal["cosine", "ema"] = knob(
        "cosine",
        "`cosine` (DAC): nearest of L2-normalized codes behind a projection of its own, learned by gradient. `ema` "
        "(EnCodec, Mimi): nearest in Euclidean distance; codes are running means of the frames that chose them.",
    )
    codebook_size: PositiveInt = knob(1024, "Codes per codebook.")
    codebook_dim: PositiveInt = knob(8, "Dimensions of a code.")
    ema_decay: Probability = knob(0.99, "Decay of the running counts and, with `ema`, of the running means.")
    restart_below: Probability = knob(0.1, "Codes used less than this share of the average restart from the data.")
    bypass: Probability = knob(0.0, "Share of the training items that the decoder gets unquantized (Mimi: 0.5).")


class VQConfig(Lookup):
    """One codebook (BigCodec, WavTokenizer)."""

    type: Literal["vq"] = knob("vq", "One codebook.")


class RVQConfig(Lookup):
    """Residual codebooks on one time grid (SoundStream, EnCodec, DAC)."""

    type: Literal["rvq"] = knob("rvq", "Residual codebooks: each codes what the ones before it left over.")
    codebooks: PositiveInt = knob(9, "Number of codebooks.")
    dropout: Probability = knob(0.5, "Share of a batch that uses only the first n codebooks, n drawn uniformly (DAC).")


class MultiScaleConfig(Lookup):
    """Residual codebooks at several frame rates (SNAC)."""

    type: Literal["multiscale"] = knob("multiscale", "Residual codebooks, the first ones on slower averages.")
    strides: tuple[PositiveInt, ...] = knob((4, 2, 1), "Frames per code of each codebook; each divides the one before.")
    dropout: Probability = knob(0.0, "Share of a batch that uses only the first n codebooks, n drawn uniformly (DAC).")

    @model_validator(mode="after")
    def _strides_nest(self) -> MultiScaleConfig:
        if any(a % b for a, b in zip(self.strides, self.strides[1:], strict=False)) or not self.strides:
            raise ValueError(f"strides={list(self.strides)}: each must divide the one before it")
        return self


class SplitConfig(Lookup):
    """A semantic codebook beside residual acoustic ones, outputs summed (Mimi)."""

    type: Literal["split"] = knob("split", "A semantic codebook beside residual acoustic ones.")
    codebooks: Annotated[int, Field(ge=2)] = knob(8, "Number of codebooks, the semantic one included.")
    dropout: Probability = knob(0.5, "Share of a batch that uses only the first n codebooks, n drawn uniformly (DAC).")


class FSQConfig(Section):
    """Finite scalar quantization: a few rounded dimensions, whose product is one code."""

    type: Literal["fsq"] = knob("fsq", "Finite scalar quantization: one codebook that needs no learning.")
    levels: tuple[Annotated[int, Field(ge=2)], ...] = knob(
        (4, 4, 4, 4, 4, 4, 4, 4), "Values per dimension; their product is the number of codes."
    )
    bypass: Probability = knob(0.0, "Share of the training items that the decoder gets unquantized (Mimi: 0.5).")


class SemanticConfig(Section):
    """Features of a frozen speech encoder, for codes that carry what is said."""

    teacher: str = knob(
        "whisper-base",
        "`whisper-tiny.en`, `whisper-base`, or a directory or hub name of a WavLM, HuBERT, w2v-BERT or Whisper.",
    )
    layer: int = knob(-1, "Which of its hidden states; -1 is the last.")
    mode: Literal["distil", "fuse"] = knob(
        "distil",
        "`distil`: the first codebook learns to predict the features (Mimi). `fuse`: they enter beside the acoustic "
        "frames and are predicted again from the codes (XCodec2).",
    )
    weights_sha256: str = knob("", "Digest of the encoder's weights; others give other codes.", filled_in=True)


class CodecConfig(Section):
    """`encoder` → (transformer) → ÷ `downsample` → `quantizer` → × `downsample` → (transformer) → `decoder`."""

    sample_rate: PositiveInt = knob(16_000, "Samples per second.")
    causal: bool = knob(
        False,
        "Every layer sees only the past, so that audio can be encoded and decoded chunk by chunk as it arrives. false: "
        "layers also see what follows, and the whole recording is needed at once.",
    )
    latent_dim: PositiveInt = knob(256, "Width of the frames between encoder and decoder.")
    downsample: PositiveInt = knob(1, "Frames of the encoder per frame of the quantizer (Mimi: 2).")
    encoder: Annotated[ConvEncoder | STFTEncoder, Field(discriminator="type")] = knob(
        ConvEncoder(), "Waveform to frames."
    )
    decoder: Annotated[ConvDecoder | VocosDecoder, Field(discriminator="type")] = knob(
        ConvDecoder(), "Frames to waveform."
    )
    quantizer: Annotated[
        VQConfig | RVQConfig | FSQConfig | MultiScaleConfig | SplitConfig, Field(discriminator="type")
    ] = knob(RVQConfig(), "Frames to codes.")
    norm: bool = knob(
        True,
        "Keep mean 0 and variance 1 over the training batches in each channel that is quantized (batch normalization "
        "without weights), so that frames stay within the quantizer's range and apart. The published codecs do not.",
    )
    semantic: SemanticConfig | None = knob(None, "Features of a speech encoder; null: none.")

    @property
    def hop(self) -> int:
        """Samples per frame of the quantizer."""
        return self.encoder.hop * self.downsample

    def taught_by(self, weights_sha256: str) -> CodecConfig:
        """This configuration with the digest of the speech encoder's weights."""
        assert self.semantic is not None
        known = self.semantic.model_copy(update={"weights_sha256": weights_sha256})
        return self.model_copy(update={"semantic": known})

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

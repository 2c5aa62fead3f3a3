"""Published codecs as codecs of this project: the weights of transformers' `DacModel`, which has the same layers.

A transposed convolution of odd stride is cut off one sample earlier here, so at strides 8, 5, 4, 2 the same codes sound
8 samples later. EnCodec's encoder has an LSTM, Mimi's transformer and SNAC's noise are other ones, and are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from speech_eval.adapters.checkpoints import locate
from speech_eval.errors import BadInput
from speech_eval.reference_models.codec.config import CodecConfig
from speech_eval.reference_models.codec.layers import ResidualUnit, Snake
from speech_eval.reference_models.codec.model import Codec
from speech_eval.reference_models.codec.streaming import Conv1d, ConvTranspose1d
from speech_eval.reference_models.training.checkpoint import DESCRIPTION, find_checkpoint


def locate_start(init: str) -> Path:
    """The directory of what `--init` names: a checkpoint of this project, or a published codec, `hf:ORG/REPO` or a
    directory of transformers."""
    foreign = (Path(init) / "config.json").is_file() and not (Path(init) / DESCRIPTION).is_file()
    if foreign or init.startswith("hf:"):
        return locate(init.removeprefix("hf:")).directory
    return find_checkpoint(init, "--init")


def load_start(directory: Path) -> Codec:
    """The codec of a directory that `locate_start` found. Raises `BadInput` for a class that cannot be trained here."""
    if (directory / DESCRIPTION).is_file():
        return Codec.load(directory)[0]
    from transformers import AutoConfig, DacModel

    kind = AutoConfig.from_pretrained(directory).model_type
    if kind != "dac":
        raise BadInput(
            f"--init {directory}: a codec of type {kind} has layers that no configuration of this project has.",
            "Start from a DAC, or from a checkpoint of this project.",
        )
    return from_dac(DacModel.from_pretrained(directory, dtype=torch.float32))


def from_dac(model: Any) -> Codec:
    """A codec with the layers and weights of a `DacModel`."""
    theirs = model.config
    codec = Codec(
        CodecConfig.model_validate(
            {
                "sample_rate": theirs.sampling_rate,
                "latent_dim": theirs.hidden_size,
                "norm": False,
                "encoder": {
                    "type": "conv",
                    "channels": theirs.encoder_hidden_size,
                    "strides": list(theirs.downsampling_ratios),
                },
                "decoder": {
                    "type": "conv",
                    "channels": theirs.decoder_hidden_size,
                    "strides": list(theirs.downsampling_ratios)[::-1],
                },
                "quantizer": {
                    "type": "rvq",
                    "lookup": "cosine",
                    "codebooks": theirs.n_codebooks,
                    "codebook_size": theirs.codebook_size,
                    "codebook_dim": theirs.codebook_dim,
                    "restart_below": 0.0,
                },
            }
        )
    )
    with torch.no_grad():
        for own, other in zip(_ours(codec), _theirs(model), strict=True):
            _copy(own, other)
    return codec


def _ours(codec: Any) -> Iterator[nn.Module]:
    """The layers with weights, as a waveform meets them, then the quantizer's."""
    for stack in (codec.encoder.layers, codec.decoder.layers):
        for layer in stack:
            if isinstance(layer, ResidualUnit):
                yield from (layer.act1, layer.conv1, layer.act2, layer.conv2)
            elif isinstance(layer, Conv1d | ConvTranspose1d | Snake):
                yield layer
    for book in codec.quantizer.books:
        yield from (book.project_in, book.codes, book.project_out)


def _theirs(model: Any) -> Iterator[nn.Module]:
    """The same layers of a `DacModel`."""
    encoder, decoder = model.encoder, model.decoder
    yield encoder.conv1
    for block in encoder.block:
        yield from _units(block)
        yield from (block.snake1, block.conv1)
    yield from (encoder.snake1, encoder.conv2, decoder.conv1)
    for block in decoder.block:
        yield from (block.snake1, block.conv_t1)
        yield from _units(block)
    yield from (decoder.snake1, decoder.conv2)
    for book in model.quantizer.quantizers:
        yield from (book.in_proj, book.codebook, book.out_proj)


def _units(block: Any) -> Iterator[nn.Module]:
    for unit in (block.res_unit1, block.res_unit2, block.res_unit3):
        yield from (unit.snake1, unit.conv1, unit.snake2, unit.conv2)


def _copy(own: Any, other: Any) -> None:
    if isinstance(own, Snake):
        own.alpha.copy_(other.alpha[0])
    elif isinstance(own, nn.Embedding):
        own.weight.copy_(other.weight)
    else:
        own.conv.weight = _fitting(own.conv.weight, other.weight)  # through weight normalization
        bias = own.bias if isinstance(own, ConvTranspose1d) else own.conv.bias
        bias.copy_(_fitting(bias, other.bias))


def _fitting(own: Tensor, other: Tensor) -> Tensor:
    assert own.shape == other.shape, (own.shape, other.shape)
    return other.detach()

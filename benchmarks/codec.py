"""What the codec stack costs on one CPU core.

    python benchmarks/codec.py [stream|quantizer|train] [--rounds 15]

stream     one 80 ms frame, code by code as a voice agent hears it, beside transformers' Mimi of equal size
quantizer  forward and backward beside vector-quantize-pytorch (extra `bench`), as codebooks are added
train      forward and backward of a step on 4 × 1 s of 16 kHz audio

Weights are random: cost does not depend on them. Both sides of a pair are timed one after the other in every round, and
the ratio is taken within the round. Milliseconds are of the processor, so that a busy machine does not count.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from statistics import median
from time import process_time
from typing import Any

import torch
from torch import Tensor

from speech_eval.reference_models.codec.config import CodecConfig, RVQConfig
from speech_eval.reference_models.codec.model import Codec
from speech_eval.reference_models.codec.quantizers import build_quantizer

FRAME = 0.08  # seconds
ELU = {"kernel": 3, "dilations": [1], "compress": 2, "activation": "elu"}
LAYERS = {"layers": 8, "heads": 8, "mlp": 2048, "context": 250}
MIMI = {  # the shape of kyutai/mimi: 12.5 Hz, 24 kHz
    "sample_rate": 24_000,
    "causal": True,
    "latent_dim": 512,
    "downsample": 2,
    "encoder": {"type": "conv", "channels": 64, "strides": [4, 5, 6, 8], "units": ELU, "transformer": LAYERS},
    "decoder": {
        "type": "conv",
        "channels": 1024,
        "strides": [8, 6, 5, 4],
        "units": ELU,
        "tanh": False,
        "transformer": LAYERS,
    },
    "quantizer": {"type": "split", "codebooks": 32, "codebook_size": 2048, "lookup": "ema", "codebook_dim": 256},
}
SPECTRAL = {  # what trains on a laptop: spectra in, spectra out, 50 Hz, 4 kbit/s
    "causal": True,
    "encoder": {"type": "stft", "n_fft": 640, "hop": 320, "channels": 256, "blocks": 4},
    "decoder": {"type": "vocos", "n_fft": 640, "hop": 320, "channels": 256, "blocks": 6},
    "quantizer": {"type": "rvq", "codebooks": 8},
}
WAVEFORM = {  # DAC's layers, an eighth as wide
    "encoder": {"type": "conv", "channels": 8},
    "decoder": {"type": "conv", "channels": 192},
    "quantizer": {"type": "rvq", "codebooks": 8},
}
MIXED = SPECTRAL | {"encoder": {"type": "conv", "channels": 8, "units": ELU}}


def build(config: dict[str, Any]) -> Codec:
    torch.manual_seed(0)
    return Codec(CodecConfig.model_validate(config))


def millions(module: torch.nn.Module) -> float:
    return round(sum(parameter.numel() for parameter in module.parameters()) / 1e6, 2)


def paired(sides: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each side in each round, after one round that warms up."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for round_ in range(rounds + 1):
        for name, side in sides.items():
            start = process_time()
            side()
            if round_:
                times[name].append(1000 * (process_time() - start))
    return times


def ratio(times: dict[str, list[float]], ours: str, theirs: str) -> float:
    return round(median(a / b for a, b in zip(times[ours], times[theirs], strict=True)), 3)


def show(**record: Any) -> None:
    print(json.dumps(record), flush=True)


def decoder_of(codec: Codec, codebooks: int) -> Callable[[], Tensor]:
    """One call, one more 80 ms frame of a stream that has been going on for as long as its memory reaches."""
    codec.remove_weight_norm()
    codec.eval()
    frames = round(FRAME * codec.frame_rates[0])
    codes = [torch.randint(size, (1, frames)) for size in codec.codebook_sizes[:codebooks]]
    state = codec.start_stream()
    with torch.inference_mode():
        codec.stream_decode([book.repeat(1, 250 // frames) for book in codes], state)

    def step() -> Tensor:
        with torch.inference_mode():
            return codec.stream_decode(codes, state)

    return step


def mimi_decoder(codebooks: int, **smaller: int) -> tuple[float, Callable[[], object]]:
    """transformers' Mimi, in its published size or `smaller`. Its cache covers the transformer; convolutions start
    anew with every frame, which is less work and not the same answer.
    """
    from transformers import DynamicCache, MimiConfig, MimiModel

    model = MimiModel(MimiConfig(**smaller)).eval()
    codes = torch.randint(model.config.codebook_size, (1, codebooks, 1))
    with torch.inference_mode():
        past = model.decode(codes.repeat(1, 1, 125), decoder_past_key_values=DynamicCache(), return_dict=True)
    cache = past.decoder_past_key_values

    def step() -> object:
        with torch.inference_mode():
            out = model.decode(codes, decoder_past_key_values=cache, return_dict=True)
        cache.crop(-2)  # a frame is two steps of the transformer
        return out

    return millions(model), step


SMALL_MIMI = {
    "num_filters": 16,
    "hidden_size": 256,
    "num_hidden_layers": 3,
    "intermediate_size": 512,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "upsample_groups": 256,
    "codebook_size": 1024,
    "codebook_dim": 64,
    "vector_quantization_hidden_dimension": 64,
    "num_quantizers": 8,
}


def stream(rounds: int) -> None:
    for name, config, smaller in (("mimi-shape", MIMI, {}), ("spectral", SPECTRAL, SMALL_MIMI)):
        codec = build(config)
        size, ours = millions(codec), decoder_of(codec, 8)
        their_size, theirs = mimi_decoder(8, **smaller)
        times = paired({"ours": ours, "theirs": theirs}, rounds)
        show(
            what="decode one 80 ms frame",
            codec=name,
            parameters_m=size,
            ours_ms=round(median(times["ours"]), 2),
            ours_worst_ms=round(max(times["ours"]), 2),
            transformers_mimi_parameters_m=their_size,
            transformers_mimi_ms=round(median(times["theirs"]), 2),
            ratio=ratio(times, "ours", "theirs"),
        )


def quantizer(rounds: int) -> None:
    from loguru import logger
    from vector_quantize_pytorch import ResidualVQ

    logger.disable("vector_quantize_pytorch")  # it warns that 200 vectors start 1024 codes

    z = torch.randn(4, 256, 50)
    for codebooks in (1, 4, 8):
        for lookup, dim in (("cosine", 8), ("ema", 256)):
            torch.manual_seed(0)
            config = RVQConfig(
                codebooks=codebooks,
                dropout=0.0,
                lookup=lookup,  # type: ignore[arg-type]
                codebook_dim=dim,
                restart_below=0.0 if lookup == "cosine" else 0.1,
            )
            ours = build_quantizer(config, 256).train()
            options = {"codebook_dim": 8, "use_cosine_sim": True} if lookup == "cosine" else {"kmeans_init": True}
            theirs = ResidualVQ(dim=256, num_quantizers=codebooks, codebook_size=1024, **options).train()

            def our_step(module: Any = ours) -> None:
                x = z.clone().requires_grad_()
                out = module(x)
                (out.latent.square().mean() + sum(out.losses.values())).backward()

            def their_step(module: Any = theirs) -> None:
                x = z.mT.clone().requires_grad_()
                latent, _, losses = module(x)
                (latent.square().mean() + losses.sum()).backward()

            times = paired({"ours": our_step, "theirs": their_step}, rounds)
            show(
                what="quantizer forward and backward, 4 × 50 frames of 256",
                lookup=lookup,
                codebooks=codebooks,
                ours_ms=round(median(times["ours"]), 2),
                vector_quantize_pytorch_ms=round(median(times["theirs"]), 2),
                ratio=ratio(times, "ours", "theirs"),
            )


def train(rounds: int) -> None:
    audio = 0.1 * torch.randn(4, 1, 16_000)
    codecs = {"spectral": build(SPECTRAL), "conv encoder, vocos": build(MIXED), "waveform": build(WAVEFORM)}

    def step(codec: Codec) -> None:
        out = codec(audio)
        (out.audio.abs().mean() + sum(out.losses.values())).backward()

    times = paired({name: lambda codec=codec: step(codec) for name, codec in codecs.items()}, rounds)  # type: ignore[misc]
    for name, values in times.items():
        show(
            what="forward and backward of 4 × 1 s",
            codec=name,
            parameters_m=millions(codecs[name]),
            bits_per_second=round(codecs[name].bitrate),
            median_ms=round(median(values), 1),
            best_ms=round(min(values), 1),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", nargs="*", help="stream, quantizer, train; all by default")
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name, part in {"stream": stream, "quantizer": quantizer, "train": train}.items():
        if name in arguments.part or not arguments.part:
            part(arguments.rounds)


if __name__ == "__main__":
    main()

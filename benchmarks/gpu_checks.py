"""For gpu.py: what training computes on an accelerator beside what it does on a CPU, and what each recipe costs there.

Each function yields rows of numbers, so that what was measured is printed before what follows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from gpu_cases import Case, DrawnOnCPU, case, names, resolved, waves

from speech_eval.reference_models.codec.model import Codec
from speech_eval.reference_models.training.state import load_training, save_training

SMALL = "smoke"
CPU = torch.device("cpu")
EXACT = {"training": {"precision": "float32"}}
Row = dict[str, Any]


@contextmanager
def exact() -> Iterator[None]:
    """float32 as a CPU has it: without TF32, which keeps 10 bits of a number."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = False
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


def equal(device: torch.device, steps: int = 5) -> Iterator[Row]:
    """Losses of the first steps on the device and on a CPU, float32, same draws: the largest relative difference in the
    first step, and in all. Later ones differ more where rounding gives a frame another code."""
    for name in names(SMALL):
        curves = []
        for where in (CPU, device):
            with DrawnOnCPU():
                made = case(name, SMALL, where, EXACT)
                curves.append([made.step(number) for number in range(steps)])
        apart = [max(abs(a[key] - b[key]) / max(abs(a[key]), 0.01) for key in a) for a, b in zip(*curves, strict=True)]
        yield {"recipe": name, "steps": steps, "first_step": apart[0], "largest_difference": max(apart)}


def trained_codecs(device: torch.device, steps: int = 3) -> Iterator[tuple[str, Codec, torch.Tensor]]:
    """The codec of each recipe after some steps, in evaluation mode, and recordings for it."""
    for name in names(SMALL):
        if not name.startswith("codec/"):
            continue
        with torch.enable_grad():
            made = case(name, SMALL, device, EXACT)
            _steps(made, 0, steps)
        codec = made.modules["codec"]
        assert isinstance(codec, Codec)
        rate = codec.config.sample_rate
        yield name, codec.eval(), waves(4, 2 * rate, rate).to(device)


@torch.no_grad()
def codes(device: torch.device) -> Iterator[Row]:
    """Shares of the codes that are the same with layers in bfloat16, and on a CPU, as in float32 on the device."""
    for name, codec, audio in trained_codecs(device):
        with torch.autocast(device.type, torch.bfloat16):
            rounded = codec.encode(audio)
        here = codec.encode(audio)
        there = codec.to(CPU).encode(audio.to(CPU))
        yield {
            "recipe": name,
            "bf16": _same(rounded, here),
            "cpu": _same([book.to(device) for book in there], here),
        }


def _same(some: list[torch.Tensor], others: list[torch.Tensor]) -> float:
    equal = torch.cat([(a == b).flatten() for a, b in zip(some, others, strict=True)])
    return float(equal.float().mean())


@torch.no_grad()
def stream(device: torch.device) -> Iterator[Row]:
    """Causal codecs in pieces of 80 ms beside the whole: share of equal codes, largest difference of samples."""
    for name, codec, audio in trained_codecs(device):
        if not codec.config.causal:
            continue
        state, piece = codec.start_stream(), int(0.08 * codec.config.sample_rate)
        pieces = audio.split(piece, -1)
        found = [codec.stream_encode(part, state, last=part is pieces[-1]) for part in pieces]
        whole = codec.encode(audio)
        streamed = [torch.cat(book, -1) for book in zip(*found, strict=True)]
        state, blocks = codec.start_stream(), whole[0].shape[-1] * codec.quantizer.strides[0] * codec.hop // codec.block
        parts = [book.chunk(blocks, -1) for book in whole]
        heard = [
            codec.stream_decode([book[at] for book in parts], state, last=at == blocks - 1) for at in range(blocks)
        ]
        apart = (torch.cat(heard, -1) - codec.decode(whole)).abs().max()
        yield {"recipe": name, "same_codes": _same(streamed, whole), "largest_difference": float(apart)}


def resume(device: torch.device) -> Iterator[Row]:
    """Two steps, the state on disk, a new model from it and two more steps, beside four: the largest difference of any
    weight. Operations that add in any order keep it above zero on a GPU."""
    for name in ("codec/dac-16k", "codec/mimi-24k", "tts/llasa", "tts/csm", "conversation/duplex"):
        whole, first, second = (case(name, SMALL, device) for _ in range(3))
        _steps(whole, 0, 4)
        _steps(first, 0, 2)
        with TemporaryDirectory() as folder:
            save_training(Path(folder), first.modules, first.optimizers, {})
            load_training(Path(folder), second.modules, second.optimizers)
        _steps(second, 2, 4)
        weights = zip(_weights(whole), _weights(second), strict=True)
        apart = max(float((a - b).detach().abs().max()) for a, b in weights)
        yield {"recipe": name, "largest_difference": apart}


def _steps(made: Case, start: int, stop: int) -> None:
    for number in range(start, stop):
        made.step(number)


def _weights(made: Case) -> list[torch.Tensor]:
    return [weight for module in made.modules.values() for weight in module.parameters()]


def recipes(device: torch.device, size: str, rounds: int, over: Callable[[], bool]) -> Iterator[Row]:
    """Seconds of a step and gigabytes at each recipe's own batch, and how far that gets in its schedule. Nothing is
    measured that would begin after `over()`."""
    for name in names(size):
        if over():
            yield {"recipe": name, "left_out": "no time"}
            continue
        try:
            yield {"recipe": name, "size": size, **_cost(name, size, rounds, device)}
        except Exception as error:  # the others are worth their time all the same
            yield {"recipe": name, "error": str(error).splitlines()[0][:200]}
        if device.type == "cuda":
            torch.cuda.empty_cache()


def _cost(name: str, size: str, rounds: int, device: torch.device) -> Row:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    made, training = case(name, size, device), resolved(name, size)["training"]
    best = float("inf")
    for number in range(rounds + 2):
        begun = time.perf_counter()
        made.step(number)  # it waits for the device
        if number >= 2:
            best = min(best, time.perf_counter() - begun)
    steps, minutes = training["steps"], training.get("minutes")
    whole = steps * best / 60
    return {
        "seconds": best,
        "gigabytes": torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else 0.0,
        "parameters": sum(weight.numel() for weight in _weights(made)),
        "minutes": whole if minutes is None else min(whole, minutes),
        "minutes_of_all_steps": whole,
        "steps_done": steps if minutes is None else min(steps, int(60 * minutes / best)),
    }

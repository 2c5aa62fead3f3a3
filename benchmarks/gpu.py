"""What the training stacks do on an accelerator: one JSON line per measurement (see gpu.sh).

equal     losses of the first steps of each recipe's smallest size, in float32, beside those on a CPU
codes     shares of a codec's codes that layers in bfloat16, and a CPU, leave as they are
stream    causal codecs in pieces of 80 ms beside the whole
resume    training stopped and resumed beside training straight through
recipes   seconds per step, memory, and what the schedule takes at that speed, for each recipe at size `reference`
codec     seconds per step of DAC's 16 kHz architecture, beside transformers' DacModel
lm        seconds per step of a speech LM, tokens per second and the share of a large matrix product's speed (MFU)
csm       a step with the depth decoder on all frames over one on a sixteenth of them
curves    losses of 50 steps in bf16 beside float32
compile   a step of the speech LM over one compiled by torch.compile
sampling  tokens per second of a batch of utterances
budget    minutes that a budget of codec-modelability takes, at the speed of one batch, for a codec of 200 tokens per
          second, and its memory

Weights and codes are random: cost does not depend on them. Nothing begins after `--seconds`, and an error ends only the
measurement that it is in. Recipes that need a hub's model or a speech encoder are left out, semantic losses too.
"""

from __future__ import annotations

import argparse
import json
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import gpu_checks
import torch
import transformers
from torch import Tensor
from transformers import DacConfig, DacModel

from speech_eval.reference_models.codec.config import CodecConfig
from speech_eval.reference_models.codec.losses import MelLoss
from speech_eval.reference_models.codec.model import Codec
from speech_eval.reference_models.modelability.budget import BUDGETS
from speech_eval.reference_models.modelability.model import CodeLM, CodeLMConfig
from speech_eval.reference_models.speech_lm.interface import Utterance
from speech_eval.reference_models.speech_lm.sampling import Sampling, generate
from speech_eval.reference_models.training.config import OptimizerConfig
from speech_eval.reference_models.training.distributed import Precision, autocast
from speech_eval.reference_models.training.loop import adamw
from speech_eval.reference_models.tts.building import TokenLM, build
from speech_eval.reference_models.tts.config import TTSConfig
from speech_eval.reference_models.tts.train import peak_flops


@dataclass(frozen=True)
class Size:
    """Shapes of one run of this script."""

    channels: tuple[int, int, int]  # DAC's encoder, latent and decoder
    batch: int
    seconds: float
    core: dict[str, Any]
    depth: dict[str, Any]
    sequence: int
    books: int
    rounds: int
    budget: str
    rows: int  # recordings of ten seconds in a batch of the budget
    speakers: int
    compiler: str
    small: dict[str, Any]  # changes of `core` where steps are many or layers are compiled
    recipes: str
    steps: int


FULL = Size(
    channels=(64, 1024, 1536),
    batch=9,
    seconds=0.38,
    core={"width": 2048, "layers": 16, "heads": 32, "kv_heads": 8, "feed_forward": 8192, "positions": 2048},
    depth={"width": 1024, "layers": 4, "heads": 8, "kv_heads": 2, "feed_forward": 8192},
    sequence=2048,
    books=32,
    rounds=5,
    budget="h100-2",
    rows=30,
    speakers=64,
    compiler="inductor",
    small={"width": 1024, "layers": 8, "heads": 16, "feed_forward": 4096},
    recipes="reference",
    steps=5,
)
TINY = Size(
    channels=(4, 32, 64),
    batch=1,
    seconds=0.2,
    core={"width": 32, "layers": 2, "heads": 2, "feed_forward": 64, "positions": 128},
    depth={"width": 16, "layers": 1, "heads": 2, "feed_forward": 32},
    sequence=128,
    books=4,
    rounds=2,
    budget="smoke-2",
    rows=1,
    speakers=2,
    compiler="aot_eager",
    small={},
    recipes="smoke",
    steps=2,
)
OPTIMIZER = OptimizerConfig(learning_rate=3e-4, clip_norm=1.0)
TOKENS_PER_SECOND = 200
Step = Callable[[], float]


def say(measurement: str, **numbers: Any) -> None:
    rounded = {name: float(f"{value:.5g}") if isinstance(value, float) else value for name, value in numbers.items()}
    print(json.dumps({"measurement": measurement, **rounded}), flush=True)


def seconds_of(step: Step, rounds: int, device: torch.device) -> float:
    """Least seconds of a step, after two that warm up."""
    best = float("inf")
    for number in range(rounds + 2):
        begun = time.perf_counter()
        step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        if number >= 2:
            best = min(best, time.perf_counter() - begun)
    return best


def stepper(model: torch.nn.Module, loss: Callable[[], Tensor], device: torch.device, precision: Precision) -> Step:
    """A step of AdamW on `loss()`."""
    optimizer = adamw(model.train(), OPTIMIZER)

    def step() -> float:
        with autocast(device, precision):
            value = loss()
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), OPTIMIZER.clip_norm)
        optimizer.step()
        return float(value.detach())

    return step


# ------------------------------------------------------------------------------------------------- codec


def dac(size: Size, device: torch.device) -> Codec:
    encoder, latent, decoder = size.channels
    config = {
        "latent_dim": latent,
        "norm": False,
        "encoder": {"type": "conv", "channels": encoder},
        "decoder": {"type": "conv", "channels": decoder},
        "quantizer": {"type": "rvq", "codebooks": 12},
    }
    return Codec(CodecConfig.model_validate(config)).to(device)


def public_dac(size: Size, device: torch.device) -> DacModel:
    encoder, _, decoder = size.channels
    config = DacConfig(
        encoder_hidden_size=encoder,
        downsampling_ratios=[2, 4, 5, 8],
        decoder_hidden_size=decoder,
        n_codebooks=12,
        sampling_rate=16_000,
    )
    return DacModel(config).to(device)


def measure_codec(size: Size, device: torch.device) -> None:
    audio = 0.1 * torch.randn(size.batch, 1, int(16_000 * size.seconds) // 320 * 320, device=device)
    mel = MelLoss(16_000).to(device)
    ours, theirs = dac(size, device), public_dac(size, device)

    def our_loss() -> Tensor:
        out = ours(audio)
        return 15 * mel(out.audio, audio) + 0.25 * out.losses["commitment"] + out.losses["codebook"]

    def their_loss() -> Tensor:
        out = theirs(audio)
        heard = out.audio_values.reshape(len(audio), 1, -1)  # some samples shorter than it was given
        return 15 * mel(heard, audio[..., : heard.shape[-1]]) + out.loss.mean()

    for precision in ("float32", "bf16"):
        found = {
            name: seconds_of(stepper(model, loss, device, precision), size.rounds, device)  # type: ignore[arg-type]
            for name, model, loss in (("ours", ours, our_loss), ("transformers", theirs, their_loss))
        }
        say("codec", precision=precision, **found, ratio=found["ours"] / found["transformers"])


# ---------------------------------------------------------------------------------------------- speech LM


def speech_lm(size: Size, layout: str, device: torch.device, share: float = 1.0) -> TokenLM:
    books = ((1024,), (50.0,)) if layout == "flat" else ((1024,) * size.books, (12.5,) * size.books)
    config = {
        "layout": layout,
        "codec": {"spec": "none", "codebook_sizes": books[0], "frame_rates": books[1]},
        "core": {"type": "llama", **size.core},
        "depth": {**size.depth, "share": share} if layout == "csm" else None,
    }
    torch.manual_seed(0)
    return build(TTSConfig.model_validate(config)).to(device)


def lm_batch(model: TokenLM, size: Size, device: torch.device) -> tuple[Tensor, Tensor]:
    """Ids and labels of speech alone, each code the one before it plus one: something that can be learned."""
    torch.manual_seed(1)
    count = model.tokenizer.streams
    first = torch.randint(900, (size.batch, 1, count)) + torch.arange(size.sequence)[None, :, None] % 100
    if count == 1:
        ids = first[..., 0] + model.tokenizer.first_code
        return ids.to(device), ids.roll(-1, 1).to(device)
    first[..., -1] = -1  # no text
    labels = first.roll(-1, 1)
    labels[..., -1] = -100
    return first.to(device), labels.to(device)


def lm_step(model: TokenLM, size: Size, device: torch.device, precision: Precision, forward: Any = None) -> Step:
    ids, labels = lm_batch(model, size, device)
    counts = {kind: float(count) for kind, count in model.counts(labels).items()}
    called = model if forward is None else forward
    return stepper(model, lambda: model.loss(called(ids, labels), counts), device, precision)


def at_most(size: Size, batch: int, sequence: int = 2048) -> Size:
    """The size with fewer positions, for what needs more memory or time for each."""
    return replace(size, batch=min(size.batch, batch), sequence=min(size.sequence, sequence))


def measure_lm(size: Size, device: torch.device) -> None:
    size = at_most(size, 4)
    model = speech_lm(size, "flat", device)
    _, labels = lm_batch(model, size, device)
    positions = size.batch * size.sequence
    flops = model.flops(positions, {kind: float(count) for kind, count in model.counts(labels).items()})
    for precision, dtype in (("float32", torch.float32), ("bf16", torch.bfloat16)):
        seconds = seconds_of(lm_step(model, size, device, precision), size.rounds, device)  # type: ignore[arg-type]
        mfu = flops / seconds / peak_flops(device, dtype)
        say("lm", precision=precision, seconds=seconds, tokens_per_second=positions / seconds, mfu=mfu)


def measure_csm(size: Size, device: torch.device) -> None:
    size, found = at_most(size, 2, 1024), {}
    for share in (1.0, 1 / 16):
        model = speech_lm(size, "csm", device, share)
        found[share] = seconds_of(lm_step(model, size, device, "bf16"), size.rounds, device)
    say("csm", codebooks=size.books, all_frames=found[1.0], a_sixteenth=found[1 / 16], ratio=found[1.0] / found[1 / 16])


def measure_curves(size: Size, device: torch.device, steps: int = 50) -> None:
    size, curves = replace(at_most(size, 4), core=size.core | size.small), {}
    for precision in ("float32", "bf16"):
        step = lm_step(speech_lm(size, "flat", device), size, device, precision)  # type: ignore[arg-type]
        curves[precision] = [step() for _ in range(steps)]
    apart = max(abs(a - b) / a for a, b in zip(curves["float32"], curves["bf16"], strict=True))
    say("curves", steps=steps, largest_difference=apart, **{name: curve[9::10] for name, curve in curves.items()})


def measure_compile(size: Size, device: torch.device) -> None:
    size = replace(at_most(size, 4), core=size.core | size.small)
    model = speech_lm(size, "flat", device)
    plain = seconds_of(lm_step(model, size, device, "bf16"), size.rounds, device)
    begun = time.perf_counter()
    step = lm_step(model, size, device, "bf16", torch.compile(model, backend=size.compiler))
    step()
    first = time.perf_counter() - begun
    compiled = seconds_of(step, size.rounds, device)
    say("compile", plain=plain, compiled=compiled, ratio=plain / compiled, first_step=first)


def measure_sampling(size: Size, device: torch.device) -> None:
    model = speech_lm(size, "flat", device).eval()
    asked = [Utterance(str(number), "one two three", number) for number in range(size.speakers)]
    tokens = min(200, size.sequence // 2)
    for top_p in (1.0, 0.9):
        generate(model, asked[:1], Sampling(max_tokens=4, top_p=top_p))
        begun = time.perf_counter()
        said = generate(model, asked, Sampling(max_tokens=tokens, top_p=top_p))
        seconds = time.perf_counter() - begun
        say("sampling", batch=len(said), top_p=top_p, tokens_per_second=sum(len(item.ids) for item in said) / seconds)


def measure_budget(size: Size, device: torch.device) -> None:
    budget = BUDGETS[size.budget]
    vocabulary = 1024 + 256 + 2
    shape = (budget.width, budget.layers, budget.heads, budget.feed_forward, budget.positions)
    config = CodeLMConfig((vocabulary,), ((((0, vocabulary),),),), *shape)
    model = CodeLM(config, budget.checkpointing).to(device)
    length = 10 * TOKENS_PER_SECOND  # a recording of ten seconds
    rows = size.rows
    tokens = torch.randint(vocabulary, (rows, 1, length), device=device)
    step = stepper(model, lambda: model.nll(tokens, tokens).mean(), device, budget.precision)
    positions_per_second = rows * length / seconds_of(step, size.rounds, device)
    positions = budget.seconds * budget.passes * TOKENS_PER_SECOND
    memory = torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else 0.0
    say(
        "budget",
        name=size.budget,
        minutes=positions / positions_per_second / 60,
        flops_per_second=model.flops_per_step() * positions_per_second,
        gigabytes=memory,
        batch_seconds=10 * rows,
    )


def measure_equal(size: Size, device: torch.device) -> None:
    with gpu_checks.exact():
        for row in gpu_checks.equal(device, size.steps):
            say("equal", **row)


def measure_codes(size: Size, device: torch.device) -> None:
    with gpu_checks.exact():
        for row in gpu_checks.codes(device):
            say("codes", **row)


def measure_stream(size: Size, device: torch.device) -> None:
    with gpu_checks.exact():
        for row in gpu_checks.stream(device):
            say("stream", **row)


def measure_resume(size: Size, device: torch.device) -> None:
    for row in gpu_checks.resume(device):
        say("resume", **row)


def measure_recipes(size: Size, device: torch.device) -> None:
    for row in gpu_checks.recipes(device, size.recipes, min(size.rounds, 3), over):
        say("recipes", **row)


# By worth, in case time runs out.
MEASUREMENTS = {
    "equal": measure_equal,
    "resume": measure_resume,
    "stream": measure_stream,
    "codes": measure_codes,
    "recipes": measure_recipes,
    "lm": measure_lm,
    "curves": measure_curves,
    "csm": measure_csm,
    "codec": measure_codec,
    "compile": measure_compile,
    "budget": measure_budget,
    "sampling": measure_sampling,
}
BEGUN, limit = time.monotonic(), float("inf")


def over() -> bool:
    """Whether no time is left to begin something."""
    return time.monotonic() - BEGUN > limit


def main() -> None:
    global limit
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", help=f"some of {', '.join(MEASUREMENTS)}; all if none is named")
    parser.add_argument("--tiny", action="store_true", help="the smallest shapes, for a CPU")
    parser.add_argument("--seconds", type=float, default=170, help="begin no measurement later (default: 170)")
    given = parser.parse_args()
    limit = given.seconds
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name = torch.cuda.get_device_name() if device.type == "cuda" else "cpu"
    say("device", name=name, torch=torch.__version__, transformers=transformers.__version__, tiny=given.tiny)
    for what in given.what or MEASUREMENTS:
        if over():
            say(what, left_out="no time")
            continue
        if device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        begun = time.perf_counter()
        try:
            MEASUREMENTS[what](TINY if given.tiny else FULL, device)
        except Exception as error:  # the others are worth their time all the same
            traceback.print_exc(limit=-3)
            say(what, error=f"{type(error).__name__}: {error}".splitlines()[0][:300])
        say("took", what=what, seconds=time.perf_counter() - begun)


if __name__ == "__main__":
    main()

"""Trainings that need no data and no hub, for gpu.py: each recipe's model at a size, with batches drawn at random.

A case is a `Case`: the modules that learn, their optimizers, and `step(number)`, which does what a training step of the
stack does and gives its losses by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from speech_eval.reference_models import recipes
from speech_eval.reference_models.codec.config import CodecConfig
from speech_eval.reference_models.codec.discriminators import Discriminators
from speech_eval.reference_models.codec.losses import (
    LossTable,
    MelLoss,
    STFTLoss,
    adversarial_loss,
    discriminator_loss,
    feature_matching_loss,
)
from speech_eval.reference_models.codec.model import Codec
from speech_eval.reference_models.codec.training_config import TrainingConfig
from speech_eval.reference_models.conversation.duplex.config import DuplexConfig, DuplexTrainingConfig
from speech_eval.reference_models.conversation.duplex.model import DuplexLM
from speech_eval.reference_models.conversation.flow.config import FlowConfig, FlowTrainingConfig
from speech_eval.reference_models.conversation.flow.model import Detokenizer
from speech_eval.reference_models.recipes.schema import lay_over
from speech_eval.reference_models.training.config import OptimizerConfig
from speech_eval.reference_models.training.distributed import autocast, read
from speech_eval.reference_models.training.loop import adamw, reseed, update
from speech_eval.reference_models.tts.building import build
from speech_eval.reference_models.tts.config import TTSConfig
from speech_eval.reference_models.tts.training_config import TTSTrainingConfig

RECIPES = Path(recipes.__file__).parent
# The codecs of the sizes `reference` and `smoke` of the recipes that name one by its spec.
CODES = {
    "voice-16k": {"codebook_sizes": [1000], "frame_rates": [50.0], "sample_rate": 16_000},
    "duplex-16k": {"codebook_sizes": [512] * 4, "frame_rates": [12.5] * 4, "sample_rate": 16_000},
    "dac-16k-2k": {"codebook_sizes": [1024] * 4, "frame_rates": [50.0] * 4, "sample_rate": 16_000},
}
Losses = dict[str, float]


@dataclass(frozen=True)
class Case:
    """What a training step works on."""

    modules: Mapping[str, nn.Module]
    optimizers: Mapping[str, torch.optim.Optimizer]
    step: Callable[[int], Losses]


class DrawnOnCPU(TorchFunctionMode):
    """Random numbers are drawn on the CPU and moved, so that two devices draw the same."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in (torch.randint, torch.rand, torch.randn, torch.randperm):
            device = kwargs.pop("device", None)
            return func(*args, **kwargs).to(device)
        if func in (torch.randn_like, torch.rand_like):
            plain = torch.randn if func is torch.randn_like else torch.rand
            return plain(args[0].shape, dtype=args[0].dtype).to(args[0].device)
        return func(*args, **kwargs)


def resolved(name: str, size: str) -> dict[str, Any]:
    """The parts of a recipe at a size. The file is read as it is: entry points need an installed package."""
    recipe = yaml.safe_load((RECIPES / f"{name}.yaml").read_text("utf-8"))
    common = {part: recipe.get(part) or {} for part in ("codec", "model", "training")}
    return lay_over(common, recipe["sizes"][size] or {})


def names(size: str) -> list[str]:
    """The recipes of a size whose model needs no hub and no other model's features."""
    found = [f"{file.parent.name}/{file.stem}" for file in sorted(RECIPES.glob("*/*.yaml"))]
    sizes = {name: yaml.safe_load((RECIPES / f"{name}.yaml").read_text("utf-8"))["sizes"] for name in found}
    return [name for name in found if size in sizes[name] and _builder(name, resolved(name, size)) is not None]


def case(name: str, size: str, device: torch.device, changes: dict[str, Any] | None = None) -> Case:
    """The training of a recipe at a size, with `changes` laid over its parts."""
    parts = lay_over(resolved(name, size), changes or {})
    make = _builder(name, parts)
    assert make is not None
    torch.manual_seed(0)
    return make(parts, device)


def _builder(name: str, parts: dict[str, Any]) -> Callable[[dict[str, Any], torch.device], Case] | None:
    if name.startswith("codec/"):
        return codec_case
    if name.startswith("tts/") and "layout" in parts["model"] and parts["model"].get("frontend") != "tokenizer":
        return lm_case
    return {"duplex": duplex_case, "flow": flow_case}.get(parts["model"].get("type", ""))


def codec_of(parts: dict[str, Any]) -> dict[str, Any]:
    """Codebook sizes and rates of the codec that a recipe names."""
    codec = parts["codec"]
    if codec.get("spec") is not None:
        return {"spec": codec["spec"], **CODES[codec["spec"]]}
    trained = lay_over(resolved(codec["recipe"], codec["size"]), codec.get("changes") or {})
    with torch.device("meta"):
        made = Codec(CodecConfig.model_validate(trained["model"] | {"semantic": None}))
    rate = made.config.sample_rate
    return {
        "spec": "none",
        "codebook_sizes": made.codebook_sizes,
        "frame_rates": made.frame_rates,
        "sample_rate": rate,
    }


def waves(count: int, samples: int, rate: int) -> Tensor:
    """Voice-like waveforms [count, 1, samples]: harmonics of a gliding pitch, in syllables, and a little noise."""
    random = np.random.default_rng(0)
    time = np.arange(samples) / rate
    pitch = random.uniform(90, 220, (count, 1)) * (
        1 + 0.1 * np.sin(2 * np.pi * random.uniform(1, 4, (count, 1)) * time)
    )
    phase = 2 * np.pi * np.cumsum(pitch, axis=1) / rate
    voiced = sum(np.sin(k * phase) / k for k in range(1, 12)) * np.abs(np.sin(2 * np.pi * 2.5 * time))
    return torch.from_numpy(0.1 * voiced + 0.003 * random.standard_normal((count, samples))).float()[:, None]


# ------------------------------------------------------------------------------------------------- codecs


def codec_case(parts: dict[str, Any], device: torch.device) -> Case:
    """A codec with its discriminators. Semantic losses are left out: they need a speech encoder."""
    training = dict(parts["training"])
    training["losses"] = {k: v for k, v in training.get("losses", {}).items() if k not in ("distil", "semantic")}
    settings = TrainingConfig.model_validate(training)
    codec = Codec(CodecConfig.model_validate(parts["model"] | {"semantic": None})).to(device).train()
    adversary = settings.adversary
    critics = Discriminators(adversary.parts if adversary else ()).to(device)
    mel = MelLoss(codec.config.sample_rate, settings.mel_windows, settings.mel_bands).to(device)
    stft, table = STFTLoss(settings.stft_windows).to(device), LossTable(settings.weights())
    samples = round(settings.segment_seconds * codec.config.sample_rate) // codec.block * codec.block
    audio = waves(settings.batch_size, samples, codec.config.sample_rate).to(device)
    optimizer = adamw(codec, settings.optimizer)
    critic_optimizer = adamw(critics, adversary.optimizer) if adversary else None

    def step(number: int) -> Losses:
        reseed(0, number)
        with autocast(device, settings.precision):
            out = codec(audio)
        decoded, found = out.audio.float(), dict(out.losses)
        if adversary and critic_optimizer is not None:
            critics.requires_grad_(True)
            with autocast(device, settings.precision):
                maps = critics(torch.cat((audio, decoded.detach())))
            half = len(audio)
            real, fake = ([[part[where] for part in of] for of in maps] for where in (slice(half), slice(half, None)))
            found["discriminator"] = discriminator_loss(real, fake, adversary.kind)
            _learn(critics, critic_optimizer, found["discriminator"], adversary.optimizer)
            critics.requires_grad_(False)
            with autocast(device, settings.precision):
                fake, real = critics(decoded), critics(audio)
            found["adversarial"] = adversarial_loss(fake, adversary.kind)
            found["feature_matching"] = feature_matching_loss(real, fake)
        found |= {"mel": mel(decoded, audio), "stft": stft(decoded, audio)}
        found["waveform"] = torch.nn.functional.l1_loss(decoded, audio)
        learned = table.weighted({key: loss for key, loss in found.items() if table.weights.get(key)})
        _learn(codec, optimizer, torch.stack([loss.float() for loss in learned.values()]).sum(), settings.optimizer)
        return _numbers({key: loss for key, loss in found.items() if key in learned or key == "discriminator"})

    optimizers = {"optimizer": optimizer, **({"critic_optimizer": critic_optimizer} if critic_optimizer else {})}
    return Case({"codec": codec, "critics": critics}, optimizers, step)


# ---------------------------------------------------------------------------------- models of codes


def lm_case(parts: dict[str, Any], device: torch.device) -> Case:
    """A speech LM on one document per row: a text, then codes to the end of the sequence."""
    training = TTSTrainingConfig.model_validate(parts["training"])
    config = TTSConfig.model_validate(parts["model"] | {"frontend": "bytes", "codec": codec_of(parts)})
    model = build(config).to(device).train()
    random = np.random.default_rng(0)
    steps = max(8, training.sequence // sum(config.ratios) if model.tokenizer.streams == 1 else training.sequence)
    sizes = config.codec.codebook_sizes
    rows = []
    for _ in range(training.batch_size):
        codes = [random.integers(0, size, steps * ratio) for size, ratio in zip(sizes, config.ratios, strict=True)]
        rows.append([part[: training.sequence] for part in model.tokenizer.example("one two three", codes)])
    ids, labels = (torch.from_numpy(np.stack([row[part] for row in rows])).to(device) for part in (0, 1))
    counts = {kind: float(count) for kind, count in model.counts(labels).items()}
    return _likelihood_case(
        model, training.precision, training.optimizer, device, lambda: model.loss(model(ids, labels), counts)
    )


def duplex_case(parts: dict[str, Any], device: torch.device) -> Case:
    """A duplex model on random rows, every text a piece or padding."""
    training = DuplexTrainingConfig.model_validate(parts["training"])
    config = DuplexConfig.model_validate(parts["model"] | {"codec": codec_of(parts)})
    model = DuplexLM(config).to(device).train()
    draw = torch.Generator().manual_seed(0)
    shape = (training.batch_size, training.sequence)
    sizes = [config.pieces + 2, *config.codec.codebook_sizes, *config.codec.codebook_sizes]
    rows = torch.stack([torch.randint(size, shape, generator=draw) for size in sizes], -1).to(device)
    before = model.start.expand(len(rows), -1).to(device)
    counts = {kind: float(count) for kind, count in model.counts(rows).items()}
    weights = (training.semantic_weight, training.pad_weight)
    return _likelihood_case(
        model, training.precision, training.optimizer, device, lambda: model.loss(model(rows, before), counts, *weights)
    )


def flow_case(parts: dict[str, Any], device: torch.device) -> Case:
    """A detokenizer: the flow on whole segments, the Vocos head on a part of each."""
    training = FlowTrainingConfig.model_validate(parts["training"])
    config = FlowConfig.model_validate(parts["model"] | {"codec": codec_of(parts)})
    model = Detokenizer(config).to(device).train()
    rate, block = config.codec.sample_rate, config.velocity.block * config.hop
    samples = max(1, round(training.segment_seconds * rate / block)) * block
    audio = waves(training.batch_size, samples, rate).to(device)
    draw, frames = torch.Generator().manual_seed(0), samples // config.hop
    codes = [
        torch.randint(size, (len(audio), frames // repeat), generator=draw).to(device)
        for size, repeat in zip(config.codec.codebook_sizes, config.repeats, strict=True)
    ]
    model.measure(audio)
    mel = MelLoss(rate, training.mel_windows, training.mel_bands).to(device)
    stft, table = STFTLoss(training.stft_windows).to(device), LossTable(dict(training.losses))  # type: ignore[arg-type]
    part = round(training.vocoder_seconds * rate / config.hop)

    def loss() -> Tensor:
        out = model(audio, codes, training.unconditional, part)
        heard = out["heard"].float()
        found = {"flow": out["flow"], "mel": mel(heard, out["wave"]), "stft": stft(heard, out["wave"])}
        return torch.stack(list(table.weighted(found).values())).sum()

    return _likelihood_case(model, training.precision, training.optimizer, device, loss)


def _likelihood_case(
    model: nn.Module, precision: Any, config: OptimizerConfig, device: torch.device, loss: Callable[[], Tensor]
) -> Case:
    optimizer = adamw(model, config)

    def step(number: int) -> Losses:
        reseed(0, number)
        with autocast(device, precision):
            value = loss()
        _learn(model, optimizer, value, config)
        return _numbers({"loss": value})

    return Case({"model": model}, {"optimizer": optimizer}, step)


def _learn(module: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor, config: OptimizerConfig) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    update(optimizer, module.parameters(), config, config.learning_rate)


def _numbers(losses: Mapping[str, Tensor]) -> Losses:
    values, _ = read(list(losses.values()))
    return dict(zip(losses, values, strict=True))

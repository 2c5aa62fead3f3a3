"""Training a codec: one loop, resumable at any step, that names every loss, bad recording and bad step."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from speech_eval.adapters.checkpoints import weights_digest
from speech_eval.errors import BadInput
from speech_eval.progress import Progress, Say, silent, unsaid
from speech_eval.reference_models.codec.balancer import Balancer
from speech_eval.reference_models.codec.card import card
from speech_eval.reference_models.codec.collapse import CollapseWatch
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
from speech_eval.reference_models.codec.published import load_start, locate_start
from speech_eval.reference_models.codec.semantic import SemanticDistillation
from speech_eval.reference_models.codec.training_config import WAVEFORM_LOSSES, TrainingConfig
from speech_eval.reference_models.codec.validation import Validation
from speech_eval.reference_models.data.corpus import Data, LeftOut, open_corpus
from speech_eval.reference_models.data.segments import Batch, Batches, Segments
from speech_eval.reference_models.recipes.schema import ResolvedRecipe
from speech_eval.reference_models.training.checkpoint import (
    save_checkpoint,
)
from speech_eval.reference_models.training.config import OptimizerConfig
from speech_eval.reference_models.training.distributed import accelerator, autocast, first_says, read
from speech_eval.reference_models.training.log import RunLog
from speech_eval.reference_models.training.loop import Loop, Values, adamw, reseed, update
from speech_eval.reference_models.training.state import EMA


@dataclass
class CodecLog(RunLog):
    """With the recordings that were skipped."""

    audio_seconds: float = 0.0
    bad_clips: dict[str, dict[str, Any]] = field(default_factory=dict)

    def note(self, incidents: Iterable[LeftOut], say: Say) -> None:
        """Count recordings that are skipped while training, and name each the first time."""
        for incident in incidents:
            if incident.clip not in self.bad_clips:
                say(f"skipped {incident.clip} ({incident.kind}): {incident.reason}")
                self.bad_clips[incident.clip] = {"kind": incident.kind, "reason": incident.reason, "times": 0}
            self.bad_clips[incident.clip]["times"] += 1

    def counts(self) -> dict[str, Any]:
        kinds = Counter(str(entry["kind"]) for entry in self.bad_clips.values())
        return {"unreadable": kinds["unreadable"], "silent": kinds["silent"], "steps_not_finite": len(self.bad_steps)}


def train_recipe(
    recipe: ResolvedRecipe,
    data: Data,
    output: Path,
    *,
    resume: bool = False,
    overfit: bool = False,
    init: str | None = None,
    progress: Progress = silent,
    say: Say = unsaid,
) -> dict[str, Any]:
    """`train` for a recipe of this stack; with `init`, the checkpoint's architecture takes the place of the recipe's.
    Raises `BadInput` naming a key of the recipe that cannot be used."""
    config, training = recipe.read(CodecConfig, recipe.model), recipe.read(TrainingConfig, recipe.training)
    start = None if init is None else locate_start(init)
    if start is not None:
        config = load_start(start).config
        first_says(say)(f"starting from {start}, with its architecture")
    options: dict[str, Any] = {"name": recipe.name, "resume": resume, "overfit": overfit, "init": start}
    return train(config, training, data, output, progress=progress, say=say, **options)


def train(
    config: CodecConfig,
    training: TrainingConfig,
    data: Data,
    output: Path,
    *,
    name: str = "codec",
    resume: bool = False,
    overfit: bool = False,
    init: Path | None = None,
    stop_at: int | None = None,
    progress: Progress = silent,
    say: Say = unsaid,
) -> dict[str, Any]:
    """Train a codec on the split `train` of `data` (a folder, a list or a named dataset) into the checkpoint directory
    `output`.

    `resume` continues from the state in `output` and gives what the uninterrupted run would have given; `overfit`
    trains on the first batch alone; `init` is a checkpoint of the same configuration to start from; `stop_at`
    ends early, as an interruption would. Returns the card. Raises `BadInput` for a resume without a state and for a
    start over one, `TrainingStopped` for losses that are not finite.
    """
    corpus = open_corpus(data, output, on_bad=training.on_bad_data, progress=progress, say=first_says(say))
    trainer = CodecTrainer(config, training, corpus, output, name=name, overfit=overfit, init=init, say=say)
    loop = trainer.loop
    loop.start(resume)
    trainer.introduce()
    return loop.run(trainer, trainer.batches_of, stop_at, progress)


class CodecTrainer:
    """The parts of a run: data, codec, discriminators, losses, optimizers, validation."""

    def __init__(
        self,
        config: CodecConfig,
        training: TrainingConfig,
        data: Data,
        output: Path,
        *,
        name: str,
        overfit: bool,
        init: Path | None = None,
        say: Say,
    ) -> None:
        self.config, self.training, self.output = config, training, output
        self.name, self.overfit, self.init, self.say = name, overfit, init, first_says(say)
        self.corpus = open_corpus(data, output, on_bad=training.on_bad_data, say=self.say)
        self.accelerator, self.log = accelerator(), CodecLog()
        self._open_data()
        self._build_models()
        device, rate = self.accelerator.device, config.sample_rate
        self.mel = MelLoss(rate, training.mel_windows, training.mel_bands).to(device)
        self.stft = STFTLoss(training.stft_windows).to(device)
        self.table = LossTable(training.weights())
        shares = {loss: weight for loss, weight in training.weights().items() if loss in WAVEFORM_LOSSES}
        self.balancer = Balancer(shares) if training.balancer else None
        self.collapse = CollapseWatch(
            training.optimizer.warmup_steps, self.say, stop=training.on_collapse == "stop", normalized=config.norm
        )
        self.validation = Validation(
            self.corpus, rate, training.validation_clips, max(*training.mel_windows, *training.stft_windows), self.say
        )
        self.loop = self._loop()

    def _open_data(self) -> None:
        training = self.training
        clips = self.corpus.training()
        self.hours = sum(clip.seconds for clip in clips) / 3600
        segments = Segments(
            clips,
            self.config.sample_rate,
            training.segment_seconds,
            seed=training.seed,
            gain_db=training.gain_db,
            policy=training.on_bad_data,
        )
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        self.batches = Batches(segments, training.batch_size, rank, world)

    def _build_models(self) -> None:
        training = self.training
        torch.manual_seed(training.seed)
        self.codec = Codec(self.config) if self.init is None else load_start(self.init)
        self.start_weights = None if self.init is None else weights_digest(sorted(self.init.glob("model*.safetensors")))
        self.ema = EMA(self.codec, training.ema_decay) if training.ema_decay else None
        self.distillation = self._distillation()
        self.config = self.codec.config
        if self.distillation:
            self.config = self.config.taught_by(self.distillation.teacher.weights_sha256)
        self.discriminators = Discriminators(training.adversary.parts if training.adversary else ())
        self.learners = torch.nn.ModuleList([self.codec, *([self.distillation] if self.distillation else [])])
        self.optimizer = adamw(self.learners, training.optimizer)
        # The wrapped modules compute the step; the plain ones are saved and validated.
        self.wrapped, self.optimizer = self.accelerator.prepare(self.codec, self.optimizer)
        self.distil = self.accelerator.prepare(self.distillation) if self.distillation else None
        if training.compile:
            self.wrapped = torch.compile(self.wrapped)
        self.critics = self.critic_optimizer = None
        if training.adversary and training.adversary.parts:
            optimizer = adamw(self.discriminators, training.adversary.optimizer)
            self.critics, self.critic_optimizer = self.accelerator.prepare(self.discriminators, optimizer)
        if self.ema:
            self.ema.to(self.accelerator.device)

    def _distillation(self) -> SemanticDistillation | None:
        semantic = self.config.semantic
        if not self.training.losses.get("distil"):
            return None
        if semantic is None or semantic.mode != "distil":
            raise BadInput("The loss 'distil' has a weight, but nothing is distilled.", "Add `semantic` to the model.")
        return SemanticDistillation(semantic, self.config.latent_dim, self.config.sample_rate)

    def _loop(self) -> Loop[CodecLog]:
        parts = {
            "codec": self.codec,
            "discriminators": self.discriminators,
            "ema": self.ema,
            "distillation": self.distillation,
            "balancer": self.balancer,
        }
        optimizers = {"optimizer": self.optimizer, "critic_optimizer": self.critic_optimizer}
        identity = {
            "config": self.config.model_dump(mode="json"),
            "training": self.training.identity(),
            "data": self.corpus.identity(),
            "init": self.start_weights,
            "processes": self.accelerator.num_processes,
            "overfit": self.overfit,
        }
        return Loop(
            self.training,
            self.output,
            self.log,
            name=self.name,
            accelerator=self.accelerator,
            parts={key: part for key, part in parts.items() if part is not None},
            optimizers={key: optimizer for key, optimizer in optimizers.items() if optimizer is not None},
            identity=identity,
            say=self.say,
        )

    def introduce(self) -> None:
        """Say what is trained on what, and every loss with its weight."""
        parameters = sum(p.numel() for p in self.codec.parameters()) / 1e6
        critics = sum(p.numel() for p in self.discriminators.parameters()) / 1e6
        self.say(
            f"{self.name}: {parameters:.2f} M parameters, discriminators {critics:.2f} M, "
            f"{self.codec.bitrate / 1000:g} kbit/s, {self.hours:.2f} h of speech, {self.batches.epoch} steps per epoch"
        )
        for row in self.table.rows():
            self.say(f"  loss {row['loss']}: {row['weight']}")

    def batches_of(self, start: int, stop: int) -> Iterable[Batch]:
        """The batches of steps `start` to `stop`."""
        if self.overfit:
            only = self.batches[0]
            return (Batch(only.audio, only.clips) for _ in range(start, stop))
        return self.batches.from_step(start, stop, self.training.workers)

    # -------------------------------------------------------------------------------------------- step

    def step(self, number: int, batch: Batch) -> Values:
        """One step of the discriminators, one of the codec. Returns the losses, none if the step was skipped."""
        training, adversary = self.training, self.training.adversary
        self.log.note(batch.incidents, self.say)
        self.log.audio_seconds += batch.audio.shape[0] * training.segment_seconds * self.accelerator.num_processes
        reseed(training.seed, number, self.accelerator.process_index)
        audio = batch.audio.to(self.accelerator.device)
        self.wrapped.train()
        with self.autocast():
            out = self.wrapped(audio)
        decoded = out.audio.float()
        values: Values = {}
        adversarial = self.critics is not None and adversary is not None and number >= adversary.start
        if adversarial and adversary is not None and number % adversary.every == 0:
            values["discriminator"] = self._discriminator_step(number, audio, decoded.detach(), batch)
            if not math.isfinite(values["discriminator"]):
                return {}
        own = dict(out.losses)
        if self.distil:
            own["distil"] = self.distil(out.first_latent.float(), audio)
        losses = self._losses(audio, decoded, own, adversarial)
        found, finite = read(list(losses.values()))
        values |= dict(zip(losses, found, strict=True))
        if not finite:
            names = [key for key in losses if not math.isfinite(values[key])]
            self.loop.bad_step(number, f"the loss {', '.join(names) or 'of another process'}", batch.clips)
            return {}
        self._backward(losses, decoded)
        values["norm"] = self._update(self.learners, self.optimizer, training.optimizer, number)
        if not math.isfinite(values["norm"]):
            self.loop.bad_step(number, "the gradient's norm", batch.clips)
            return {}
        if self.ema:
            self.ema.update(self.codec)
        return values

    def autocast(self) -> torch.autocast:
        return autocast(self.accelerator.device, self.training.precision)

    def _discriminator_step(self, number: int, audio: Tensor, decoded: Tensor, batch: Batch) -> float:
        adversary = self.training.adversary
        assert adversary is not None and self.critics is not None and self.critic_optimizer is not None
        self.discriminators.requires_grad_(True)
        with self.autocast():
            maps = self.critics(torch.cat((audio, decoded)))
        real = [[part[: len(audio)] for part in maps_of] for maps_of in maps]
        fake = [[part[len(audio) :] for part in maps_of] for maps_of in maps]
        loss = discriminator_loss(real, fake, adversary.kind)
        (value,), finite = read([loss])
        if not finite:
            self.loop.bad_step(number, "the discriminators' loss", batch.clips, adversary.every)
            return math.nan
        self.critic_optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(loss)
        norm = self._update(self.discriminators, self.critic_optimizer, adversary.optimizer, number)
        if not math.isfinite(norm):
            self.loop.bad_step(number, "the norm of the discriminators' gradient", batch.clips, adversary.every)
            return math.nan
        return value

    def _losses(self, audio: Tensor, decoded: Tensor, own: dict[str, Tensor], adversarial: bool) -> dict[str, Tensor]:
        """Every loss that is on, unweighted."""
        losses = {key: loss for key, loss in own.items() if self.table.is_on(key)}
        if self.table.is_on("mel"):
            losses["mel"] = self.mel(decoded, audio)
        if self.table.is_on("stft"):
            losses["stft"] = self.stft(decoded, audio)
        if self.table.is_on("waveform"):
            losses["waveform"] = torch.nn.functional.l1_loss(decoded, audio)
        if adversarial and self.training.adversary:
            # Gradients pass through the discriminators here, and none reach their weights.
            self.discriminators.requires_grad_(False)
            with self.autocast():
                fake = self.discriminators(decoded)
                real = self.discriminators(audio)
            losses["adversarial"] = adversarial_loss(fake, self.training.adversary.kind)
            losses["feature_matching"] = feature_matching_loss(real, fake)
        return {key: loss for key, loss in losses.items() if self.table.is_on(key)}

    def _backward(self, losses: dict[str, Tensor], decoded: Tensor) -> None:
        """Back-propagate the weighted sum, or balanced gradients."""
        weighted = self.table.weighted(losses)
        self.optimizer.zero_grad(set_to_none=True)
        if self.balancer is None:
            self.accelerator.backward(torch.stack([loss.float() for loss in weighted.values()]).sum())
            return
        here = {key: loss for key, loss in losses.items() if key in self.balancer.weights}
        elsewhere = [loss for key, loss in weighted.items() if key not in here]
        self.balancer.backward(here, decoded, torch.stack(elsewhere).sum() if elsewhere else decoded.new_zeros(()))

    def _update(self, module: torch.nn.Module, optimizer: Any, config: OptimizerConfig, number: int) -> float:
        return update(optimizer, module.parameters(), config, config.rate_at(number, self.loop.done()))

    # ----------------------------------------------------------------------- reports, validation, checkpoint

    def report(self) -> None:
        """The losses, and the use of each codebook since the last report."""
        losses = {name: round(value, 6) for name, value in self.loop.means().items()}
        statistics = self.codec.quantizer.statistics
        levels = statistics.over_processes(self.accelerator.device).report()
        statistics.reset()
        row = {
            "losses": losses,
            "usage": [round(level.usage, 4) for level in levels],
            "perplexity": [round(level.perplexity, 1) for level in levels],
            "entropy": [round(level.entropy, 3) for level in levels],
        }
        shown = ", ".join(f"{name} {value:.4g}" for name, value in losses.items())
        used = ", ".join(f"{level.perplexity:.0f}" for level in levels[:8])
        self.loop.report(row, f"{shown}; perplexity {used}")
        self.collapse.look(self.log.step, levels)

    def validate(self) -> None:
        """Run the codec, with the mean weights if there are any, on held-out recordings if there are any."""
        if not self.validation.recordings:
            return
        kept = {key: value.clone() for key, value in self.codec.state_dict().items()} if self.ema else None
        if self.ema:
            self.codec.load_state_dict(self.ema.state_dict())
        found = self.validation.run(self.codec, self.mel, self.output / "validation", self.log.step)
        if kept is not None:
            self.codec.load_state_dict(kept)
        self.loop.scalar("validation/mel", found["mel"])
        self.say(f"validation at step {self.log.step}: mel {found['mel']:.4f} on {found['clips']} held-out clips")

    def checkpoint(self) -> dict[str, Any]:
        """Write the checkpoint directory, with the mean weights if there are any; returns the card."""
        found = card(
            self.name,
            self.codec,
            self.training,
            self.corpus,
            hours=self.hours,
            log=self.log,
            validation=self.validation.found,
            collapsed=sorted(self.collapse.named),
            overfit=self.overfit,
        )
        found["training"]["init_weights_sha256"] = self.start_weights
        weights = self.ema.state_dict() if self.ema else self.codec.state_dict()
        config = self.config.model_dump(mode="json")
        self.loop.alone(lambda: save_checkpoint(self.output, "codec", config, weights, found))
        return found

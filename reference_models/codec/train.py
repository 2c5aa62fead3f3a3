"""Training a codec: one loop, resumable at any step, that names every loss, every bad recording and every bad step."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from speech_eval.errors import BadInput
from speech_eval.progress import Progress, Say, silent, unsaid
from speech_eval.reference_models.codec.balancer import Balancer
from speech_eval.reference_models.codec.card import card
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
from speech_eval.reference_models.codec.semantic import SemanticDistillation
from speech_eval.reference_models.codec.training_config import WAVEFORM_LOSSES, OptimizerConfig, TrainingConfig
from speech_eval.reference_models.codec.validation import Validation
from speech_eval.reference_models.data.segments import Batch, Batches, Incident, Segments, clips_of
from speech_eval.reference_models.recipes.schema import Size
from speech_eval.reference_models.training import loop
from speech_eval.reference_models.training.checkpoint import save_checkpoint
from speech_eval.reference_models.training.distributed import accelerator
from speech_eval.reference_models.training.log import append_row, check_identity
from speech_eval.reference_models.training.loop import Loop
from speech_eval.reference_models.training.state import EMA, FILE, load_training, save_training


@dataclass
class Log(loop.Log):
    """With the recordings that were passed over."""

    audio_seconds: float = 0.0
    bad_clips: dict[str, dict[str, Any]] = field(default_factory=dict)

    def note(self, incidents: list[Incident], say: Say) -> None:
        """Count recordings that were passed over, and name each the first time."""
        for incident in incidents:
            if incident.clip not in self.bad_clips:
                say(f"passed over {incident.clip} ({incident.kind}): {incident.reason}")
                self.bad_clips[incident.clip] = {"kind": incident.kind, "reason": incident.reason, "times": 0}
            self.bad_clips[incident.clip]["times"] += 1

    def counts(self) -> dict[str, Any]:
        kinds = Counter(entry["kind"] for entry in self.bad_clips.values())
        return {"corrupt": kinds["corrupt"], "silent": kinds["silent"], "steps_not_finite": len(self.bad_steps)}


def train(
    config: CodecConfig,
    training: TrainingConfig,
    data: Path,
    output: Path,
    *,
    name: str = "codec",
    resume: bool = False,
    overfit: bool = False,
    stop_at: int | None = None,
    progress: Progress = silent,
    say: Say = unsaid,
) -> dict[str, Any]:
    """Train a codec on the split `train` of the AudioFolder `data`; the checkpoint directory `output` is the result.

    `resume` goes on from the state in `output`, and gives what the uninterrupted run would have given; `overfit`
    trains on the first batch alone; `stop_at` ends early, as an interruption would. Returns the card. Raises
    `BadInput` for a resume without a state and for a start over one, `TrainingStopped` where losses are not numbers.
    """
    trainer = Trainer(config, training, data, output, name=name, overfit=overfit, say=say)
    if resume:
        trainer.resume()
    elif (output / FILE).is_file():
        raise BadInput(f"{output} holds a training run already.", "Add --resume, or choose another --output.")
    return trainer.run(stop_at, progress)


def train_recipe(
    recipe: Size,
    data: Path,
    output: Path,
    *,
    resume: bool = False,
    overfit: bool = False,
    progress: Progress = silent,
    say: Say = unsaid,
) -> dict[str, Any]:
    """`train` for a recipe of this stack. Raises `BadInput` naming the recipe's field that cannot be used."""
    config, training = recipe.read(CodecConfig, recipe.model), recipe.read(TrainingConfig, recipe.training)
    return train(
        config, training, data, output, name=recipe.name, resume=resume, overfit=overfit, progress=progress, say=say
    )


class Trainer(Loop):
    """The parts of a run and its steps. `rows` of the loss table are said at the start."""

    def __init__(
        self,
        config: CodecConfig,
        training: TrainingConfig,
        data: Path,
        output: Path,
        *,
        name: str,
        overfit: bool,
        say: Say,
    ) -> None:
        super().__init__(accelerator(training.precision), training, output, name=name, overfit=overfit, say=say)
        self.config, self.training, self.data = config, training, data
        self.log: Log = Log()
        clips, bad = clips_of(data, "train")
        if bad and training.on_bad_data == "stop":
            raise BadInput(bad[0].reason, "Take it out of the folder, or train with on_bad_data: skip.")
        self.log.note(bad, self.say)
        self.hours = sum(clip.seconds for clip in clips) / 3600
        rate = config.sample_rate
        segments = Segments(
            clips,
            rate,
            training.segment_seconds,
            seed=training.seed,
            gain_db=training.gain_db,
            policy=training.on_bad_data,
        )
        world = self.accelerator.num_processes
        self.batches = Batches(segments, training.batch_size, self.accelerator.process_index, world)
        self._build_models()
        device = self.accelerator.device
        self.mel = MelLoss(rate, training.mel_windows, training.mel_bands).to(device)
        self.stft = STFTLoss(training.stft_windows).to(device)
        self.table = LossTable(training.weights())
        shares = {loss: weight for loss, weight in training.weights().items() if loss in WAVEFORM_LOSSES}
        self.balancer = Balancer(shares) if training.balancer else None
        self.validation = Validation(data, rate, training.validation_clips, self.log, self.say)

    def _build_models(self) -> None:
        training = self.training
        torch.manual_seed(training.seed)
        self.codec = Codec(self.config)
        self.ema = EMA(self.codec, training.ema_decay) if training.ema_decay else None
        self.distillation = self._distillation()
        self.discriminators = Discriminators(training.adversary.parts if training.adversary else ())
        self.learners = torch.nn.ModuleList([self.codec, *([self.distillation] if self.distillation else [])])
        self.optimizer = _adamw(self.learners, training.optimizer)
        # What is wrapped runs the step; the plain modules are what is saved and looked at.
        self.wrapped, self.optimizer = self.accelerator.prepare(self.codec, self.optimizer)
        self.distil = self.accelerator.prepare(self.distillation) if self.distillation else None
        if training.compile:
            self.wrapped = torch.compile(self.wrapped)
        self.critics = self.critic_optimizer = None
        if training.adversary and training.adversary.parts:
            optimizer = _adamw(self.discriminators, training.adversary.optimizer)
            self.critics, self.critic_optimizer = self.accelerator.prepare(self.discriminators, optimizer)
        if self.ema:
            self.ema.mean = {key: value.to(self.accelerator.device) for key, value in self.ema.mean.items()}

    def _distillation(self) -> SemanticDistillation | None:
        semantic = self.config.semantic
        if not self.training.losses.get("distil"):
            return None
        if semantic is None or semantic.mode != "distil":
            raise BadInput("The loss 'distil' has a weight, but nothing is distilled.", "Add `semantic` to the model.")
        return SemanticDistillation(semantic, self.config.latent_dim, self.config.sample_rate)

    # ------------------------------------------------------------------------------------------- state

    def _parts(self) -> tuple[dict[str, Any], dict[str, torch.optim.Optimizer]]:
        modules: dict[str, Any] = {"codec": self.codec, "discriminators": self.discriminators}
        if self.ema:
            modules["ema"] = self.ema
        if self.distillation:
            modules["distillation"] = self.distillation
        optimizers = {"optimizer": self.optimizer, "critic_optimizer": self.critic_optimizer}
        return modules, {key: value for key, value in optimizers.items() if value is not None}

    def _identity(self) -> dict[str, Any]:
        """What must not change between a run and its continuation; how often it speaks and how long it runs may."""
        reports = {"log_every", "validate_every", "validation_clips", "save_every", "tensorboard"}
        free = {*reports, "workers", "compile", "minutes"}
        return {
            "config": self.config.model_dump(mode="json"),
            "training": self.training.model_dump(mode="json", exclude=free),
            "processes": self.accelerator.num_processes,
            "overfit": self.overfit,
        }

    def resume(self) -> None:
        """Go back to the saved state. Raises `BadInput` where there is none or it is of another run."""
        modules, optimizers = self._parts()
        facts = load_training(self.output, modules, optimizers)
        was = facts["identity"]
        # Through the model of today, so that a knob that was added since then has its default.
        was["config"] = CodecConfig.model_validate(was["config"]).model_dump(mode="json")
        check_identity(self.output, was, self._identity())
        self.log = Log(**facts["log"])
        self.validation.log = self.log
        if self.balancer:
            self.balancer.load(facts["balancer"])

    def save(self) -> dict[str, Any]:
        """Write the state and the checkpoint directory; returns the card."""
        modules, optimizers = self._parts()
        facts: dict[str, Any] = {"identity": self._identity(), "log": asdict(self.log), "finished": self.done() >= 1.0}
        if self.balancer:
            facts["balancer"] = self.balancer.state()
        found = self._card()
        if self.accelerator.is_main_process:
            save_training(self.output, modules, optimizers, facts)
            weights = self.ema.state_dict() if self.ema else self.codec.state_dict()
            save_checkpoint(self.output, "codec", self.config.model_dump(mode="json"), weights, found)
        return found

    def _card(self) -> dict[str, Any]:
        return card(
            self.name,
            self.codec,
            self.training,
            self.data,
            hours=self.hours,
            log=self.log,
            validation=self.validation.found,
            overfit=self.overfit,
        )

    # -------------------------------------------------------------------------------------------- loop

    def batches_of(self, start: int, stop: int) -> Any:
        if self.overfit:
            only = self.batches[0]
            return (Batch(only.audio, only.clips) for _ in range(start, stop))
        return self.batches.from_step(start, stop, self.training.workers)

    def introduce(self) -> None:
        parameters = sum(p.numel() for p in self.codec.parameters()) / 1e6
        critics = sum(p.numel() for p in self.discriminators.parameters()) / 1e6
        self.say(
            f"{self.name}: {parameters:.2f} M parameters, discriminators {critics:.2f} M, "
            f"{self.codec.bitrate / 1000:g} kbit/s, {self.hours:.2f} h of speech, {self.batches.epoch} steps an epoch"
        )
        for row in self.table.rows():
            self.say(f"  loss {row['loss']}: {row['weight']}")

    # -------------------------------------------------------------------------------------------- step

    def step(self, number: int, batch: Batch) -> dict[str, float]:
        """One step of the discriminators, one of the codec. Returns the losses, none where the step was skipped."""
        training = self.training
        self.log.note(batch.incidents, self.say)
        self.log.audio_seconds += batch.audio.shape[0] * training.segment_seconds * self.accelerator.num_processes
        # Every draw of a step hangs on its number alone, so that a resumed run draws the same.
        torch.manual_seed(training.seed * 1_000_003 + number * 1_009 + self.accelerator.process_index)
        audio = batch.audio.to(self.accelerator.device)
        self.wrapped.train()
        with self.accelerator.autocast():
            out = self.wrapped(audio)
        decoded = out.audio.float()
        values: dict[str, Tensor] = {}
        fighting = self.critics is not None and training.adversary and number >= training.adversary.start
        if fighting and training.adversary and number % training.adversary.every == 0:
            values["discriminator"] = self._discriminator_step(number, audio, decoded.detach(), batch)
            if not values["discriminator"].isfinite():
                return {}
        own = dict(out.losses)
        if self.distil:
            own["distil"] = self.distil(out.first_latent.float(), audio)
        losses = self._losses(audio, decoded, own, bool(fighting))
        values |= {key: loss.detach() for key, loss in losses.items()}
        if not self._backward(losses, decoded, number, batch):
            return {}
        values["norm"] = self._update(self.learners, self.optimizer, training.optimizer, number)
        if not values["norm"].isfinite():
            self.bad_step(number, "the gradient's norm", batch.clips)
            return {}
        if self.ema:
            self.ema.update(self.codec)
        return {key: float(value) for key, value in values.items()}

    def _discriminator_step(self, number: int, audio: Tensor, decoded: Tensor, batch: Batch) -> Tensor:
        adversary = self.training.adversary
        assert adversary is not None and self.critics is not None and self.critic_optimizer is not None
        self.discriminators.requires_grad_(True)
        with self.accelerator.autocast():
            maps = self.critics(torch.cat((audio, decoded)))
        real = [[part[: len(audio)] for part in maps_of] for maps_of in maps]
        fake = [[part[len(audio) :] for part in maps_of] for maps_of in maps]
        loss = discriminator_loss(real, fake, adversary.kind)
        if not self._finite(loss):
            self.bad_step(number, "the discriminators' loss", batch.clips)
            return torch.full((), math.nan)
        self.critic_optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(loss)
        self._update(self.discriminators, self.critic_optimizer, adversary.optimizer, number)
        return loss.detach()

    def _losses(self, audio: Tensor, decoded: Tensor, own: dict[str, Tensor], fighting: bool) -> dict[str, Tensor]:
        """Every loss that has a weight, unweighted."""
        losses = {key: loss for key, loss in own.items() if self.table.is_on(key)}
        if self.table.is_on("mel"):
            losses["mel"] = self.mel(decoded, audio)
        if self.table.is_on("stft"):
            losses["stft"] = self.stft(decoded, audio)
        if self.table.is_on("waveform"):
            losses["waveform"] = torch.nn.functional.l1_loss(decoded, audio)
        if fighting and self.training.adversary:
            # Gradients pass through the discriminators here, and stop at none of their weights.
            self.discriminators.requires_grad_(False)
            with self.accelerator.autocast():
                fake = self.discriminators(decoded)
                real = self.discriminators(audio)
            losses["adversarial"] = adversarial_loss(fake, self.training.adversary.kind)
            losses["feature_matching"] = feature_matching_loss(real, fake)
        return {key: loss for key, loss in losses.items() if self.table.is_on(key)}

    def _backward(self, losses: dict[str, Tensor], decoded: Tensor, number: int, batch: Batch) -> bool:
        """Back-propagate the weighted sum, or balanced gradients; False where a loss is not a number."""
        weighted = self.table.weighted(losses)
        total = torch.stack([loss.float() for loss in weighted.values()]).sum()
        if not self._finite(total):
            names = [key for key, loss in losses.items() if not loss.isfinite()]
            self.bad_step(number, f"the loss {', '.join(names) or 'of another process'}", batch.clips)
            return False
        self.optimizer.zero_grad(set_to_none=True)
        if self.balancer is None:
            self.accelerator.backward(total)
            return True
        here = {key: loss for key, loss in losses.items() if key in self.balancer.weights}
        elsewhere = [loss for key, loss in weighted.items() if key not in here]
        self.balancer.backward(here, decoded, torch.stack(elsewhere).sum() if elsewhere else decoded.new_zeros(()))
        return True

    def _update(self, module: Any, optimizer: Any, config: OptimizerConfig, number: int) -> Tensor:
        """Clip and step; the gradient's norm before clipping. A norm that is no number leaves the weights alone."""
        norm = torch.nn.utils.clip_grad_norm_(module.parameters(), config.clip_norm)
        if norm.isfinite():
            for group in optimizer.param_groups:
                group["lr"] = config.rate_at(number, self.done())
            optimizer.step()
        return norm

    def _finite(self, loss: Tensor) -> bool:
        bad = (~loss.detach().isfinite()).float()
        return float(self.accelerator.reduce(bad, "sum") if self.accelerator.num_processes > 1 else bad) == 0.0

    # ------------------------------------------------------------------------------------------ reports

    def report(self, recent: Sequence[dict[str, float]], steps_per_second: float, writer: Any) -> None:
        """One line of means over the steps since the last one, on the screen and in `log.jsonl`."""
        names = sorted({name for values in recent for name in values})
        means = {name: _mean([values[name] for values in recent if name in values]) for name in names}
        levels = self.codec.quantizer.statistics.report()
        self.codec.quantizer.statistics.reset()
        row = {
            "step": self.log.step,
            "seconds": round(self.log.seconds, 1),
            "losses": means,
            "usage": [round(level.usage, 4) for level in levels],
            "perplexity": [round(level.perplexity, 1) for level in levels],
            "entropy": [round(level.entropy, 3) for level in levels],
        }
        self.output.mkdir(parents=True, exist_ok=True)
        append_row(self.output / "log.jsonl", row)
        if writer:
            for name, value in means.items():
                writer.add_scalar(f"loss/{name}", value, self.log.step)
            for level, found in enumerate(levels):
                writer.add_scalar(f"entropy/{level}", found.entropy, self.log.step)
        shown = ", ".join(f"{name} {value:.4g}" for name, value in means.items())
        used = ", ".join(f"{level.perplexity:.0f}" for level in levels[:8])
        self.say(
            f"step {self.log.step}/{self.training.steps} ({steps_per_second:.2f}/s, "
            f"{self.minutes_left(steps_per_second):.0f} min left): {shown}; perplexity {used}"
        )

    def validate(self, writer: Any) -> None:
        kept = {key: value.clone() for key, value in self.codec.state_dict().items()} if self.ema else None
        if self.ema:
            self.codec.load_state_dict(self.ema.state_dict())
        found = self.validation.run(self.codec, self.mel, self.output / "validation", self.log.step)
        if kept is not None:
            self.codec.load_state_dict(kept)
        if writer:
            writer.add_scalar("validation/mel", found["mel"], self.log.step)
        self.say(f"validation at step {self.log.step}: mel {found['mel']:.4f} on {found['clips']} held-out clips")


def _adamw(module: torch.nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    return torch.optim.AdamW(
        module.parameters(), lr=config.learning_rate, betas=config.betas, weight_decay=config.weight_decay
    )


def _mean(values: list[float]) -> float:
    return round(sum(values) / len(values), 6)

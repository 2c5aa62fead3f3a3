"""Training a duplex model: codec, dialogues as codes, pieces of words, then one loop, resumable at any step."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from speech_eval import __version__
from speech_eval.adapters.checkpoints import weights_digest
from speech_eval.progress import Progress, Say, silent, unsaid
from speech_eval.reference_models.conversation.duplex import checkpoint
from speech_eval.reference_models.conversation.duplex.config import DuplexConfig, DuplexTrainingConfig
from speech_eval.reference_models.conversation.duplex.data import DuplexBatches, RowBatch
from speech_eval.reference_models.conversation.duplex.model import DuplexLM
from speech_eval.reference_models.conversation.duplex.pieces import Pieces
from speech_eval.reference_models.conversation.duplex.shards import Dialogues, write_dialogues
from speech_eval.reference_models.data.card import data_facts, license_of
from speech_eval.reference_models.data.corpus import Corpus, Data, open_corpus
from speech_eval.reference_models.data.splits import HELD_OUT
from speech_eval.reference_models.recipes.codecs import bundled, codec_of
from speech_eval.reference_models.recipes.schema import ResolvedRecipe
from speech_eval.reference_models.speech_lm.sequence import CodecSection
from speech_eval.reference_models.training.card import training_facts
from speech_eval.reference_models.training.checkpoint import WEIGHTS, find_checkpoint
from speech_eval.reference_models.training.distributed import accelerator, autocast, first_says
from speech_eval.reference_models.training.log import RunLog
from speech_eval.reference_models.training.loop import Loop, Values, adamw, goes_on, reseed

SHARDS = "shards"  # folder of a checkpoint


@dataclass
class DuplexLog(RunLog):
    """With what was learned from, and how well it is known."""

    frames: int = 0
    validation: dict[str, Any] = field(default_factory=dict)


def train_recipe(
    recipe: ResolvedRecipe,
    data: Data,
    output: Path,
    *,
    resume: bool = False,
    overfit: bool = False,
    codec: str | None = None,
    init: str | None = None,
    stop_at: int | None = None,
    progress: Progress = silent,
    say: Say = unsaid,
) -> dict[str, Any]:
    """From two-channel recordings to a checkpoint: the recipe's codec (or `codec`, a model spec), codes, training.

    `resume` goes on with the stage that an earlier call was stopped in, `overfit` trains on the first batch alone,
    `init` is a model to start from, with its architecture and its pieces, `stop_at` ends early, as an interruption
    would. Returns the card. Raises `BadInput` for data without dialogues and
    for a resume of another training.
    """
    resume = goes_on(output, resume)
    config, training = recipe.read(DuplexConfig, recipe.model), recipe.read(DuplexTrainingConfig, recipe.training)
    say = first_says(say)
    corpus = open_corpus(data, output, on_bad=training.on_bad_data, progress=progress, say=say)
    spec = codec or codec_of(recipe, corpus, output, progress, say)
    options: dict[str, Any] = {"on_bad": training.on_bad_data, "renew": not resume, "progress": progress, "say": say}
    summary = write_dialogues(corpus, spec, output / SHARDS, **options)
    section = CodecSection.model_validate(summary["codec"]).model_copy(update={"spec": bundled(spec, output)})
    start = None if init is None else find_checkpoint(init, "--init")
    if start is not None:
        config = checkpoint.config_of(start)
        say(f"starting from {start}, with its architecture and its pieces of words")
    config = config.model_copy(update={"codec": section})
    trainer = DuplexTrainer(config, training, corpus, output, name=recipe.name, overfit=overfit, init=start, say=say)
    trainer.loop.start(resume)
    return trainer.run(stop_at, progress)


class DuplexTrainer:
    """The parts of a run: dialogues, pieces, model, optimizer."""

    def __init__(
        self,
        config: DuplexConfig,
        training: DuplexTrainingConfig,
        corpus: Corpus,
        output: Path,
        *,
        name: str,
        overfit: bool,
        init: Path | None = None,
        say: Say,
    ) -> None:
        self.training, self.corpus, self.output = training, corpus, output
        self.name, self.overfit, self.say = name, overfit, first_says(say)
        self.accelerator, self.log = accelerator(), DuplexLog()
        self.dialogues = Dialogues(output / SHARDS)
        torch.manual_seed(training.seed)
        if init is None:
            self.pieces = Pieces.learn(self.dialogues.words(), config.pieces)
            self.model = DuplexLM(config.model_copy(update={"pieces": len(self.pieces)}))
        else:
            self.model, self.pieces = checkpoint.start_from(init, config)
        self.start_weights = None if init is None else weights_digest([init / WEIGHTS])
        self.batches = DuplexBatches(self.dialogues, self.pieces, self.model, training)
        self.held_out = DuplexBatches(Dialogues(output / SHARDS, HELD_OUT), self.pieces, self.model, training)
        self.wrapped, self.optimizer = self.accelerator.prepare(self.model, adamw(self.model, training.optimizer))
        self.loop = Loop(
            training,
            output,
            self.log,
            name=name,
            accelerator=self.accelerator,
            parts={"model": self.model},
            optimizers={"optimizer": self.optimizer},
            identity={
                "config": self.model.config.model_dump(mode="json"),
                "training": training.identity(),
                "shards": self.dialogues.summary["plan"],
                "processes": self.accelerator.num_processes,
                "init": self.start_weights,
                "overfit": overfit,
            },
            say=say,
        )

    def run(self, stop_at: int | None = None, progress: Progress = silent) -> dict[str, Any]:
        """The loop: from where the trainer is to the last step, or to `stop_at`. Returns the card."""
        loop, splits = self.loop, self.dialogues.summary["splits"]
        parameters = sum(p.numel() for p in self.model.parameters()) / 1e6
        self.say(f"{self.name}: {parameters:.2f} M parameters, {splits['train']['hours']:g} h of dialogues")
        return loop.run(self, self.batches_of, stop_at, progress)

    def batches_of(self, start: int, stop: int) -> Iterator[RowBatch]:
        """The batch of each of the steps `start` to `stop`."""
        at = self.accelerator
        for step in range(start, stop):
            yield self.batches.of_step(0 if self.overfit else step, at.process_index, at.num_processes)

    def step(self, number: int, batch: RowBatch) -> Values:
        """One update. Returns nats per id by kind, none if the step was skipped."""
        accelerator, training, started = self.accelerator, self.training, time.perf_counter()
        reseed(training.seed, number, accelerator.process_index)
        rows, before = batch.rows.to(accelerator.device), batch.before.to(accelerator.device)
        mine = self.model.counts(rows)
        numbers = torch.tensor([float(count) for count in mine.values()], device=accelerator.device)
        counts = dict(zip(mine, accelerator.reduce(numbers, "sum").tolist(), strict=True))
        self.wrapped.train()
        self.optimizer.zero_grad(set_to_none=True)
        with autocast(accelerator.device, training.precision):
            nats = self.wrapped(rows, before)
        # Gradients are averaged over processes, the loss is a mean over the ids of all of them.
        loss = self.model.loss(nats, counts, training.semantic_weight, training.pad_weight)
        accelerator.backward(loss * accelerator.num_processes)
        values = {
            kind: accelerator.reduce(value.detach(), "sum").item() / counts[kind]
            for kind, value in nats.items()
            if counts[kind]
        }
        norm = float(accelerator.clip_grad_norm_(self.wrapped.parameters(), training.optimizer.clip_norm))
        if not (math.isfinite(norm) and all(math.isfinite(value) for value in values.values())):
            self.loop.bad_step(number, "the loss or its gradient", batch.ids[:8])
            return {}
        for group in self.optimizer.param_groups:
            group["lr"] = training.optimizer.rate_at(number, self.loop.done())
        self.optimizer.step()
        frames = batch.frames * accelerator.num_processes
        self.log.frames += frames
        return values | {"norm": norm, "frames": float(frames), "seconds": time.perf_counter() - started}

    def report(self) -> None:
        """Nats per id by kind, the gradient's norm and frames per second."""
        means = self.loop.means()
        speed = means.pop("frames") / means.pop("seconds")
        shown = ", ".join(f"{name} {value:.4g}" for name, value in means.items())
        row = {name: round(value, 6) for name, value in means.items()} | {"frames_per_second": round(speed, 1)}
        self.loop.report(row, f"{shown}; {speed:.0f} frames/s")

    @torch.no_grad()
    def validate(self) -> None:
        """Nats per id on held-out dialogues, by kind."""
        self.model.eval()
        sums: dict[str, float] = {}
        counts: dict[str, int] = {}
        for batch in self.held_out.whole(self.training.validation_dialogues):
            rows = batch.rows.to(self.accelerator.device)
            for kind, value in self.model(rows, batch.before.to(rows.device)).items():
                sums[kind] = sums.get(kind, 0.0) + float(value)
            for kind, count in self.model.counts(rows).items():
                counts[kind] = counts.get(kind, 0) + count
        found = {kind: sums[kind] / count for kind, count in counts.items() if count}
        if found:
            self.log.validation = {"step": self.log.step, **found}
            shown = ", ".join(f"{kind} {value:.4f}" for kind, value in found.items())
            self.say(f"validation at step {self.log.step}: {shown} nats, held out")
        for kind, value in found.items():
            self.loop.scalar(f"validation/{kind}", value)

    def checkpoint(self) -> dict[str, Any]:
        """Write the checkpoint directory; returns the card."""
        found = self.card()
        self.loop.alone(lambda: checkpoint.save(self.output, self.model, self.pieces, found))
        return found

    def card(self) -> dict[str, Any]:
        """What the model is, what it was trained on, and what went wrong, as plain data."""
        config, recordings, shards = self.model.config, data_facts(self.corpus), self.dialogues.summary
        return {
            "name": self.name,
            "description": f"A duplex model that listens and speaks at once, trained by speech-eval {__version__}."
            + (" Overfitted to one batch: a check, not a model." * self.overfit),
            "model": {
                "parameters": sum(parameter.numel() for parameter in self.model.parameters()),
                "monologue": config.monologue,
                "acoustic_delay": config.acoustic_delay,
                "text_delay": config.text_delay,
            },
            "codec": config.codec.model_dump(mode="json"),
            "training": training_facts(self.training, self.log)
            | {
                "frames": self.log.frames,
                "init_weights_sha256": self.start_weights,
            },
            "data": recordings | {"dialogues": shards["splits"]},
            "trouble": {"left_out": len(shards["passed_over"]), "steps_not_finite": self.log.bad_steps},
            **({"validation": self.log.validation} if self.log.validation else {}),
            **license_of(recordings),
        }

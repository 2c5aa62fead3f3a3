"""Training an audio LLM: features once, then one stage after another in one loop, resumable at any step."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from speech_eval.adapters.checkpoints import weights_digest
from speech_eval.errors import BadInput
from speech_eval.progress import Progress, Say, silent, unsaid
from speech_eval.reference_models.audio_llm import building
from speech_eval.reference_models.audio_llm.alignment import add_word_times
from speech_eval.reference_models.audio_llm.batches import Batches, drawn, kept_back
from speech_eval.reference_models.audio_llm.card import card
from speech_eval.reference_models.audio_llm.config import AudioLLMConfig, LoRASection
from speech_eval.reference_models.audio_llm.data import balanced
from speech_eval.reference_models.audio_llm.features import FeatureStore, build_features
from speech_eval.reference_models.audio_llm.fusion.hybrid import Hybrid
from speech_eval.reference_models.audio_llm.model import AudioLLM
from speech_eval.reference_models.audio_llm.tasks import Tasks
from speech_eval.reference_models.audio_llm.text_llm import load_llm
from speech_eval.reference_models.audio_llm.training_config import AudioTrainingConfig, StageConfig
from speech_eval.reference_models.audio_llm.validation import validate
from speech_eval.reference_models.data.corpus import Corpus, Data, open_corpus
from speech_eval.reference_models.data.splits import HELD_OUT, TRAIN
from speech_eval.reference_models.recipes.schema import ResolvedRecipe
from speech_eval.reference_models.training.checkpoint import WEIGHTS, find_checkpoint
from speech_eval.reference_models.training.distributed import accelerator, autocast, first_says, sum_gradients
from speech_eval.reference_models.training.log import RunLog
from speech_eval.reference_models.training.loop import Loop, Values, adamw_of, goes_on, reseed, update
from speech_eval.reference_models.training.state import read_facts

FEATURES = "features"  # the folder of the stored features in the output


@dataclass
class AudioLog(RunLog):
    """With the place in the list of stages, and what each gave."""

    stage: int = 0
    stage_step: int = 0
    stage_began: float = 0.0  # seconds of the run
    utterances: int = 0
    validation: dict[str, Any] = field(default_factory=dict)
    stages: dict[str, Any] = field(default_factory=dict)


def train_recipe(
    recipe: ResolvedRecipe,
    data: Data,
    output: Path,
    *,
    resume: bool = False,
    overfit: bool = False,
    init: str | None = None,
    features: str | None = None,
    progress: Progress = silent,
    say: Say = unsaid,
) -> dict[str, Any]:
    """From data to a checkpoint: the encoder's features, then the stages. `init` is a checkpoint to start from,
    `features` a store of another run of the same encoder, instead of `data`. Raises `BadInput` naming a key that cannot
    be used."""
    training = recipe.read(AudioTrainingConfig, recipe.training)
    config = recipe.read(AudioLLMConfig, recipe.model)
    resume = goes_on(output, resume)
    start = None if init is None else find_checkpoint(init, "--init")
    corpus: Corpus | None = None
    if features is None:
        corpus = open_corpus(data, output, on_bad=training.on_bad_data, progress=progress, say=first_says(say))
        ear, folder = config.encoder, output / FEATURES
        store = build_features(
            corpus,
            ear.spec,
            folder,
            progress,
            first_says(say),
            layer=ear.layer,
            augment=training.augment,
            renew=not resume,
        )
    else:
        store = FeatureStore.open(features)
    options: dict[str, Any] = {"name": recipe.name, "resume": resume, "overfit": overfit, "init": start}
    return train(config, training, store, output, progress=progress, say=say, facts=corpus, **options)


def train(
    config: AudioLLMConfig,
    training: AudioTrainingConfig,
    store: FeatureStore,
    output: Path,
    *,
    name: str = "audio-llm",
    resume: bool = False,
    overfit: bool = False,
    init: Path | None = None,
    stop_at: int | None = None,
    facts: Corpus | None = None,
    progress: Progress = silent,
    say: Say = unsaid,
) -> dict[str, Any]:
    """Train on the utterances of `store` into the checkpoint directory `output`; returns the card.

    `resume` continues inside any stage and gives what the uninterrupted run would have given; `overfit` trains on the
    first batch alone; `init` is a checkpoint to start from; `stop_at` ends early, as an interruption would; `facts` is
    the corpus, for the card. Raises `BadInput` for features of another encoder, `TrainingStopped` for losses that are
    not finite.
    """
    trainer = AudioTrainer(config, training, store, output, name, overfit, init, facts, resume, say)
    loop = trainer.loop
    loop.start(resume)
    trainer.introduce()
    return loop.run(trainer, trainer.batches, stop_at, progress, validates=trainer.stage_ends)


class AudioTrainer:
    """The parts of a run: features, model, the stage and its optimizers."""

    def __init__(
        self,
        config: AudioLLMConfig,
        training: AudioTrainingConfig,
        store: FeatureStore,
        output: Path,
        name: str,
        overfit: bool,
        init: Path | None,
        facts: Corpus | None,
        resume: bool,
        say: Say,
    ) -> None:
        self.training, self.output, self.name, self.overfit = training, output, name, overfit
        self.say, self.facts, self.accelerator = first_says(say), facts, accelerator()
        if store.encoder != config.encoder.spec:
            raise BadInput(
                f"{store.folder} holds features of {store.encoder}; the recipe's encoder is {config.encoder.spec}.",
                "Give features of the same encoder, or leave --features out.",
            )
        encoder = store.plan["encoder"]
        if encoder["layer"] != config.encoder.layer:
            raise BadInput(
                f"{store.folder} holds layer {encoder['layer']} of {store.encoder}; the recipe's is "
                f"{config.encoder.layer}.",
                "Correct model.encoder.layer, or leave --features out.",
            )
        told = {"weights_sha256": encoder["weights_sha256"]}
        config = config.model_copy(update={"encoder": config.encoder.model_copy(update=told)})
        stages = [stage for _, stage in training.stages.planned()]
        timed = max(stage.word_times for stage in stages)
        if any("interleave" in stage.mixture for stage in stages):
            store = add_word_times(store)
        elif timed:
            store = add_word_times(store, most=timed)
        self.train_set, self.held_out = store.split(TRAIN), store.split(HELD_OUT)
        if not len(self.train_set):
            raise BadInput(f"{store.folder} has no utterance to train on.", "Give data with a split `train`.")
        torch.manual_seed(training.seed)
        self.model = self._model(config, store, init)
        self.start_weights = None if init is None else weights_digest([init / WEIGHTS])
        self.tasks = Tasks(self.model)
        self.stages = training.stages.planned()
        self._check_stages()
        self.log = AudioLog()
        if resume:
            self.log.stage = int(read_facts(output)["log"]["stage"])
        self.loop = Loop(
            training,
            output,
            self.log,
            name=name,
            accelerator=self.accelerator,
            parts={"model": self.model.learned(), "start": self.tasks.start},
            optimizers={},
            identity={
                "config": self.model.config.model_dump(mode="json"),
                "training": training.identity(),
                "features": store.plan,
                "init": self.start_weights,
                "processes": self.accelerator.num_processes,
                "overfit": overfit,
            },
            share=self.done,
            say=say,
        )
        self.enter()

    def _model(self, config: AudioLLMConfig, store: FeatureStore, init: Path | None) -> AudioLLM:
        tokens = None if config.ctc is None else self._vocabulary(config, init)
        model = building.build(config, store.dim, tokens)
        if isinstance(model.fusion, Hybrid):
            some = [torch.from_numpy(self.train_set[i].features.astype("float32")) for i in self._sample(200)]
            model.fusion.fit(torch.cat(some), self.training.seed)
        if init is not None:
            missing = building.start_from(model, init)
            self.say(f"starting from {init}" + (f"; new: {', '.join(missing[:3])} …" if missing else ""))
        return model.to(self.accelerator.device)

    def _vocabulary(self, config: AudioLLMConfig, init: Path | None) -> Tensor:
        """The tokens of the training texts, and those that the model to start from hears."""
        tokenizer = load_llm(config.llm).tokenizer
        said = [f" {row.line['text'].strip()}" for row in self.train_set.rows]
        found = {i for ids in tokenizer(said, add_special_tokens=False)["input_ids"] for i in ids}
        known = None if init is None else building.tokens_of(init)
        return torch.tensor(sorted(found | set([] if known is None else known.tolist())))

    def _sample(self, count: int) -> list[int]:
        draw = torch.Generator().manual_seed(self.training.seed)
        return torch.randperm(len(self.train_set), generator=draw)[:count].tolist()

    def _check_stages(self) -> None:
        config = self.model.config
        for name, stage in self.stages:
            if "ctc" in stage.mixture and config.ctc is None:
                raise BadInput(f"training.stages.{name}: the task ctc needs model.ctc.", "Add `ctc: {}` to the model.")
            if stage.distil and config.adapt is not None and not isinstance(config.adapt, LoRASection):
                raise BadInput(
                    f"training.stages.{name}.distil: the text LLM that it learns from would change.",
                    "Use model.adapt of type lora, or none.",
                )
            for part in stage.learn:
                self.model.part(part)

    # ------------------------------------------------------------------------------------------- stages

    @property
    def stage(self) -> StageConfig:
        return self.stages[min(self.log.stage, len(self.stages) - 1)][1]

    @property
    def stage_name(self) -> str:
        return self.stages[min(self.log.stage, len(self.stages) - 1)][0]

    def enter(self) -> None:
        """Freeze what the stage does not teach, and make its optimizers and batches."""
        stage, share = self.stage, self.training.hold_back
        self.learning = self.model.freeze_except(stage.learn)
        configs = {"fusion": stage.optimizer, "llm": stage.llm_optimizer}
        self.loop.optimizers.clear()
        for part, parameters in self.learning.items():
            self.loop.optimizers[part] = adamw_of(parameters, configs[part])
        self.tasks.start.kept = {}
        if "prefer" in stage.mixture:
            self.tasks.start.keep(self.model)
        texts = [row.line["text"] for row in self.train_set.rows]
        wanted = {"all": {True, False}, "first": {False}, "held-back": {True}}[stage.utterances]
        chosen = balanced(self.train_set, stage.examples.human, self.training.seed)
        self.indices = [i for i in chosen if kept_back(texts[i], share) in wanted]
        if not self.indices:
            raise BadInput(
                f"training.stages.{self.stage_name}: no utterance is {stage.utterances}.", "Change training.hold_back."
            )
        self.timed = [i for i in self.indices if self.train_set.rows[i].line["words"]] if stage.word_times else []
        self.picked, self.first = self._picked(self.indices), self._picked(self.timed)

    def _picked(self, indices: Sequence[int]) -> Batches:
        """The batches of some of the utterances in this stage."""
        return Batches(
            self.train_set.lengths[list(indices)],
            self.stage.batch_size,
            self.training.seed + 101 * self.log.stage,
            self.accelerator.process_index,
            self.accelerator.num_processes,
            self.overfit,
        )

    def stage_share(self) -> float:
        """How much of the stage is done: of its steps, or of its minutes if that is more."""
        stage = self.stage
        share = self.log.stage_step / stage.steps
        if stage.minutes is None:
            return share
        return max(share, (self.log.seconds - self.log.stage_began) / (60 * stage.minutes))

    def stage_ends(self) -> bool:
        """Whether the step that was recorded is the last of its stage; the next one is entered then."""
        if self.stage_share() < 1.0 or self.log.stage >= len(self.stages):
            return False
        self.log.stages[self.stage_name] = {
            "steps": self.log.stage_step,
            "minutes": round((self.log.seconds - self.log.stage_began) / 60, 1),
        }
        return True

    def done(self) -> float:
        """The share of the whole training, counted in stages."""
        return min(1.0, (self.log.stage + min(1.0, self.stage_share())) / len(self.stages))

    def _next_stage(self) -> None:
        if self.log.stage + 1 < len(self.stages) and self.stage_share() >= 1.0:
            self.log.stage, self.log.stage_step, self.log.stage_began = self.log.stage + 1, 0, self.log.seconds
            self.enter()
            self.say(f"stage {self.stage_name}: {self.words()}")

    def words(self) -> str:
        """What the stage teaches what, in a line."""
        counts = ", ".join(
            f"{part} ({sum(p.numel() for p in found.values()) / 1e6:.2f} M)" for part, found in self.learning.items()
        )
        mixture = ", ".join(f"{task} {weight:g}" for task, weight in self.stage.mixture.items())
        return f"{counts} learns from {len(self.indices)} utterances ({mixture}), {self.stage.steps} steps"

    # ------------------------------------------------------------------------------------------- steps

    def batches(self, start: int, stop: int) -> Iterator[list[int]]:
        """The utterances of each step from `start` to `stop`, of the stage that it belongs to."""
        for _ in range(start, stop):
            self._next_stage()
            step = self.log.stage_step
            if self.timed and step < self.stage.frame_steps:
                yield [self.timed[i] for i in self.first[step]]
            else:
                yield [self.indices[i] for i in self.picked[step]]

    def step(self, number: int, batch: Sequence[int]) -> Values:
        """One update. Returns nats per token by kind, nothing if the step was skipped."""
        began, stage = time.perf_counter(), self.stage
        reseed(self.training.seed, number, self.accelerator.process_index)
        task = drawn({str(name): weight for name, weight in stage.mixture.items()}, self.training.seed, number)
        spoken = [self.train_set[index] for index in batch]
        self.model.train()
        for optimizer in self.loop.optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        with autocast(self.accelerator.device, self.training.precision):
            losses = self.tasks.losses(task, spoken, stage, self.log.stage_step)
        loss: Tensor = losses.pop("loss")
        if loss.requires_grad:  # text alone teaches a gated adaptation nothing
            (loss / self.accelerator.num_processes).backward()
        parameters = [p for found in self.learning.values() for p in found.values()]
        sum_gradients(parameters)
        share = min(1.0, self.stage_share())
        self.log.stage_step += 1
        values = {name: float(value.detach()) for name, value in losses.items()}
        norms = self._update(share)
        if not all(math.isfinite(value) for value in (*values.values(), *norms.values())):
            self.loop.bad_step(number, "the loss or its gradient", [one.id for one in spoken])
            return {}
        self.log.utterances += len(batch) * self.accelerator.num_processes
        return values | norms | {"seconds": time.perf_counter() - began, "utterances": float(len(batch))}

    def _update(self, share: float) -> Values:
        """Step every optimizer at its rate; the norms of the gradients by part."""
        configs = {"fusion": self.stage.optimizer, "llm": self.stage.llm_optimizer}
        norms = {}
        for part, optimizer in self.loop.optimizers.items():
            rate = configs[part].rate_at(self.log.stage_step - 1, share)
            parameters = [p for p in self.learning[part].values() if p.grad is not None]
            if parameters:
                norms[f"norm_{part}"] = update(optimizer, parameters, configs[part], rate)
        return norms

    # ------------------------------------------------------------------------- reports, validation, checkpoint

    def introduce(self) -> None:
        """Say what is trained on what, with three examples as the LLM will see them."""
        learned = self.model.learned().state_dict()
        size = sum(tensor.numel() for tensor in learned.values()) / 1e6
        self.say(f"{self.name}: a checkpoint of {size:.2f} M numbers beside {self.model.config.llm.spec}")
        self.say(f"stage {self.stage_name}: {self.words()}")
        for index in self._sample(3):
            for text in self.tasks.shown(self.train_set[index], self.stage):
                self.say(f"  {text}")

    def report(self) -> None:
        """Losses, norms, utterances per second."""
        means = self.loop.means()
        speed = means.pop("utterances") / means.pop("seconds")
        row = {name: round(value, 5) for name, value in means.items()}
        words = ", ".join(f"{name} {value:.3g}" for name, value in row.items())
        row = {"stage": self.log.stage, **row, "utterances_per_second": round(speed, 2)}
        self.loop.report(row, f"{self.stage_name}: {words}; {speed:.1f} utterances/s")

    def validate(self) -> None:
        """Losses on held-out utterances, with their own and with each other's audio, and what is heard."""
        count = self.training.validation_utterances
        if not len(self.held_out) or not count:
            return
        some = [self.held_out[i] for i in range(min(count, len(self.held_out)))]
        found = validate(self.model, self.tasks, some, through_llm=set(self.stage.mixture) != {"ctc"})
        self.log.validation = {"step": self.log.step, "stage": self.stage_name, **found}
        if self.stage_name in self.log.stages:
            self.log.stages[self.stage_name] |= found
        for kind, value in found.items():
            self.loop.scalar(f"validation/{kind}", value)
        words = ", ".join(f"{kind} {value:.3f}" for kind, value in found.items())
        self.say(f"validation at step {self.log.step}: {words} (held out)")

    def checkpoint(self) -> dict[str, Any]:
        """Write the checkpoint directory; returns the card."""
        found = card(self.name, self.model, self.training, self.train_set, self.facts, self.log, self.overfit)
        found["training"]["init_weights_sha256"] = self.start_weights
        self.loop.alone(lambda: building.save(self.output, self.model, found))
        return found

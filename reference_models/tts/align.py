"""Aligns a speech LM by rewards: from a recipe whose `training.method` is grpo or dpo to a checkpoint."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from speech_eval import __version__
from speech_eval.adapters.checkpoints import weights_digest
from speech_eval.environment import hardware
from speech_eval.progress import Progress, Say, silent, unsaid
from speech_eval.reference_models.data.card import data_facts
from speech_eval.reference_models.data.corpus import Corpus, Data, open_corpus
from speech_eval.reference_models.data.splits import HELD_OUT, TRAIN
from speech_eval.reference_models.recipes import stacks
from speech_eval.reference_models.recipes.schema import ResolvedRecipe, load
from speech_eval.reference_models.speech_lm.codec_stream import SpeechCodec, load_codec
from speech_eval.reference_models.speech_lm.interface import Generation
from speech_eval.reference_models.speech_lm.rl.config import AlignmentConfig
from speech_eval.reference_models.speech_lm.rl.dpo import DPO, OfflineDPO
from speech_eval.reference_models.speech_lm.rl.grpo import GRPO
from speech_eval.reference_models.speech_lm.rl.guards import Guards
from speech_eval.reference_models.speech_lm.rl.pairs import PAIRS
from speech_eval.reference_models.speech_lm.rl.rewards import Reward
from speech_eval.reference_models.speech_lm.rl.rollout import Line
from speech_eval.reference_models.speech_lm.rl.train import Aligner, AlignmentLog, align
from speech_eval.reference_models.speech_lm.rl.verifiers import Verifier
from speech_eval.reference_models.speech_lm.sampling import Sampling
from speech_eval.reference_models.training.checkpoint import WEIGHTS, find_checkpoint
from speech_eval.reference_models.training.distributed import accelerator, first_says
from speech_eval.reference_models.training.loop import Loop, goes_on
from speech_eval.reference_models.training.state import FILE
from speech_eval.reference_models.tts import building
from speech_eval.reference_models.tts.lines import Lines

METHODS: dict[str, type[Aligner]] = {"grpo": GRPO, "dpo": DPO}
_PAIRED = ("seed", "texts", "group", "pairs", "temperature", "max_seconds", "rewards", "form", "voices", "verifier")
_CODEC = "codec"  # the folder of a checkpoint that holds its codec
_START = "start"  # the folder of the model to start from, where it is trained first


def train_recipe(
    recipe: ResolvedRecipe,
    data: Data,
    output: Path,
    *,
    resume: bool = False,
    overfit: bool = False,
    stop_at: int | None = None,
    progress: Progress = silent,
    say: Say = unsaid,
) -> dict[str, Any]:
    """Align the recipe's `start` on the texts of `data` into the checkpoint `output`; returns the card.

    `overfit` draws the same lines in every step. Several processes share the texts of a step. Raises `BadInput` for a
    resume without anything to resume, for a start over a run, and naming a key of the recipe that cannot be used.
    """
    config = recipe.read(AlignmentConfig, recipe.training)
    resume = goes_on(output, resume)
    say = first_says(say)
    corpus = open_corpus(data, output, on_bad=config.on_bad_data, progress=progress, say=say)
    start = start_of(config.start, corpus, output, progress, say)
    run = Alignment(recipe.name, config, start, corpus, output, overfit, say)
    run.loop.start(resume)
    run.loop.alone(run.copy_codec)
    run.write_pairs(progress, say)
    return align(run.aligner, run.loop, run.checkpoint, guards=run.guards, stop_at=stop_at, progress=progress)


def start_of(start: str, data: Data, output: Path, progress: Progress, say: Say) -> Path:
    """The checkpoint to start from: a directory, or a shipped one by its name. RECIPE@SIZE is trained first, into
    `output`/start."""
    name, at, size = start.partition("@")
    if at:
        stacks.train_unless_finished(load(name, size), data, output / _START, progress=progress, say=say)
        return output / _START
    return find_checkpoint(start, "training.start")


class Alignment:
    """The parts of an alignment: model, codec, lines, rewards, guards, loop."""

    def __init__(
        self,
        name: str,
        config: AlignmentConfig,
        start: Path,
        corpus: Corpus,
        output: Path,
        overfit: bool = False,
        say: Say = unsaid,
    ) -> None:
        self.name, self.config, self.start, self.output = name, config, start, output
        self.corpus, self.accelerator = corpus, accelerator()
        model, self.origin = building.load(start)
        section = model.config.codec
        codec = SpeechCodec(load_codec(section.seen_from(start)), section.codebook_sizes, section.frame_rates)
        tokens = round(config.max_seconds * codec.step_rate * model.tokenizer.tokens_per_step)
        sampling = Sampling(temperature=config.temperature, max_tokens=tokens)

        per_step = config.texts_per_step * self.accelerator.num_processes
        verifier, guarding = Verifier(config.verifier), Verifier(config.guards) if config.guards else None
        source = Lines(corpus, model, codec, config, tokens, say)
        lines = source.draw(TRAIN, per_step if overfit else config.texts, verifier)
        held_out = source.draw(HELD_OUT, config.guard_texts, guarding) if guarding else []
        self.guards = Guards(guarding, codec, held_out, sampling, config.seed) if guarding else None

        def reward(line: Line, generation: Generation) -> dict[str, Reward]:
            return verifier.rewards(line.text, codec.decode(generation.codes), line.prompt, line.language)

        method = METHODS[config.method] if config.pairs is None else OfflineDPO
        self.aligner = method(
            model.to(self.accelerator.device),
            lines,
            reward,
            config,
            sampling=sampling,
            accelerator=self.accelerator,
        )
        self.counts = {"lines": len(lines), "guard_lines": len(held_out)}
        self.pairs: dict[str, Any] = {}
        self.start_weights = weights_digest([start / WEIGHTS])
        self.loop = self._loop(say)

    def _loop(self, say: Say) -> Loop[AlignmentLog]:
        identity = {
            "training": self.config.identity(),
            "start": {"weights": self.start_weights},
            "data": self.corpus.identity(),
            "lines": self.counts,
            "processes": self.accelerator.num_processes,
        }
        return Loop(
            self.config,
            self.output,
            AlignmentLog(),
            name=self.name,
            accelerator=self.accelerator,
            parts={"model": self.aligner.model},
            optimizers={"optimizer": self.aligner.optimizer},
            identity=identity,
            say=say,
        )

    def write_pairs(self, progress: Progress, say: Say) -> None:
        """Write the pairs to learn from, or what is left of them, and read them; where none are written, nothing."""
        aligner, file = self.aligner, self.output / PAIRS
        if not isinstance(aligner, OfflineDPO):
            return
        plan = {
            "start": self.start_weights,
            "data": self.corpus.identity(),
            "training": self.config.model_dump(mode="json", include=set(_PAIRED)),
        }
        self.loop.alone(lambda: aligner.write(file, plan, progress))
        self.pairs = {"pairs": aligner.read(file), "texts_with_pairs": len(aligner.pairs)}
        say(f"pairs: {self.pairs['pairs']} of {len(aligner.pairs)} of {len(aligner.lines)} texts, in {file}")

    def copy_codec(self) -> None:
        """Give the checkpoint its own copy of a codec of this project."""
        inside = self.start / _CODEC
        if inside.is_dir() and not (self.output / _CODEC).exists():
            shutil.copytree(inside, self.output / _CODEC, ignore=shutil.ignore_patterns(FILE, "*.jsonl", "*.html"))

    def checkpoint(self) -> dict[str, Any]:
        """Write the checkpoint directory; returns the card."""
        model, card = self.aligner.model, self.card()
        self.loop.alone(lambda: building.save(self.output, model, model.state_dict(), card))
        return card

    def card(self) -> dict[str, Any]:
        """The start, what rewarded and what guarded, and the guards' measurements from first to last."""
        log, config = self.loop.log, self.config
        models = {"verifier": config.verifier, "guards": config.guards}
        found: dict[str, Any] = {
            "name": self.name,
            "description": f"{self.origin.get('name', 'A speech language model')} aligned by {config.method.upper()}, "
            f"speech-eval {__version__}.",
            "alignment": {
                "method": config.method,
                "start_weights_sha256": self.start_weights,
                "steps": log.step,
                "minutes": round(log.seconds / 60, 2),
                "rollouts": self.aligner.rolled_out(log.step),
                "rewards": dict(config.rewards),
                "form": config.form,
                **self.counts,
                **self.pairs,
            },
            "data": data_facts(self.corpus),
            "models": {name: {} if used is None else used.model_dump(mode="json") for name, used in models.items()},
            "hardware": hardware().model_dump(),
        }
        if log.guards:
            found["guards"] = [{name: round(value, 4) for name, value in row.items()} for row in log.guards]
        return found | {key: self.origin[key] for key in ("license", "language") if key in self.origin}

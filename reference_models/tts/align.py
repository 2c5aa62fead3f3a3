"""Aligns a speech LM by rewards: from a recipe whose `training.method` is grpo or dpo to a checkpoint."""

from __future__ import annotations

import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from speech_eval import __version__, datasets
from speech_eval.adapters.checkpoints import weights_digest
from speech_eval.audio import load as load_audio
from speech_eval.environment import hardware
from speech_eval.errors import BadInput
from speech_eval.progress import Progress, Say, silent, unsaid
from speech_eval.records import Sample
from speech_eval.reference_models import CHECKPOINTS
from speech_eval.reference_models.data.splits import split_of
from speech_eval.reference_models.recipes import stacks
from speech_eval.reference_models.recipes.schema import ResolvedRecipe, load
from speech_eval.reference_models.speech_lm.codec_stream import SpeechCodec, load_codec
from speech_eval.reference_models.speech_lm.interface import Generation
from speech_eval.reference_models.speech_lm.rl.config import AlignmentConfig
from speech_eval.reference_models.speech_lm.rl.dpo import DPO
from speech_eval.reference_models.speech_lm.rl.grpo import GRPO
from speech_eval.reference_models.speech_lm.rl.guards import Guards
from speech_eval.reference_models.speech_lm.rl.rewards import Reward
from speech_eval.reference_models.speech_lm.rl.rollout import Line
from speech_eval.reference_models.speech_lm.rl.train import Aligner, AlignmentLog, align
from speech_eval.reference_models.speech_lm.rl.verifiers import Verifier
from speech_eval.reference_models.speech_lm.sampling import Sampling
from speech_eval.reference_models.speech_lm.tokenizer import SpeechTokenizer
from speech_eval.reference_models.training.checkpoint import WEIGHTS
from speech_eval.reference_models.training.distributed import accelerator
from speech_eval.reference_models.training.loop import Loop, refuse_existing
from speech_eval.reference_models.training.state import FILE, resumes
from speech_eval.reference_models.tts import building
from speech_eval.reference_models.tts.config import codec_spec

METHODS: dict[str, type[Aligner]] = {"grpo": GRPO, "dpo": DPO}
_CODEC = "codec"  # the folder of a checkpoint that holds its codec
_PROMPT_SECONDS = (1.0, 6.0)
_PROMPTS = 4  # recordings per voice


def train_recipe(
    recipe: ResolvedRecipe,
    data: Path,
    output: Path,
    *,
    resume: bool = False,
    overfit: bool = False,
    stop_at: int | None = None,
    progress: Progress = silent,
    say: Say = unsaid,
) -> dict[str, Any]:
    """Align the recipe's `start` on the texts of the AudioFolder `data` into the checkpoint `output`; returns the card.

    `overfit` draws the same lines in every step. Several processes share the texts of a step. Raises `BadInput` for a
    resume without anything to resume, for a start over a run, and naming a key of the recipe that cannot be used.
    """
    config = recipe.read(AlignmentConfig, recipe.training)
    resume = resume and resumes(output)
    if not resume:
        refuse_existing(output)
    start = start_of(config.start, data, output, progress, say)
    run = Alignment(recipe.name, config, start, data, output, overfit, say)
    run.loop.start(resume)
    run.loop.alone(run.copy_codec)
    return align(run.aligner, run.loop, run.checkpoint, guards=run.guards, stop_at=stop_at, progress=progress)


def start_of(start: str, data: Path, output: Path, progress: Progress, say: Say) -> Path:
    """The checkpoint to start from: a directory, or a shipped one by its name. RECIPE@SIZE is trained first, into
    `output`/start."""
    name, at, size = start.partition("@")
    if at:
        stacks.train_unless_finished(load(name, size), data, output / "start", progress=progress, say=say)
        return output / "start"
    found = [folder for folder in (Path(start), CHECKPOINTS / start) if folder.is_dir()]
    if not found:
        raise BadInput(f"training.start: no checkpoint {start}.", "Give a directory, llasa-3m-en, or RECIPE@SIZE.")
    return found[0]


class Alignment:
    """The parts of an alignment: model, codec, lines, rewards, guards, loop."""

    def __init__(
        self,
        name: str,
        config: AlignmentConfig,
        start: Path,
        data: Path,
        output: Path,
        overfit: bool = False,
        say: Say = unsaid,
    ) -> None:
        self.name, self.config, self.start, self.output = name, config, start, output
        self.accelerator = accelerator()
        model, self.origin = building.load(start)
        section = model.config.codec
        codec = SpeechCodec(load_codec(codec_spec(model.config, start)), section.codebook_sizes, section.frame_rates)
        tokens = round(config.max_seconds * codec.step_rate * model.tokenizer.tokens_per_step)
        sampling = Sampling(temperature=config.temperature, max_tokens=tokens)

        def lines_in(split: str, most: int) -> list[Line]:
            found = lines_of(data, split, codec, config.voices, config.seed, most)
            if model.config.one_voice:  # it reads no prompt; the similarity to the voice is measured all the same
                found = [replace(line, prompt_text=None, prompt_codes=None) for line in found]
            return [line for line in found if _fits(model.tokenizer, line, tokens)]

        per_step = config.texts_per_step * self.accelerator.num_processes
        lines = lines_in("train", per_step if overfit else config.texts)
        held_out = lines_in("held-out", config.guard_texts) if config.guards else []
        self.guards = None
        if config.guards is not None:
            self.guards = Guards(Verifier(config.guards), codec, held_out, sampling, config.seed)
        verifier = Verifier(config.verifier)

        def reward(line: Line, generation: Generation) -> dict[str, Reward]:
            return verifier.rewards(line.text, codec.decode(generation.codes), line.prompt, line.language)

        self.aligner = METHODS[config.method](
            model.to(self.accelerator.device),
            lines,
            reward,
            config,
            sampling=sampling,
            accelerator=self.accelerator,
        )
        self.counts = {"lines": len(lines), "guard_lines": len(held_out)}
        self.start_weights = weights_digest([start / WEIGHTS])
        self.loop = self._loop(say)

    def _loop(self, say: Say) -> Loop[AlignmentLog]:
        identity = {
            "training": self.config.identity(),
            "start": {"weights": self.start_weights},
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
                "rollouts": log.step * config.texts_per_step * self.accelerator.num_processes * config.group,
                "rewards": dict(config.rewards),
                "form": config.form,
                **self.counts,
            },
            "models": {name: {} if used is None else used.model_dump(mode="json") for name, used in models.items()},
            "hardware": hardware().model_dump(),
        }
        if log.guards:
            found["guards"] = [{name: round(value, 4) for name, value in row.items()} for row in log.guards]
        return found | {key: self.origin[key] for key in ("license", "language") if key in self.origin}


def lines_of(data: Path, split: str, codec: SpeechCodec, voices: bool, seed: int, most: int) -> list[Line]:
    """The texts of a split, each once, `most` of them drawn by the seed. With `voices`, each in the voice of another
    recording of 1 to 6 s of its speaker; texts without such a recording are left out. Raises `BadInput` if no text
    remains."""
    dataset = datasets.load_dataset(data)
    samples = [s for s in dataset.samples if (s.text or "").strip() and split_of(s) == split]
    unique = list({str(s.text): s for s in samples}.values())
    unique = random.Random(f"{seed}/{split}").sample(unique, min(most, len(unique)))
    pools = _prompt_pools(dataset, samples, codec, seed) if voices else {}
    lines = []
    for number, sample in enumerate(unique):
        line = Line(sample.id, str(sample.text), sample.language)
        if voices:
            pool = [prompt for other, prompt in pools[str(sample.speaker)] if other.id != sample.id]
            if not pool:
                continue
            chosen = pool[number % len(pool)]
            line = Line(line.id, line.text, line.language, chosen.prompt_text, chosen.prompt, chosen.prompt_codes)
        lines.append(line)
    if not lines:
        raise BadInput(f"{data}: its split '{split}' has no text to speak.", "See: speech-eval data prepare --help")
    return lines


def _prompt_pools(
    dataset: datasets.Dataset, samples: list[Sample], codec: SpeechCodec, seed: int
) -> dict[str, list[tuple[Sample, Line]]]:
    """A few recordings of each speaker that can serve as a voice prompt."""
    dataset.ensure_audio(silent)
    pools = {}
    shortest, longest = _PROMPT_SECONDS
    for speaker in sorted({str(s.speaker) for s in samples}):
        fitting = [
            s
            for s in samples
            if str(s.speaker) == speaker and s.audio and shortest <= float(s.metadata["seconds"]) <= longest
        ]
        random.Random(f"{seed}/{speaker}").shuffle(fitting)
        pools[speaker] = [(s, _prompt(dataset, s, codec)) for s in fitting[:_PROMPTS]]
    return pools


def _prompt(dataset: datasets.Dataset, sample: Sample, codec: SpeechCodec) -> Line:
    audio = load_audio(dataset.audio_path(str(sample.audio)))
    return Line(sample.id, "", sample.language, sample.text, audio, codec.encode(audio))


def _fits(tokenizer: SpeechTokenizer, line: Line, tokens: int) -> bool:
    """Whether the model can say `tokens` after the line and its prompt."""
    try:
        ids = tokenizer.prompt_ids(line.text, line.prompt_text, line.prompt_codes)
    except BadInput:
        return False
    return len(ids) + tokens <= tokenizer.context

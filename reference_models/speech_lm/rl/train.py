"""From a recipe of kind grpo or dpo to an aligned checkpoint: start, lines, ears, the run and its card."""

from __future__ import annotations

import random
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from speech_eval import __version__, datasets
from speech_eval.adapters.checkpoints import choose_device, weights_digest
from speech_eval.audio import load as load_audio
from speech_eval.environment import hardware
from speech_eval.errors import BadInput
from speech_eval.progress import Progress, Say, silent, unsaid
from speech_eval.records import Sample
from speech_eval.reference_models import CHECKPOINTS
from speech_eval.reference_models.data.token_shards import split_of
from speech_eval.reference_models.recipes.schema import Size
from speech_eval.reference_models.speech_lm.codec_stream import SpeechCodec
from speech_eval.reference_models.speech_lm.rl.dpo import DPO
from speech_eval.reference_models.speech_lm.rl.grpo import GRPO
from speech_eval.reference_models.speech_lm.rl.rollout import (
    Aligner,
    AlignmentConfig,
    Guard,
    History,
    Line,
    guard_by_ear,
    judge_by_ear,
)
from speech_eval.reference_models.speech_lm.sampling import Sampling
from speech_eval.reference_models.training.checkpoint import WEIGHTS
from speech_eval.reference_models.training.log import append_row, check_identity
from speech_eval.reference_models.training.state import FILE, load_training, read_facts, save_training
from speech_eval.reference_models.tts import building
from speech_eval.reference_models.tts.adapter import build_codec
from speech_eval.reference_models.tts.config import codec_spec
from speech_eval.reference_models.tts.model import SpeechLM

METHODS: dict[str, type[Aligner]] = {"grpo": GRPO, "dpo": DPO}
LOG = "log.jsonl"
_CODEC = "codec"  # where a checkpoint keeps a codec of this project
_PROMPT_SECONDS = (1.0, 6.0)
_PROMPTS = 4  # recordings a voice


def train_recipe(
    recipe: Size,
    data: Path,
    output: Path,
    *,
    resume: bool = False,
    overfit: bool = False,
    codec: str | None = None,
    force: bool = False,
    stop_at: int | None = None,
    progress: Progress = silent,
    say: Say = unsaid,
) -> dict[str, Any]:
    """Align the recipe's `start` on the texts of the AudioFolder `data` into the checkpoint `output`; returns the card.

    `overfit` draws the same lines in every step. Raises `BadInput` for a resume without a state, for a start over one,
    and naming the recipe's field that cannot be used.
    """
    config = recipe.read(AlignmentConfig, recipe.training)
    if codec is not None or force:
        raise BadInput(f"{recipe.name} speaks through the codec of its start.", "Leave out --codec and --force.")
    if not resume and (output / FILE).is_file():
        raise BadInput(f"{output} holds a training run already.", "Add --resume, or choose another --output.")
    start = start_of(config.start, data, output, progress, say)
    run = Run(recipe.name, config, start, data, output, overfit)
    if resume:
        run.resume()
    return run.go(stop_at, progress, say)


def start_of(start: str, data: Path, output: Path, progress: Progress, say: Say) -> Path:
    """The checkpoint to start from: a directory, or one that comes with the package by its name; trained first, into
    `output`/start, where a recipe and its size are named."""
    name, at, size = start.partition("@")
    if not at:
        found = [folder for folder in (Path(start), CHECKPOINTS / start) if folder.is_dir()]
        if not found:
            raise BadInput(f"start: there is no checkpoint {start}.", "Give a directory, llasa-3m-en, or RECIPE@SIZE.")
        return found[0]
    from speech_eval.reference_models.recipes.reproduce import train

    folder = output / "start"
    started = (folder / FILE).is_file()
    if not (started and read_facts(folder).get("finished")):
        say(f"training {start} to start from")
        train(name, size, folder, data=data, resume=started, progress=progress, say=say)
    return folder


class Run:
    """The parts of an alignment."""

    def __init__(
        self, name: str, config: AlignmentConfig, start: Path, data: Path, output: Path, overfit: bool
    ) -> None:
        self.name, self.config, self.start, self.output = name, config, start, output
        model, self.origin = building.load(start)
        if not isinstance(model, SpeechLM):
            raise BadInput(f"{start}: only single-stream layouts (flat, interleaved) are aligned.", "Start from llasa.")
        section = model.config.codec
        codec = SpeechCodec(build_codec(codec_spec(model.config, start)), section.codebook_sizes, section.frame_rates)
        tokens = round(config.max_seconds * codec.step_rate * model.tokens_per_step)
        sampling = Sampling(temperature=config.temperature, max_tokens=tokens)

        def lines_in(split: str, most: int) -> list[Line]:
            found = lines_of(data, split, codec, config.voices, config.seed, most)
            if model.config.one_voice:  # which reads no prompt; its likeness to the voice is heard all the same
                found = [replace(line, prompt_text=None, prompt_codes=None) for line in found]
            return [line for line in found if _room(model, line, tokens)]

        lines = lines_in("train", config.texts_per_step if overfit else config.texts)
        held_out = lines_in("held-out", config.guard_texts) if config.guards else []
        guard: Guard | None = None
        if config.guards is not None:
            guard = guard_by_ear(codec, config.guards.load(), held_out, sampling, config.seed)
        judge = judge_by_ear(codec, config.ears.load())
        self.aligner = METHODS[config.method](
            model.to(choose_device("auto")), lines, judge, config, sampling=sampling, guard=guard
        )
        self.counts = {"lines": len(lines), "guard_lines": len(held_out)}

    @property
    def identity(self) -> dict[str, Any]:
        return {
            "training": self.config.model_dump(mode="json", exclude={"start", "save_every"}),
            "start": {"weights": weights_digest([self.start / WEIGHTS])},
            "lines": self.counts,
        }

    def resume(self) -> None:
        """Go back to the saved state. Raises `BadInput` where there is none or it is of another run."""
        aligner = self.aligner
        facts = load_training(self.output, {"model": aligner.model}, {"optimizer": aligner.optimizer})
        check_identity(self.output, facts["identity"], self.identity, "aligned")
        aligner.history = History(**facts["history"])

    def go(self, stop_at: int | None, progress: Progress, say: Say) -> dict[str, Any]:
        def log(row: dict[str, float]) -> None:
            append_row(self.output / LOG, {name: round(value, 6) for name, value in row.items()})
            say(f"step {row['step']:.0f}: " + ", ".join(f"{k} {v:.3g}" for k, v in row.items() if k != "step"))

        self.output.mkdir(parents=True, exist_ok=True)
        inside = self.start / _CODEC
        if inside.is_dir() and not (self.output / _CODEC).exists():
            shutil.copytree(inside, self.output / _CODEC, ignore=shutil.ignore_patterns(FILE, "*.jsonl"))
        self.aligner.run(stop_at, log, self.save, progress)
        return self.card()

    def save(self) -> None:
        aligner = self.aligner
        finished = aligner.history.step >= self.config.steps
        facts = {"identity": self.identity, "history": asdict(aligner.history), "finished": finished}
        save_training(self.output, {"model": aligner.model}, {"optimizer": aligner.optimizer}, facts)
        building.save(self.output, aligner.model, aligner.model.state_dict(), self.card())

    def card(self) -> dict[str, Any]:
        """The start's card in short, what rewarded and what guarded, and the guards' numbers from first to last."""
        history, config = self.aligner.history, self.config
        listeners = {"ears": config.ears, "guards": config.guards}
        found: dict[str, Any] = {
            "name": self.name,
            "description": f"{self.origin.get('name', 'A speech language model')} aligned by {config.method.upper()}, "
            f"speech-eval {__version__}.",
            "alignment": {
                "method": config.method,
                "start_weights_sha256": self.identity["start"]["weights"],
                "steps": history.step,
                "minutes": round(history.seconds / 60, 2),
                "tries": history.step * config.texts_per_step * config.group,
                "rewards": dict(config.rewards),
                "form": config.form,
                **self.counts,
            },
            "listeners": {name: {} if ear is None else asdict(ear) for name, ear in listeners.items()},
            "hardware": hardware().model_dump(),
        }
        if history.guards:
            found["guards"] = [{name: round(value, 4) for name, value in row.items()} for row in history.guards]
        return found | {key: self.origin[key] for key in ("license", "language") if key in self.origin}


def lines_of(data: Path, split: str, codec: SpeechCodec, voices: bool, seed: int, most: int) -> list[Line]:
    """The texts of a split, each once, `most` of them drawn by the seed. With `voices`, each in the voice of another
    recording of its speaker; what no recording of 1 to 6 s can prompt is left out. Raises `BadInput` where nothing is
    left."""
    dataset = datasets.load_dataset(data)
    samples = [s for s in dataset.samples if (s.text or "").strip() and split_of(s) == split]
    unique = list({str(s.text): s for s in samples}.values())
    unique = random.Random(f"{seed}/{split}").sample(unique, min(most, len(unique)))
    pools: dict[str, list[tuple[Sample, Line]]] = {}
    if voices:
        dataset.ensure_audio(silent)
        for speaker in sorted({str(s.speaker) for s in samples}):
            fitting = [
                s
                for s in samples
                if str(s.speaker) == speaker and s.audio and _prompts_well(float(s.metadata["seconds"]))
            ]
            random.Random(f"{seed}/{speaker}").shuffle(fitting)
            pools[speaker] = [(s, _prompt(dataset, s, codec)) for s in fitting[:_PROMPTS]]
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
        raise BadInput(f"{data}: its split '{split}' has no text to speak.", "See: speech-eval data prepare")
    return lines


def _room(model: SpeechLM, line: Line, tokens: int) -> bool:
    """Whether the model can say `tokens` after the line and its prompt."""
    try:
        return len(model.prompt_ids(line.text, line.prompt_text, line.prompt_codes)) + tokens <= model.context
    except BadInput:
        return False


def _prompts_well(seconds: float) -> bool:
    return _PROMPT_SECONDS[0] <= seconds <= _PROMPT_SECONDS[1]


def _prompt(dataset: datasets.Dataset, sample: Sample, codec: SpeechCodec) -> Line:
    audio = load_audio(dataset.audio_path(str(sample.audio)))
    return Line(sample.id, "", sample.language, sample.text, audio, codec.encode(audio))

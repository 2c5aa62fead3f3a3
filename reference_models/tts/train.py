"""Training a speech LM: encode, pack, listen to what was packed, then one loop, resumable at any step."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from speech_eval.adapters import spec as modelspec
from speech_eval.adapters.base import AudioCodec
from speech_eval.errors import BadInput
from speech_eval.progress import Progress, Say, silent, unsaid
from speech_eval.reference_models.data.packing import Packed, Source, TokenBatch
from speech_eval.reference_models.data.token_shards import Shards, write_shards
from speech_eval.reference_models.recipes.schema import Size, lay_over
from speech_eval.reference_models.recipes.schema import load as load_recipe
from speech_eval.reference_models.training import loop
from speech_eval.reference_models.training.checkpoint import DESCRIPTION, WEIGHTS
from speech_eval.reference_models.training.distributed import accelerator, first_says
from speech_eval.reference_models.training.log import append_row, check_identity
from speech_eval.reference_models.training.loop import Loop
from speech_eval.reference_models.training.state import FILE, load_training, read_facts, save_training
from speech_eval.reference_models.tts.building import build, save
from speech_eval.reference_models.tts.card import card
from speech_eval.reference_models.tts.check import heard_from, refuse_garbage
from speech_eval.reference_models.tts.config import CodecSection, TTSConfig
from speech_eval.reference_models.tts.training_config import TTSTrainingConfig

CODEC = "codec"  # the folder of a checkpoint that holds the codec it speaks through


@dataclass
class Log(loop.Log):
    """With what was packed, and what was heard of it."""

    tokens: int = 0
    packing: dict[str, Any] = field(default_factory=dict)
    check: dict[str, Any] = field(default_factory=dict)
    validation: dict[str, Any] = field(default_factory=dict)


def train_recipe(
    recipe: Size,
    data: Path,
    output: Path,
    *,
    resume: bool = False,
    overfit: bool = False,
    force: bool = False,
    codec: str | None = None,
    progress: Progress = silent,
    say: Say = unsaid,
) -> dict[str, Any]:
    """Everything from an AudioFolder to a checkpoint: the codec of the recipe (or `codec`, a model spec), the shards,
    the training. Raises `BadInput` naming the recipe's field that cannot be used."""
    spec = _codec(recipe, codec, data, output, progress, say)
    training = recipe.read(TTSTrainingConfig, recipe.training)
    config = recipe.read(TTSConfig, {**recipe.model, "codec": {"spec": spec}})
    options = {"name": recipe.name, "resume": resume, "overfit": overfit, "force": force}
    return train(config, training, data, output, progress=progress, say=say, **options)  # type: ignore[arg-type]


def _codec(recipe: Size, given: str | None, data: Path, output: Path, progress: Progress, say: Say) -> str:
    """The spec of the codec: as given, or trained by its own recipe into the checkpoint's folder."""
    if given or recipe.codec.get("spec"):
        return given or str(recipe.codec["spec"])
    if "recipe" not in recipe.codec:
        raise BadInput(f"{recipe.name} names no codec.", "Add `codec` with a `recipe` and `size`, or a `spec`.")
    from speech_eval.reference_models.codec import train as codec_training

    folder = output / CODEC
    started = (folder / FILE).is_file()
    if not (started and read_facts(folder).get("finished")):
        chosen = load_recipe(recipe.codec["recipe"], recipe.codec["size"])
        changed = lay_over(chosen.model_dump(), recipe.codec.get("changes", {}))
        wanted = Size.model_validate(changed)
        codec_training.train_recipe(wanted, data, folder, resume=started, progress=progress, say=say)
    return str(folder)


def train(
    config: TTSConfig,
    training: TTSTrainingConfig,
    data: Path,
    output: Path,
    *,
    name: str = "tts",
    resume: bool = False,
    overfit: bool = False,
    force: bool = False,
    stop_at: int | None = None,
    progress: Progress = silent,
    say: Say = unsaid,
) -> dict[str, Any]:
    """Train a speech LM on the utterances of `data` that have a text; the checkpoint directory `output` is the result.

    `resume` goes on from the state in `output`, and gives what the uninterrupted run would have given; `overfit`
    trains on the first batch alone; `force` starts although what was packed is not understood, and marks the card;
    `stop_at` ends early, as an interruption would. Returns the card. Raises `BadInput` for a resume without a state,
    for a start over one and for shards that hold no speech, `TrainingStopped` where losses are not numbers.
    """
    if not resume and (output / FILE).is_file():
        raise BadInput(f"{output} holds a training run already.", "Add --resume, or choose another --output.")
    say = first_says(say)
    spec = config.codec.spec
    summary = write_shards(
        data, spec, output / "shards", text=config.frontend, language=config.language, progress=progress
    )
    for split, found in summary["splits"].items():
        if found["utterances"]:
            say(
                f"shards, {split}: {found['utterances']} utterances, {found['hours']:.2f} h, "
                f"{found['bytes'] / 1e6:.2f} MB where waveforms are {found['waveform_bytes'] / 1e6:.1f} MB "
                f"({found['smaller_by']:g} times smaller)"
            )
    section = CodecSection.model_validate(summary["codec"]).model_copy(update={"spec": _beside(spec, output)})
    found_out = {"codec": section, "one_voice": summary["splits"]["train"]["speakers"] == 1}
    trainer = Trainer(config.model_copy(update=found_out), training, data, output, name=name, overfit=overfit, say=say)
    if resume:
        trainer.resume()
    else:
        trainer.listen(spec, force)
    return trainer.run(stop_at, progress)


def _beside(spec: str, output: Path) -> str:
    """A trained codec is copied into the checkpoint, which then needs nothing else; any other stays a spec."""
    target, comma, options = spec.partition(",")
    if not (Path(target) / DESCRIPTION).is_file():
        return spec
    if Path(target).resolve() != (output / CODEC).resolve():
        (output / CODEC).mkdir(parents=True, exist_ok=True)
        for file in (DESCRIPTION, WEIGHTS, "README.md"):
            if (Path(target) / file).is_file():
                shutil.copyfile(Path(target) / file, output / CODEC / file)
    return f"{CODEC}{comma}{options}"


class Trainer(Loop):
    """The parts of a run and its steps. The table of ids is said at the start."""

    def __init__(
        self,
        config: TTSConfig,
        training: TTSTrainingConfig,
        data: Path,
        output: Path,
        *,
        name: str,
        overfit: bool,
        say: Say,
    ) -> None:
        super().__init__(accelerator(training.precision), training, output, name=name, overfit=overfit, say=say)
        self.training, self.data = training, data
        self.log: Log = Log()
        self.shards = Shards(output / "shards")
        torch.manual_seed(training.seed)
        self.model = build(config)
        if training.sequence > self.model.context:
            raise BadInput(f"sequence={training.sequence}: the model reads {self.model.context}.", "Shorten it.")
        self.batches = self._packed(self.shards, training.seed, self._texts(), world=True)
        held_out = Shards(output / "shards", "held-out")
        self.held_out = self._packed(held_out, 0, None, world=False) if len(held_out) else None
        optimizer = torch.optim.AdamW(
            self.model.parameters(),
            lr=training.optimizer.learning_rate,
            betas=training.optimizer.betas,
            weight_decay=training.optimizer.weight_decay,
        )
        self.wrapped, self.optimizer = self.accelerator.prepare(self.model, optimizer)
        if training.compile:
            self.wrapped = torch.compile(self.wrapped)
        self.peak = peak_flops(
            self.accelerator.device, torch.bfloat16 if self.accelerator.mixed_precision == "bf16" else torch.float32
        )

    def _packed(self, shards: Shards, seed: int, texts: list[Source] | None, *, world: bool) -> Packed:
        accelerator, training = self.accelerator, self.training
        return Packed(
            self.model,
            _sources(self.model, shards),
            training.sequence,
            batch_size=training.batch_size,
            seed=seed,
            rank=accelerator.process_index if world else 0,
            world=accelerator.num_processes if world else 1,
            texts=texts,
            text_share=training.text_replay,
        )

    def _texts(self) -> list[Source]:
        """Text to replay: the lines of a file, or the transcripts."""
        if not self.training.text_replay:
            return []
        replay = self.training.replay
        lines = (
            [self.shards[index].spoken for index in range(len(self.shards))]
            if replay is None
            else self.model.spoken(Path(replay).read_text("utf-8").splitlines())
        )
        make = self.model.text_example
        return [
            Source(f"text {number}", len(make(line)[0]), partial(make, line), speech=False)
            for number, line in enumerate(lines)
            if line.strip()
        ]

    # ------------------------------------------------------------------------------------------- state

    def _identity(self) -> dict[str, Any]:
        """What must not change between a run and its continuation; how often it speaks and how long it runs may."""
        reports = {"log_every", "validate_every", "validation_packs", "save_every", "tensorboard"}
        free = {*reports, "check", "compile", "minutes"}
        return {
            "config": self.model.config.model_dump(mode="json"),
            "training": self.training.model_dump(mode="json", exclude=free),
            "shards": self.shards.summary["plan"],
            "processes": self.accelerator.num_processes,
            "overfit": self.overfit,
        }

    def resume(self) -> None:
        """Go back to the saved state. Raises `BadInput` where there is none or it is of another run."""
        facts = load_training(self.output, {"model": self.model}, {"optimizer": self.optimizer})
        check_identity(self.output, facts["identity"], self._identity())
        self.log = Log(**facts["log"])

    def save(self) -> dict[str, Any]:
        """Write the state and the checkpoint directory; returns the card."""
        facts = {"identity": self._identity(), "log": asdict(self.log), "finished": self.done() >= 1.0}
        found = card(self.name, self.model, self.training, self.data, self.shards.summary, self.log, self.overfit)
        if self.accelerator.is_main_process:
            save_training(self.output, {"model": self.model}, {"optimizer": self.optimizer}, facts)
            save(self.output, self.model, self.model.state_dict(), found)
        return found

    # -------------------------------------------------------------------------------------------- loop

    def listen(self, codec_spec: str, force: bool) -> None:
        """Hear what was packed; `BadInput` where it is garbage."""
        config = self.training.check
        if not self.accelerator.is_main_process:
            return
        codec = modelspec.resolve(codec_spec).build()
        assert isinstance(codec, AudioCodec)
        texts = {document.id: document.text for document in map(self.shards.__getitem__, range(len(self.shards)))}
        language = self.model.config.language.split("-")[0]
        report = heard_from(self.model, self.batches, codec, texts, config, language)
        self.log.check = report | {"max_wer": config.max_wer, "forced": force and report["wer"] > config.max_wer}
        self.say(f"decoded what was packed: WER {report['wer']:.1%} on {report['utterances']} utterances")
        refuse_garbage(report, config, force=force)

    def batches_of(self, start: int, stop: int) -> Iterator[list[TokenBatch]]:
        take = self.training.accumulate
        for step in range(start, stop):
            yield [self.batches[0 if self.overfit else step * take + part] for part in range(take)]

    def introduce(self) -> None:
        model, training, batches = self.model, self.training, self.batches
        parameters = sum(p.numel() for p in model.parameters()) / 1e6
        positions = training.batch_size * training.accumulate * training.sequence * self.accelerator.num_processes
        self.log.packing = {
            "efficiency": round(batches.efficiency(), 4),
            "packs_an_epoch": len(batches.plan(0)),
            "too_long": len(batches.too_long),
        }
        self.say(
            f"{self.name}: {parameters:.2f} M parameters, {positions} positions a step, "
            f"{batches.epoch / training.accumulate:.0f} steps an epoch, packs {batches.efficiency():.1%} full, "
            f"{len(batches.too_long)} utterances too long for one"
        )
        self.say(f"  vocabulary {model.vocabulary.digest[:16]}: {len(model.vocabulary)} ids")
        for row in model.vocabulary.rows():
            self.say(f"  {row['first']:>7} to {row['last']:>7}  {row['block']}")

    # -------------------------------------------------------------------------------------------- step

    def step(self, number: int, batches: list[TokenBatch]) -> dict[str, float]:
        """One update from `accumulate` batches. Returns nats a token by kind, none where the step was skipped."""
        accelerator, device, started = self.accelerator, self.accelerator.device, time.perf_counter()
        # Every draw of a step hangs on its number alone, so that a resumed run draws the same.
        torch.manual_seed(self.training.seed * 1_000_003 + number * 1_009 + accelerator.process_index)
        mine = [self.model.counts(batch.labels) for batch in batches]
        own = torch.tensor([[float(value) for value in part.values()] for part in mine], device=device).sum(0)
        counts = dict(zip(mine[0], accelerator.reduce(own, "sum").tolist(), strict=True))
        self.wrapped.train()
        self.optimizer.zero_grad(set_to_none=True)
        sums: dict[str, Tensor] = {}
        for index, batch in enumerate(batches):
            # Gradients travel between processes once, with the last part.
            apart = nullcontext() if index + 1 == len(batches) else accelerator.no_sync(self.wrapped)
            with apart, accelerator.autocast():
                nats = self.wrapped(batch.ids.to(device), batch.labels.to(device), batch.positions.to(device))
                # Gradients are averaged over processes, the loss is a mean over the tokens of all of them.
                loss = self.model.loss(nats, counts) * accelerator.num_processes
                accelerator.backward(loss)
            sums = {kind: sums.get(kind, 0.0) + value.detach() for kind, value in nats.items()}
        values = {kind: value.item() / max(counts[kind], 1) for kind, value in self._total(sums).items()}
        norm = accelerator.clip_grad_norm_(self.wrapped.parameters(), self.training.optimizer.clip_norm)
        if not (math.isfinite(float(norm)) and all(math.isfinite(value) for value in values.values())):
            spoken = [name for batch in batches for row in batch.documents for name in row]
            self.bad_step(number, "the loss or its gradient", spoken[:8])
            return {}
        for group in self.optimizer.param_groups:
            group["lr"] = self.training.optimizer.rate_at(number, self.done())
        self.optimizer.step()
        tokens = sum(batch.filled for batch in batches) * accelerator.num_processes
        self.log.tokens += tokens
        flops = self.model.flops(tokens, counts) / accelerator.num_processes
        kept = {kind: value for kind, value in values.items() if counts[kind]}
        spent = {"tokens": float(tokens), "flops": flops, "seconds": time.perf_counter() - started}
        return kept | {"norm": float(norm)} | spent

    def _total(self, sums: dict[str, Tensor]) -> dict[str, Tensor]:
        return {kind: self.accelerator.reduce(value, "sum") for kind, value in sums.items()}

    # ------------------------------------------------------------------------------------------ reports

    def report(self, recent: Sequence[dict[str, float]], steps_per_second: float, writer: Any) -> None:
        """One line of means over the steps since the last one, on the screen and in `log.jsonl`."""
        log = self.log
        total = {name: sum(values.get(name, 0.0) for values in recent) for name in recent[0]}
        speed = {
            "tokens_per_second": total["tokens"] / total["seconds"],
            "mfu": total["flops"] / total["seconds"] / self.peak,
        }
        shown = {name: total[name] / len(recent) for name in total if name not in ("tokens", "flops", "seconds")}
        rounded = {name: round(value, 6) for name, value in (shown | speed).items()}
        append_row(self.output / "log.jsonl", {"step": log.step, "seconds": round(log.seconds, 1), **rounded})
        for name, value in rounded.items():
            if writer:
                writer.add_scalar(name, value, log.step)
        self.say(
            f"step {log.step}/{self.training.steps} ({self.minutes_left(steps_per_second):.0f} min left): "
            + ", ".join(f"{name} {value:.4g}" for name, value in shown.items())
            + f"; {speed['tokens_per_second']:.0f} tokens/s, MFU {speed['mfu']:.1%}"
        )

    @torch.no_grad()
    def validate(self, writer: Any) -> None:
        """Nats a token on held-out utterances, the whole of them where there is a depth decoder."""
        if self.held_out is None:
            return
        packs = self.held_out.plan(0)[: self.training.validation_packs]
        self.model.eval()
        sums: dict[str, float] = {}
        counts: dict[str, int] = {}
        for pack in packs:
            batch = self.held_out.collate([pack])
            on = (part.to(self.accelerator.device) for part in (batch.ids, batch.labels, batch.positions))
            for kind, value in self.model(*on).items():
                sums[kind] = sums.get(kind, 0.0) + float(value)
            for kind, count in self.model.counts(batch.labels).items():
                counts[kind] = counts.get(kind, 0) + count
        found = {kind: sums[kind] / count for kind, count in counts.items() if count}
        self.log.validation = {"step": self.log.step, **found}
        for kind, value in found.items():
            if writer:
                writer.add_scalar(f"validation/{kind}", value, self.log.step)
        shown = ", ".join(f"{kind} {value:.4f}" for kind, value in found.items())
        self.say(f"validation at step {self.log.step}: {shown} nats a token, held out")


def peak_flops(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second of a large matrix product here: what MFU is a share of."""
    size = 8192 if device.type == "cuda" else 768
    a = torch.randn(size, size, device=device, dtype=dtype)
    best = math.inf
    for _ in range(5):
        begun = time.perf_counter()
        a @ a
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - begun)
    return 2.0 * size**3 / best


def _sources(model: Any, shards: Shards) -> list[Source]:
    """The documents of a split, measured once and made anew each time they are needed."""

    def make(index: int) -> Any:
        document = shards[index]
        return model.example(document.spoken, document.codes)

    return [Source(shards[i].id, len(make(i)[0]), partial(make, i)) for i in range(len(shards))]

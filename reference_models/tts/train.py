"""Training a speech LM: encode, pack, recognize what was packed, then one loop, resumable at any step."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from speech_eval.adapters.checkpoints import weights_digest
from speech_eval.errors import BadInput
from speech_eval.progress import Progress, Say, silent, unsaid
from speech_eval.reference_models.data.corpus import Data, open_corpus
from speech_eval.reference_models.data.packing import Packed, Source, TokenBatch
from speech_eval.reference_models.data.splits import HELD_OUT
from speech_eval.reference_models.data.token_shards import Shards, write_shards
from speech_eval.reference_models.recipes.codecs import CODEC, bundled, codec_of
from speech_eval.reference_models.recipes.schema import ResolvedRecipe
from speech_eval.reference_models.speech_lm.codec_stream import SpeechCodec, load_codec
from speech_eval.reference_models.speech_lm.sequence import CodecSection
from speech_eval.reference_models.speech_lm.tokenizer import Example
from speech_eval.reference_models.training.checkpoint import DESCRIPTION, find_checkpoint, load_checkpoint
from speech_eval.reference_models.training.distributed import accelerator, autocast, first_says
from speech_eval.reference_models.training.log import RunLog
from speech_eval.reference_models.training.loop import Loop, Values, adamw, goes_on, reseed
from speech_eval.reference_models.training.recompute import recompute_layers
from speech_eval.reference_models.training.sharding import gathered, shard, whole
from speech_eval.reference_models.tts import lora
from speech_eval.reference_models.tts.building import build, read_config, save, start_from
from speech_eval.reference_models.tts.card import card
from speech_eval.reference_models.tts.check import recognize_packed, refuse_garbage
from speech_eval.reference_models.tts.config import TTSConfig
from speech_eval.reference_models.tts.published import start_config
from speech_eval.reference_models.tts.training_config import TTSTrainingConfig

SHARDS = "shards"  # folder of a checkpoint
_SPENT = ("tokens", "flops", "seconds")  # sums over the steps of a report; the other values are means


@dataclass
class TTSLog(RunLog):
    """With what was packed, and what was recognized of it."""

    tokens: int = 0
    packing: dict[str, Any] = field(default_factory=dict)
    check: dict[str, Any] = field(default_factory=dict)
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
    force: bool = False,
    progress: Progress = silent,
    say: Say = unsaid,
) -> dict[str, Any]:
    """From data to a checkpoint: the codec of the recipe (or `codec`, a model spec), shards, training.

    `resume` goes on with the stage that an earlier call was stopped in. A recipe whose `training` names a `method` is
    an alignment. Raises `BadInput` naming a key that cannot be used.
    """
    if "method" in recipe.training:
        from speech_eval.reference_models.tts import align

        if codec is not None or init is not None or force:
            raise BadInput(
                f"{recipe.name} has its start and that one's codec.", "Leave out --codec, --init and --force."
            )
        return align.train_recipe(recipe, data, output, resume=resume, overfit=overfit, progress=progress, say=say)
    resume = goes_on(output, resume)
    training = recipe.read(TTSTrainingConfig, recipe.training)
    config = recipe.read(TTSConfig, {**recipe.model, "codec": {"spec": codec or CODEC}})
    start: Path | None = None
    if init is not None:
        start, config = _start(init, codec, first_says(say))
    corpus = open_corpus(data, output, on_bad=training.on_bad_data, progress=progress, say=first_says(say))
    if start is None:
        spec = codec or codec_of(recipe, corpus, output, progress, say)
        config = config.model_copy(update={"codec": CodecSection(spec=spec)})
    options: dict[str, Any] = {"name": recipe.name, "resume": resume, "overfit": overfit, "force": force, "init": start}
    return train(config, training, corpus, output, progress=progress, say=say, **options)


def _start(init: str, codec: str | None, say: Say) -> tuple[Path, TTSConfig]:
    """The directory and configuration of what to start from: a checkpoint of this project, which may learn the codes of
    another codec with the same codebooks, or a published model, whose codec may be given in another place."""
    foreign = (Path(init) / "config.json").is_file() and not (Path(init) / DESCRIPTION).is_file()
    if foreign or init.startswith("hf:"):
        directory, config = start_config(init, codec)
        say(f"starting from {init}, in the layout of its family, over {config.codec.spec}")
        return directory, config
    directory = find_checkpoint(init, "--init")
    config = read_config(directory, load_checkpoint(directory, "tts")[0])
    if codec is not None:
        SpeechCodec(load_codec(codec), config.codec.codebook_sizes, config.codec.frame_rates)  # raises for other codes
    through = "its codec" if codec is None else f"the codec {codec} instead of its own"
    say(f"starting from {directory}, with its architecture, its frontend and {through}")
    section = CodecSection(spec=codec or config.codec.seen_from(directory))
    learned = config.languages or (config.language,)
    return directory, config.model_copy(update={"codec": section, "languages": learned})


def train(
    config: TTSConfig,
    training: TTSTrainingConfig,
    data: Data,
    output: Path,
    *,
    name: str = "tts",
    resume: bool = False,
    overfit: bool = False,
    init: Path | None = None,
    force: bool = False,
    stop_at: int | None = None,
    trainer: type[TTSTrainer] | None = None,
    progress: Progress = silent,
    say: Say = unsaid,
) -> dict[str, Any]:
    """Train a speech LM on the utterances of `data` that have a text, into the checkpoint directory `output`.

    `resume` continues from the state in `output` and gives what the uninterrupted run would have given, or starts with
    the stage before which it was interrupted; `overfit` trains on the first batch alone; `init` is a checkpoint of the
    same layout to start from; `force` starts although the packed speech is not recognized, and marks the card;
    `stop_at` ends early, as an interruption would; `trainer` may make other documents of the utterances. Returns the
    card. Raises `BadInput` for a resume without anything to resume, for a start over a run and for shards without
    speech, `TrainingStopped` for losses that are not finite.
    """
    resume = goes_on(output, resume)
    corpus = open_corpus(data, output, on_bad=training.on_bad_data, progress=progress, say=first_says(say))
    spec = config.codec.spec
    config = encode(
        config, corpus, output, on_bad=training.on_bad_data, renew=not resume, progress=progress, say=first_says(say)
    )
    options: dict[str, Any] = {"name": name, "overfit": overfit, "init": init, "say": say}
    made = (trainer or TTSTrainer)(config, training, corpus, output, **options)
    made.loop.start(resume)
    if not resume:
        made.loop.alone(lambda: made.check_packed(spec, force))
    return finish(made, stop_at, progress)


def finish(trainer: TTSTrainer, stop_at: int | None = None, progress: Progress = silent) -> dict[str, Any]:
    """The loop: from where the trainer is to the last step, or to `stop_at`. Returns the card."""
    loop = trainer.loop
    trainer.introduce()
    return loop.run(trainer, trainer.batches_of, stop_at, progress)


def encode(config: TTSConfig, data: Data, output: Path, *, say: Say, **options: Any) -> TTSConfig:
    """Write the shards of `data` into `output`; the configuration with what they tell of the codec, the voices and the
    languages. `options` are those of `write_shards`."""
    spec = config.codec.spec
    summary = write_shards(
        data, spec, output / SHARDS, text=config.frontend, language=config.language, say=say, **options
    )
    for split, found in summary["splits"].items():
        if found["utterances"]:
            say(
                f"shards, {split}: {found['utterances']} utterances, {found['hours']:.2f} h, "
                f"{found['bytes'] / 1e6:.2f} MB; 16-bit waveforms would be {found['waveform_bytes'] / 1e6:.1f} MB "
                f"({found['smaller_by']:g} times as large)"
            )
    section = CodecSection.model_validate(summary["codec"]).model_copy(update={"spec": bundled(spec, output)})
    one_voice = summary["splits"]["train"]["speakers"] == 1
    learned = tuple(dict.fromkeys([*summary["languages"], *config.languages]))
    return config.model_copy(update={"codec": section, "one_voice": one_voice, "languages": learned})


class TTSTrainer:
    """The parts of a run: shards, packs, model, optimizer."""

    def __init__(
        self,
        config: TTSConfig,
        training: TTSTrainingConfig,
        data: Data,
        output: Path,
        *,
        name: str,
        overfit: bool,
        init: Path | None = None,
        say: Say,
    ) -> None:
        self.training, self.output = training, output
        self.name, self.overfit, self.say = name, overfit, first_says(say)
        self.corpus = open_corpus(data, output, on_bad=training.on_bad_data, say=self.say)
        self.accelerator, self.log = accelerator(), TTSLog()
        self.shards = Shards(output / SHARDS)
        torch.manual_seed(training.seed)
        ours = init is not None and (init / DESCRIPTION).is_file()
        self.model = start_from(init, config) if init is not None and ours else build(config)
        self.start_weights = None if init is None else weights_digest(sorted(init.glob("model*.safetensors")))
        self.adapters = lora.add(self.model, training.lora) if training.lora is not None else None
        if training.sequence > self.model.tokenizer.context:
            raise BadInput(
                f"sequence={training.sequence}: the model reads {self.model.tokenizer.context} positions.",
                "Lower training.sequence, or raise model.core.positions.",
            )
        self.batches = self._packed(self.shards, training.seed, self._texts(), world=True)
        held_out = Shards(output / SHARDS, HELD_OUT)
        self.held_out = self._packed(held_out, 0, None, world=False) if len(held_out) else None
        self.wrapped, self.optimizer = self._prepared()
        if training.recompute:
            for part in self._transformers():
                recompute_layers(part)
        if training.compile:
            self.wrapped = torch.compile(self.wrapped)
        dtype = torch.bfloat16 if training.precision == "bf16" else torch.float32
        self.peak = peak_flops(self.accelerator.device, dtype)
        self.loop = Loop(
            training,
            output,
            self.log,
            name=name,
            accelerator=self.accelerator,
            parts={"model": self.model},
            optimizers={"optimizer": self.optimizer},
            together=self.shared_out,
            identity={
                "config": self.model.config.model_dump(mode="json"),
                "training": training.identity(),
                "shards": self.shards.summary["plan"],
                "init": self.start_weights,
                "processes": self.accelerator.num_processes,
                "overfit": overfit,
            },
            say=say,
        )

    @property
    def shared_out(self) -> bool:
        """Whether each process holds a part of the weights."""
        return self.training.shard and self.accelerator.num_processes > 1

    def _transformers(self) -> list[Any]:
        return [part for part in self.model.children() if isinstance(part, PreTrainedModel)]

    def _prepared(self) -> Any:
        """The model as it is called, whose gradients are those of all processes, and its optimizer."""
        optimizer = self.training.optimizer
        if not self.shared_out:
            return self.accelerator.prepare(self.model, adamw(self.model, optimizer))
        blocks = [block for part in self._transformers() for block in part.base_model.layers]
        shard(self.model, blocks, self.accelerator.device, self.accelerator.num_processes)
        return self.model, self.accelerator.prepare(adamw(self.model, optimizer))

    def _packed(self, shards: Shards, seed: int, texts: list[Source] | None, *, world: bool) -> Packed:
        accelerator, training = self.accelerator, self.training
        return Packed(
            self.model.tokenizer,
            self.sources(shards),
            training.sequence,
            batch_size=training.batch_size,
            seed=seed,
            rank=accelerator.process_index if world else 0,
            world=accelerator.num_processes if world else 1,
            texts=texts,
            text_share=training.text_replay,
        )

    def sources(self, shards: Shards) -> list[Source]:
        """The documents of a split, measured once and made again each time they are needed."""
        tokenizer = self.model.tokenizer

        def make(index: int) -> Example:
            document = shards[index]
            return tokenizer.example(document.spoken, document.codes)

        return [Source(name, len(make(i)[0]), partial(make, i)) for i, name in enumerate(shards.column("id"))]

    def _texts(self) -> list[Source]:
        """Text to replay: the lines of a file, or the transcripts."""
        if not self.training.text_replay:
            return []
        tokenizer, replay = self.model.tokenizer, self.training.replay
        if replay is None:
            lines = self.shards.column("spoken")
        else:
            lines = tokenizer.spoken(Path(replay).read_text("utf-8").splitlines())
        make = tokenizer.text_example
        return [
            Source(f"text {number}", len(make(line)[0]), partial(make, line), ends=0)
            for number, line in enumerate(lines)
            if line.strip()
        ]

    def check_packed(self, codec_spec: str, force: bool) -> None:
        """Recognize what was packed. Raises `BadInput` if too little is understood, unless `force`."""
        config, check = self.model.config, self.training.check
        codec = load_codec(codec_spec)
        said = dict(zip(*map(self.shards.column, ("id", "text")), strict=True))
        languages = dict(zip(*map(self.shards.column, ("id", "language")), strict=True))
        try:
            report = recognize_packed(self.batches, codec, said, languages, check, config.language, self.say)
        except BadInput as error:
            if not force:
                raise
            self.log.check = {"utterances": 0, "recognizer": check.recognizer, "forced": True}
            self.say(f"not checked before training: {error.problem}")
            return
        self.log.check = report | {"max_wer": check.max_wer, "forced": force and report["wer"] > check.max_wer}
        self.say(f"decoded what was packed: WER {report['wer']:.1%} on {report['utterances']} utterances")
        refuse_garbage(report, check, force=force)

    def introduce(self) -> None:
        """Say what is trained on what, with the table of ids."""
        training, batches, vocabulary = self.training, self.batches, self.model.tokenizer.vocabulary
        parameters = sum(p.numel() for p in self.model.parameters()) / 1e6
        positions = training.batch_size * training.accumulate * training.sequence * self.accelerator.num_processes
        self.log.packing = {
            "efficiency": round(batches.efficiency(), 4),
            "packs_an_epoch": len(batches.plan(0)),
            "too_long": len(batches.too_long),
        }
        self.say(
            f"{self.name}: {parameters:.2f} M parameters, {positions} positions per step, "
            f"{batches.epoch / training.accumulate:.0f} steps per epoch, packs {batches.efficiency():.1%} full, "
            f"{len(batches.too_long)} utterances too long for one"
        )
        self.say(f"  vocabulary {vocabulary.digest[:16]}: {len(vocabulary)} ids")
        if self.adapters is not None:
            self.say(f"  adapters at {self.adapters['layers']} layers: {self.adapters['learned']} weights are learned")
        for name in batches.too_long:
            self.say(f"left out {name} (long): it takes more than {training.sequence} positions")
        for row in vocabulary.rows():
            self.say(f"  {row['first']:>7} to {row['last']:>7}  {row['block']}")

    def batches_of(self, start: int, stop: int) -> Iterator[list[TokenBatch]]:
        """The `accumulate` batches of each of the steps `start` to `stop`."""
        take = self.training.accumulate
        for step in range(start, stop):
            yield [self.batches[0 if self.overfit else step * take + part] for part in range(take)]

    # -------------------------------------------------------------------------------------------- step

    def step(self, number: int, batches: list[TokenBatch]) -> Values:
        """One update from `accumulate` batches. Returns nats per token by kind, none if the step was skipped."""
        accelerator, device, started = self.accelerator, self.accelerator.device, time.perf_counter()
        reseed(self.training.seed, number, accelerator.process_index)
        mine = [self.model.counts(batch.labels) for batch in batches]
        own = torch.tensor([[float(value) for value in part.values()] for part in mine]).sum(0)
        summed = own if accelerator.num_processes == 1 else accelerator.reduce(own.to(device), "sum")
        counts = dict(zip(mine[0], summed.tolist(), strict=True))
        self.wrapped.train()
        self.optimizer.zero_grad(set_to_none=True)
        sums: dict[str, Tensor] = {}
        for index, batch in enumerate(batches):
            # Gradients are exchanged between processes once, with the last part.
            sync = nullcontext() if index + 1 == len(batches) else accelerator.no_sync(self.wrapped)
            with sync:
                with autocast(device, self.training.precision):
                    nats = self.wrapped(batch.ids.to(device), batch.labels.to(device), batch.positions.to(device))
                # Gradients are averaged over processes, the loss is a mean over the tokens of all of them.
                loss = self.model.loss(nats, counts) * accelerator.num_processes
                accelerator.backward(loss)
            sums = {kind: sums.get(kind, 0.0) + value.detach() for kind, value in nats.items()}
        clipped = gathered(accelerator.clip_grad_norm_(self.wrapped.parameters(), self.training.optimizer.clip_norm))
        totals = accelerator.reduce(torch.stack(list(sums.values())), "sum")
        *nats_of_all, norm = torch.cat([totals, clipped.detach()[None]]).tolist()  # a device is waited for once
        values = {kind: total / max(counts[kind], 1) for kind, total in zip(sums, nats_of_all, strict=True)}
        if not (math.isfinite(norm) and all(math.isfinite(value) for value in values.values())):
            examples = [name for batch in batches for row in batch.documents for name in row]
            self.loop.bad_step(number, "the loss or its gradient", examples[:8])
            return {}
        for group in self.optimizer.param_groups:
            group["lr"] = self.training.optimizer.rate_at(number, self.loop.done())
        self.optimizer.step()
        tokens = sum(batch.filled for batch in batches) * accelerator.num_processes
        self.log.tokens += tokens
        flops = self.model.flops(tokens, counts) / accelerator.num_processes
        kept = {kind: value for kind, value in values.items() if counts[kind]}
        spent = {"tokens": float(tokens), "flops": flops, "seconds": time.perf_counter() - started}
        return kept | {"norm": norm} | spent

    # ----------------------------------------------------------------------- reports, validation, checkpoint

    def report(self) -> None:
        """Nats per token, the gradient's norm, tokens per second and the share of peak FLOPs (MFU)."""
        means = self.loop.means()
        nats = {name: value for name, value in means.items() if name not in _SPENT}
        speed = {
            "tokens_per_second": means["tokens"] / means["seconds"],
            "mfu": means["flops"] / means["seconds"] / self.peak,
        }
        shown = ", ".join(f"{name} {value:.4g}" for name, value in nats.items())
        self.loop.report(
            {name: round(value, 6) for name, value in (nats | speed).items()},
            f"{shown}; {speed['tokens_per_second']:.0f} tokens/s, MFU {speed['mfu']:.1%}",
        )

    @torch.no_grad()
    def validate(self) -> None:
        """Nats per token on held-out utterances; all frames count where there is a depth decoder."""
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
            self.loop.scalar(f"validation/{kind}", value)
        shown = ", ".join(f"{kind} {value:.4f}" for kind, value in found.items())
        self.say(f"validation at step {self.log.step}: {shown} nats per token, held out")

    def checkpoint(self) -> dict[str, Any]:
        """Write the checkpoint directory; returns the card."""
        found = card(self.name, self.model, self.training, self.corpus, self.shards.summary, self.log, self.overfit)
        found["training"]["init_weights_sha256"] = self.start_weights
        if self.adapters is not None:
            found["training"]["lora"] = self.adapters
        state = whole(self.model.state_dict(), keep=self.accelerator.is_main_process)
        self.loop.alone(lambda: self._save(state, found))
        return found

    def _save(self, state: dict[str, Tensor], found: dict[str, Any]) -> None:
        """The checkpoint, with adapters added to the weights and as files of their own."""
        if self.training.lora is None:
            return save(self.output, self.model, state, found)
        save(self.output, self.model, lora.merged(self.model, state), found)
        lora.save_adapter(state, self.training.lora, self.output / lora.ADAPTER)


def peak_flops(device: torch.device, dtype: torch.dtype) -> float:
    """Operations per second of a large matrix product on this device, the reference of MFU."""
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

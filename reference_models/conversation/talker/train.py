"""Training a Talker: encode the speech, let the Thinker read the texts, pack, then one loop, resumable at any step."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from speech_eval import __version__
from speech_eval.cache import write_atomically
from speech_eval.errors import BadInput
from speech_eval.progress import Progress, Say, silent, unsaid
from speech_eval.reference_models.conversation.talker.config import TalkerConfig, TalkerTrainingConfig
from speech_eval.reference_models.conversation.talker.model import KIND, NOTHING, Talker
from speech_eval.reference_models.conversation.talker.thinker import Thinker
from speech_eval.reference_models.data.card import data_facts, license_of
from speech_eval.reference_models.data.corpus import Corpus, Data, open_corpus
from speech_eval.reference_models.data.packing import Packed, Source, TokenBatch
from speech_eval.reference_models.data.splits import HELD_OUT, TRAIN
from speech_eval.reference_models.data.token_shards import Shards, write_shards
from speech_eval.reference_models.recipes.codecs import bundled, codec_of
from speech_eval.reference_models.recipes.schema import ResolvedRecipe
from speech_eval.reference_models.speech_lm.sequence import CodecSection
from speech_eval.reference_models.speech_lm.tokenizer import IGNORE
from speech_eval.reference_models.training.card import training_facts
from speech_eval.reference_models.training.checkpoint import save_checkpoint
from speech_eval.reference_models.training.distributed import accelerator, autocast, first_says, total
from speech_eval.reference_models.training.log import RunLog
from speech_eval.reference_models.training.loop import Loop, Values, adamw, goes_on, reseed, update

SHARDS = "shards"
Told = Mapping[str, Tensor]  # [tokens, 2, width] of each utterance


def train_recipe(
    recipe: ResolvedRecipe,
    data: Data,
    output: Path,
    *,
    resume: bool = False,
    overfit: bool = False,
    codec: str | None = None,
    progress: Progress = silent,
    say: Say = unsaid,
) -> dict[str, Any]:
    """From data to a checkpoint: the codec of the recipe (or `codec`, a model spec), the codes, what the Thinker makes
    of the texts, then the Talker. Raises `BadInput` naming a key that cannot be used, for a resume without a run and
    for a start over one."""
    resume = goes_on(output, resume)
    say = first_says(say)
    training = recipe.read(TalkerTrainingConfig, recipe.training)
    config = recipe.read(TalkerConfig, {**recipe.model, "codec": {"spec": codec or "codec"}})
    corpus = open_corpus(data, output, on_bad=training.on_bad_data, progress=progress, say=say)
    spec = codec or codec_of(recipe, corpus, output, progress, say)
    found = write_shards(
        corpus, spec, output / SHARDS, on_bad=training.on_bad_data, renew=not resume, progress=progress, say=say
    )
    section = CodecSection.model_validate(found["codec"]).model_copy(update={"spec": bundled(spec, output)})
    thinker = Thinker(config.thinker)
    listened = config.thinker.model_copy(update={"width": thinker.width, "weights_sha256": thinker.digest})
    config = config.model_copy(update={"codec": section, "thinker": listened})
    told = {
        split: read_by(thinker, config, Shards(output / SHARDS, split), output / SHARDS / f"{split}-told.safetensors")
        for split in (TRAIN, HELD_OUT)
    }
    del thinker
    trainer = TalkerTrainer(config, training, corpus, told, output, name=recipe.name, overfit=overfit, say=say)
    trainer.loop.start(resume)
    return trainer.run(progress=progress)


def read_by(thinker: Thinker, config: TalkerConfig, shards: Shards, file: Path) -> Told:
    """What the Thinker makes of the text of every utterance, in half precision; kept in `file` while the Thinker, its
    questions and the texts are the same."""
    documents = [shards[index] for index in range(len(shards))]
    questions, told = config.thinker.questions, {}
    asked = [thinker.digest, list(questions), [(document.id, document.text) for document in documents]]
    key = hashlib.sha256(json.dumps(asked).encode()).hexdigest()
    if (kept := _kept(file, key)) is not None:
        return kept
    for number, question in enumerate(questions):
        own = documents[number :: len(questions)]
        texts = [document.text for document in own]
        for document, thoughts in zip(own, thinker.read(texts, question) if texts else [], strict=True):
            told[document.id] = torch.stack([thought.told for thought in thoughts]).half().cpu()
    write_atomically(file, save(told, metadata={"key": key}))
    return told


def _kept(file: Path, key: str) -> Told | None:
    """What is kept in a file, if it has this key."""
    if not file.is_file():
        return None
    with safe_open(file, framework="pt") as opened:
        if (opened.metadata() or {}).get("key") != key:
            return None
        return {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118


class TalkerTrainer:
    """The parts of a run: packs, model, optimizer."""

    def __init__(
        self,
        config: TalkerConfig,
        training: TalkerTrainingConfig,
        corpus: Corpus,
        told: Mapping[str, Told],
        output: Path,
        *,
        name: str,
        overfit: bool,
        say: Say,
    ) -> None:
        self.training, self.output, self.corpus, self.told = training, output, corpus, told
        self.name, self.overfit, self.say = name, overfit, first_says(say)
        self.accelerator, self.log = accelerator(), RunLog()
        torch.manual_seed(training.seed)
        self.model = Talker(config)
        if training.sequence > config.core.positions:
            raise BadInput(
                f"sequence={training.sequence}: the model reads {config.core.positions} positions.",
                "Lower training.sequence, or raise model.core.positions.",
            )
        shards = {split: Shards(output / SHARDS, split) for split in told}
        self.batches = self._packed(shards[TRAIN], training.seed, world=True)
        self.held_out = self._packed(shards[HELD_OUT], 0, world=False) if len(shards[HELD_OUT]) else None
        self.wrapped, self.optimizer = self.accelerator.prepare(self.model, adamw(self.model, training.optimizer))
        self.found: dict[str, float] = {}
        self.loop = Loop(
            training,
            output,
            self.log,
            name=name,
            accelerator=self.accelerator,
            parts={"model": self.model},
            optimizers={"optimizer": self.optimizer},
            identity={
                "config": config.model_dump(mode="json"),
                "training": training.identity(),
                "shards": shards[TRAIN].summary["plan"],
                "processes": self.accelerator.num_processes,
                "overfit": overfit,
            },
            say=say,
        )

    def _packed(self, shards: Shards, seed: int, *, world: bool) -> Packed:
        tokenizer, accelerator = self.model.tokenizer, self.accelerator

        def make(index: int) -> Any:
            return tokenizer.example("", shards[index].codes)

        sources = [Source(shards[i].id, len(make(i)[0]), partial(make, i)) for i in range(len(shards))]
        rank, count = (accelerator.process_index, accelerator.num_processes) if world else (0, 1)
        size = self.training.batch_size
        return Packed(tokenizer, sources, self.training.sequence, batch_size=size, seed=seed, rank=rank, world=count)

    def run(self, *, stop_at: int | None = None, progress: Progress = silent) -> dict[str, Any]:
        """The loop, from where it is to the last step or to `stop_at`; returns the card."""
        loop, parameters = self.loop, sum(p.numel() for p in self.model.parameters()) / 1e6
        tokens = sum(len(rows) for rows in self.told[TRAIN].values())
        self.say(
            f"{self.name}: {parameters:.2f} M parameters, {len(self.batches.sources)} utterances with {tokens} tokens "
            f"of text, {self.batches.epoch} steps per epoch, {len(self.batches.too_long)} utterances too long"
        )
        return loop.run(self, self.batches_of, stop_at, progress)

    def report(self) -> None:
        """The means since the last report, logged and said."""
        means = self.loop.means()
        self.loop.report(means, ", ".join(f"{name} {value:.4g}" for name, value in means.items()))

    def batches_of(self, start: int, stop: int) -> Iterator[TokenBatch]:
        """The batches of steps `start` to `stop`."""
        return (self.batches[0 if self.overfit else step] for step in range(start, stop))

    def step(self, number: int, batch: TokenBatch) -> Values:
        """One step; its values, none if it was skipped."""
        config = self.training.optimizer
        reseed(self.training.seed, number, self.accelerator.process_index)
        # Gradients are averaged over processes, the loss is a mean over the codes of all of them.
        own = (batch.labels != IGNORE).sum().to(self.accelerator.device)
        share = self.accelerator.num_processes * own / total(own.clone())
        self.wrapped.train()
        with autocast(self.accelerator.device, self.training.precision):
            loss = self.wrapped(*self.inputs(batch, self.told[TRAIN])) * share
        self.optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(loss)
        norm = update(self.optimizer, self.model.parameters(), config, config.rate_at(number, self.loop.done()))
        if not math.isfinite(norm):
            self.loop.bad_step(number, "the loss or its gradient", [name for row in batch.documents for name in row])
            return {}
        return {"nats": float(loss.detach()), "norm": norm}

    def inputs(self, batch: TokenBatch, told: Told) -> tuple[Tensor, ...]:
        """ids, labels and positions of a batch, what its documents are told, and when it is due."""
        rows, due, first = [], torch.full_like(batch.positions, NOTHING), 0
        for row, names in enumerate(batch.documents):
            starts = (batch.positions[row] == 0).nonzero()[:, 0].tolist()
            for name, start, stop in zip(names, starts, [*starts[1:], batch.positions.shape[1]], strict=False):
                own = torch.from_numpy(self.model.tokenizer.timetable(stop - start, len(told[name])))
                due[row, start:stop] = torch.where(own >= 0, own + first, own)
                rows.append(told[name])
                first += len(told[name])
        parts = (batch.ids, batch.labels, batch.positions, torch.cat(rows), due)
        return tuple(part.to(self.accelerator.device) for part in parts)

    @torch.no_grad()
    def validate(self) -> None:
        """Nats per code on held-out utterances."""
        if self.held_out is None:
            return
        self.model.eval()
        nats = count = 0.0
        for pack in self.held_out.plan(0)[: self.training.validation_packs]:
            batch = self.held_out.collate([pack])
            labels = int((batch.labels != IGNORE).sum())
            nats += float(self.model(*self.inputs(batch, self.told[HELD_OUT]))) * labels
            count += labels
        self.found = {"step": self.log.step, "nats": nats / count}
        self.loop.scalar("validation/nats", self.found["nats"])
        self.say(f"validation at step {self.log.step}: {self.found['nats']:.4f} nats per code, held out")

    def checkpoint(self) -> dict[str, Any]:
        """Write the checkpoint directory; returns the card."""
        recordings, config = data_facts(self.corpus), self.model.config
        found: dict[str, Any] = {
            "name": self.name,
            "description": f"A Talker for {config.thinker.path}, trained by speech-eval {__version__}."
            + (" Overfitted to one batch: a check, not a model." * self.overfit),
            "model": {"parameters": sum(parameter.numel() for parameter in self.model.parameters())},
            "thinker": config.thinker.model_dump(mode="json"),
            "codec": config.codec.model_dump(mode="json"),
            "training": training_facts(self.training, self.log),
            "data": recordings,
            "trouble": {"too_long": len(self.batches.too_long), "steps_not_finite": self.log.bad_steps},
            **license_of(recordings),
        }
        if self.found:
            found["validation"] = self.found
        plain = config.model_dump(mode="json")
        self.loop.alone(lambda: save_checkpoint(self.output, KIND, plain, self.model.state_dict(), found))
        return found

"""Training the detokenizer on the codes of a codec that exists: one loop for the flow and the Vocos head."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from speech_eval import __version__
from speech_eval.adapters.base import AudioCodec
from speech_eval.audio import Audio
from speech_eval.errors import BadInput
from speech_eval.progress import Progress, Say, silent, unsaid
from speech_eval.reference_models.codec.adapter import ReferenceCodec
from speech_eval.reference_models.codec.losses import LossTable, MelLoss, STFTLoss
from speech_eval.reference_models.codec.train import CodecLog
from speech_eval.reference_models.codec.validation import Validation
from speech_eval.reference_models.conversation.flow.config import FlowConfig, FlowTrainingConfig
from speech_eval.reference_models.conversation.flow.model import KIND, Detokenizer, DetokenizerStream
from speech_eval.reference_models.data.card import data_facts, license_of
from speech_eval.reference_models.data.corpus import Corpus, Data, open_corpus
from speech_eval.reference_models.data.segments import Batch, Batches, Segments
from speech_eval.reference_models.data.token_shards import codec_section
from speech_eval.reference_models.recipes.codecs import bundled, codec_of
from speech_eval.reference_models.recipes.schema import ResolvedRecipe
from speech_eval.reference_models.speech_lm.codec_stream import load_codec, probe
from speech_eval.reference_models.training.card import training_facts
from speech_eval.reference_models.training.checkpoint import save_checkpoint
from speech_eval.reference_models.training.distributed import accelerator, autocast, first_says
from speech_eval.reference_models.training.loop import Loop, Values, adamw, goes_on, reseed, update
from speech_eval.reference_models.training.state import EMA

_MEASURED = 8  # batches from which the mean and the deviation of the mel bands are learned
_VALIDATED_WITH = (4, 0.7)  # evaluations and guidance of a validation


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
    """From data to a checkpoint: the codec of the recipe (or `codec`, a model spec), then the detokenizer of its codes.
    Raises `BadInput` naming a key that cannot be used, for a resume without a run and for a start over one."""
    resume = goes_on(output, resume)
    training = recipe.read(FlowTrainingConfig, recipe.training)
    corpus = open_corpus(data, output, on_bad=training.on_bad_data, progress=progress, say=first_says(say))
    spec = codec or codec_of(recipe, corpus, output, progress, say)
    base = load_codec(spec)
    section = codec_section(base, bundled(spec, output), probe(base))
    config = recipe.read(FlowConfig, {**recipe.model, "codec": section.model_dump()})
    trainer = FlowTrainer(config, training, base, corpus, output, name=recipe.name, overfit=overfit, say=say)
    trainer.loop.start(resume)
    return trainer.run(progress=progress)


class FlowTrainer:
    """The parts of a run: data, codec, detokenizer, losses, optimizer."""

    def __init__(
        self,
        config: FlowConfig,
        training: FlowTrainingConfig,
        codec: AudioCodec,
        corpus: Corpus,
        output: Path,
        *,
        name: str,
        overfit: bool,
        say: Say,
    ) -> None:
        self.config, self.training, self.codec, self.corpus, self.output = config, training, codec, corpus, output
        self.name, self.overfit, self.say = name, overfit, first_says(say)
        self.accelerator, self.log = accelerator(), CodecLog()
        self.device, rate = self.accelerator.device, codec.sample_rate
        self.batches = self._batches(rate)
        torch.manual_seed(training.seed)
        self.model = Detokenizer(config)
        if training.start_from_codec and not (
            isinstance(codec, ReferenceCodec) and self.model.start_from(codec.decoder)
        ):
            raise BadInput(
                f"The decoder of {config.codec.spec} does not have the shapes of model.vocoder.",
                "Set training.start_from_codec to false, or give model.vocoder the shapes of that decoder.",
            )
        self.model.measure(torch.cat([self.batches[number].audio for number in range(_MEASURED)]))
        self.wrapped, self.optimizer = self.accelerator.prepare(self.model, adamw(self.model, training.optimizer))
        self.ema = EMA(self.model, training.ema_decay)
        self.mel = MelLoss(rate, training.mel_windows, training.mel_bands).to(self.device)
        self.stft = STFTLoss(training.stft_windows).to(self.device)
        self.table = LossTable({str(loss): weight for loss, weight in training.losses.items()})
        longest = max(*training.mel_windows, *training.stft_windows)
        self.validation = Validation(corpus, rate, training.validation_clips, longest, self.say)
        self.found: dict[str, Any] = {}
        self.loop = Loop(
            training,
            output,
            self.log,
            name=name,
            accelerator=self.accelerator,
            parts={"model": self.model, "ema": self.ema},
            optimizers={"optimizer": self.optimizer},
            identity={
                "config": config.model_dump(mode="json"),
                "training": training.identity(),
                "data": corpus.identity(),
                "processes": self.accelerator.num_processes,
                "overfit": overfit,
            },
            say=say,
        )

    def _batches(self, rate: int) -> Batches:
        """Segments of whole blocks, so that every codebook has whole codes."""
        training, block = self.training, self.config.velocity.block * self.config.hop
        seconds = max(1, round(training.segment_seconds * rate / block)) * block / rate
        policy = training.on_bad_data
        segments = Segments(self.corpus.training(), rate, seconds, seed=training.seed, policy=policy)
        accelerator = self.accelerator
        return Batches(segments, training.batch_size, accelerator.process_index, accelerator.num_processes)

    def run(self, *, stop_at: int | None = None, progress: Progress = silent) -> dict[str, Any]:
        """The loop, from where it is to the last step or to `stop_at`; returns the card."""
        loop, parameters = self.loop, sum(p.numel() for p in self.model.parameters()) / 1e6
        hours = sum(clip.seconds for clip in self.corpus.training()) / 3600
        self.say(
            f"{self.name}: {parameters:.2f} M parameters, codes of {self.config.codec.spec}, {hours:.2f} h of speech"
        )
        return loop.run(self, self.batches_of, stop_at, progress)

    def report(self) -> None:
        """The means since the last report, logged and said."""
        means = self.loop.means()
        self.loop.report({"losses": means}, ", ".join(f"{name} {value:.4g}" for name, value in means.items()))

    def batches_of(self, start: int, stop: int) -> Iterable[Batch]:
        """The batches of steps `start` to `stop`."""
        if self.overfit:
            return (self.batches[0] for _ in range(start, stop))
        return self.batches.from_step(start, stop, self.training.workers)

    def step(self, number: int, batch: Batch) -> Values:
        """One step; its losses, none if it was skipped."""
        training = self.training
        self.log.note(batch.incidents, self.say)
        self.log.audio_seconds += batch.audio.shape[0] * batch.audio.shape[-1] / self.codec.sample_rate
        reseed(training.seed, number, self.accelerator.process_index)
        audio, codes = batch.audio.to(self.device), self.codes(batch.audio)
        part = round(training.vocoder_seconds * self.codec.sample_rate / self.config.hop)
        self.wrapped.train()
        with autocast(self.device, training.precision):
            out = self.wrapped(audio, codes, training.unconditional, part)
        heard, wave = out["heard"].float(), out["wave"]
        losses = {"flow": out["flow"], "mel": self.mel(heard, wave), "stft": self.stft(heard, wave)}
        total = torch.stack(list(self.table.weighted(losses).values())).sum()
        values = {name: float(loss.detach()) for name, loss in losses.items()}
        self.optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(total)
        config = training.optimizer
        values["norm"] = update(
            self.optimizer, self.model.parameters(), config, config.rate_at(number, self.loop.done())
        )
        if not math.isfinite(values["norm"]):
            self.loop.bad_step(number, "the loss or its gradient", batch.clips)
            return {}
        self.ema.update(self.model)
        return values

    def codes(self, audio: Tensor) -> list[Tensor]:
        """The codes [B, frames_k] of waveforms [B, 1, T], as many as last T."""
        rate, frames = self.codec.sample_rate, audio.shape[-1] // self.config.hop
        found = self.codec.encode([Audio(wave[0].numpy(), rate) for wave in audio.cpu()])
        books = range(len(self.config.repeats))
        return [
            torch.from_numpy(np.stack([each.codebooks[k][: frames // self.config.repeats[k]] for each in found])).to(
                self.device
            )
            for k in books
        ]

    @torch.no_grad()
    def validate(self) -> None:
        """The mel distance of held-out recordings to what the mean weights decode of their codes, and to what the codec
        itself decodes of them."""
        recordings = [recording for _, recording in self.validation.recordings]
        if not recordings:
            return
        model = Detokenizer(self.config)
        model.load_state_dict(self.ema.state_dict())
        model.to(self.device).eval()
        distances: dict[str, list[float]] = {"mel": [], "mel_of_the_codec": []}
        for audio, codes in zip(recordings, self.codec.encode(recordings), strict=True):
            books = [torch.from_numpy(np.asarray(book))[None].to(self.device) for book in codes.codebooks]
            own = DetokenizerStream(model, *_VALIDATED_WITH, self.training.seed).push(books, last=True)
            direct = torch.from_numpy(self.codec.decode([codes])[0].samples)[None, None].to(self.device)
            wave = torch.from_numpy(audio.samples)[None, None].to(self.device)
            for name, heard in (("mel", own), ("mel_of_the_codec", direct)):
                length = min(heard.shape[-1], wave.shape[-1])
                distances[name].append(float(self.mel(heard[..., :length], wave[..., :length])))
        self.found = {"step": self.log.step, "clips": len(recordings)} | {
            name: sum(values) / len(values) for name, values in distances.items()
        }
        self.loop.scalar("validation/mel", self.found["mel"])
        self.say(
            f"validation at step {self.log.step}: mel {self.found['mel']:.4f}, decoded by the codec "
            f"{self.found['mel_of_the_codec']:.4f}, on {len(recordings)} held-out clips"
        )

    def checkpoint(self) -> dict[str, Any]:
        """Write the checkpoint directory with the mean weights; returns the card."""
        recordings, log = data_facts(self.corpus), self.log
        found: dict[str, Any] = {
            "name": self.name,
            "description": f"A detokenizer by flow matching, codes to sound, trained by speech-eval {__version__}."
            + (" Overfitted to one batch: a check, not a model." * self.overfit),
            "model": {"parameters": sum(parameter.numel() for parameter in self.model.parameters())},
            "codec": self.config.codec.model_dump(mode="json"),
            "training": training_facts(self.training, log) | {"audio_hours": round(log.audio_seconds / 3600, 3)},
            "data": recordings,
            "trouble": {"left_out": len(self.corpus.left_out), **log.counts(), "steps": log.bad_steps},
            **license_of(recordings),
        }
        if self.found:
            found["validation"] = self.found
        plain = self.config.model_dump(mode="json")
        self.loop.alone(lambda: save_checkpoint(self.output, KIND, plain, self.ema.state_dict(), found))
        return found

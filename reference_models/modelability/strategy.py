"""The strategy of `codec-modelability`: encode the training corpus, train the token LM, then measure and speak."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from speech_eval import datasets
from speech_eval.adapters.base import AudioCodec, Codes
from speech_eval.audio import Audio
from speech_eval.audio import load as load_audio
from speech_eval.datasets.dataset import Dataset
from speech_eval.engine.generate.requests import LoadAudio, RawAnswer, codes_record
from speech_eval.engine.generate.strategy import Ask, Batched, Work
from speech_eval.errors import BadInput, SpeechEvalError
from speech_eval.progress import Progress
from speech_eval.records import Sample, TokenModelRecord
from speech_eval.reference_models.modelability.budget import Budget, budget
from speech_eval.reference_models.modelability.sequences import Sequences
from speech_eval.reference_models.modelability.speaking import longest, speak
from speech_eval.reference_models.modelability.training import Spent, Utterance, bits, new_model, train
from speech_eval.text.files import read_record

LABEL = "codec-modelability: encode"


@dataclass(frozen=True)
class Modelability(Batched):
    """Train a language model on the codec's codes of a corpus, then measure held-out recordings and speak their texts.

    `train` names datasets in place of the budget's, separated by commas. The trained model is kept in the run's `work/`
    folder, so a run that was stopped later does not train again.
    """

    layout: str
    budget: str
    train: str = ""

    def prepare(self, work: Work) -> Ask:
        chosen = budget(self.budget)
        if self.train:
            chosen = replace(chosen, train=tuple(self.train.split(",")))
        return _Examiner(work, chosen, self.layout).answers


class _Examiner:
    """A codec with the language model that was trained on its codes."""

    def __init__(self, work: Work, budget: Budget, layout: str) -> None:
        assert isinstance(work.adapter, AudioCodec)
        self.codec, self.budget = work.adapter, budget
        self.sequences: Sequences
        device = "cuda" if torch.cuda.is_available() else "cpu"
        corpus = self._corpus(work.dataset, layout, work.progress)
        self.model = new_model(self.sequences, budget).to(device)
        rate = sum(len(item.codes[0]) for item in corpus) / sum(item.seconds for item in corpus)
        steps = rate * (sum(self.sequences.ratios) if layout == "flattened" else 1)
        self.steps_per_byte = longest([i.text for i in corpus], [i.seconds for i in corpus], steps)
        self.spent = self._trained(corpus, work.folder, work.progress)

    def _trained(self, corpus: list[Utterance], folder: Path, progress: Progress) -> Spent:
        """Train the model, or read the one that a stopped run has trained."""
        weights, card = folder / "lm.safetensors", folder / "lm.json"
        learned = hashlib.sha256()
        for item in corpus:
            learned.update(item.text.encode())
            for book in item.codes:
                learned.update(book.tobytes())
        made_from = {
            "budget": asdict(self.budget),
            "sequences": asdict(self.sequences),
            "codes_and_texts": learned.hexdigest(),
        }
        identity = json.dumps(made_from, sort_keys=True)
        if card.is_file() and weights.is_file():
            stored = read_record(card, f"Delete {folder}, to train anew.", "identity", "spent")
            if stored["identity"] == identity:
                self.model.load_state_dict(load_file(weights))
                return Spent(**stored["spent"])
        spent = train(self.model, self.sequences, corpus, self.budget, progress)
        folder.mkdir(parents=True, exist_ok=True)
        save_file({name: tensor.contiguous() for name, tensor in self.model.state_dict().items()}, weights)
        card.write_text(json.dumps({"identity": identity, "spent": asdict(spent)}), "utf-8")
        return spent

    def answers(self, samples: Sequence[Sample], seeds: Sequence[int], load: LoadAudio) -> list[RawAnswer]:
        return [self._answer(sample, seed, load) for sample, seed in zip(samples, seeds, strict=True)]

    def _answer(self, sample: Sample, seed: int, load: LoadAudio) -> RawAnswer:
        if sample.audio is None or not (sample.text or "").strip():
            raise ValueError("the sample needs a recording and its text")
        text = sample.text or ""
        recording = load(sample.audio).resampled(self.codec.sample_rate)
        codes = self.codec.encode([recording])[0]
        if Sequences.of(self.sequences.layout, codes) != self.sequences:
            raise ValueError("the codec gave other codebooks than for the training corpus")
        books = list(codes.codebooks)
        said, ended = speak(
            self.model,
            self.sequences,
            text,
            seed=seed,
            temperature=self.budget.temperature,
            max_steps=int(self.steps_per_byte * len(text.encode())) + 1,
        )
        return RawAnswer(
            audio=self._decode(said, codes),
            codes=codes_record(codes, recording),
            token_model=TokenModelRecord(
                bits=round(bits(self.model, self.sequences, "", books), 3),
                bits_given_text=round(bits(self.model, self.sequences, text, books), 3),
                ended=ended,
                parameters=sum(p.numel() for p in self.model.parameters()),
                vocabulary=self.sequences.vocabulary.digest[:16],
                audio_seconds=self.spent.audio_seconds,
                flops=self.spent.flops,
                steps=self.spent.steps,
                stopped_by=self.spent.stopped_by,
            ),
        )

    def _decode(self, said: list[Any], like: Codes) -> Audio | None:
        """The spoken codes as sound; None where the model said nothing."""
        if not len(said[0]):
            return None
        seconds = len(said[0]) / like.frame_rates[0]
        metadata = {**like.metadata}
        if "frames" in metadata:  # the length of the recording is not that of what was said
            metadata["frames"] = round(seconds * self.codec.sample_rate)
        return self.codec.decode([Codes(said, like.frame_rates, like.codebook_sizes, metadata)])[0]

    def _corpus(self, evaluated: Dataset, layout: str, progress: Progress) -> list[Utterance]:
        """The training corpus through the codec. What cannot be encoded stops the task: training on less would give a
        number of another budget."""
        sets = [datasets.load_dataset(name) for name in self.budget.train]
        kept = {sample.audio_sha256 or sample.audio for sample in evaluated.samples}
        corpus: list[Utterance] = []
        total = sum(len(dataset) for dataset in sets)
        for dataset in sets:
            dataset.ensure_audio(progress)
            for sample in dataset.samples:
                if sample.audio is None or (sample.audio_sha256 or sample.audio) in kept:
                    raise BadInput(
                        f"Training sample {sample.id} is also evaluated, or has no recording.",
                        "Train on NAME@train and evaluate on NAME@held-out.",
                    )
                audio = load_audio(dataset.audio_path(sample.audio)).resampled(self.codec.sample_rate)
                try:
                    codes = self.codec.encode([audio])[0]
                except Exception as error:
                    raise SpeechEvalError(
                        f"The codec cannot encode training sample {sample.id}: {type(error).__name__}: {error}",
                        "Correct the codec: the budget is the same for all codecs.",
                    ) from error
                self.sequences = Sequences.of(layout, codes)
                corpus.append(Utterance(sample.text or "", [book.copy() for book in codes.codebooks], audio.seconds))
                progress(LABEL, len(corpus), total)
        return corpus

"""The strategy of `codec-modelability`: encode the training corpus, train the token LM, then measure and speak."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
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
from speech_eval.reference_models.modelability.counts import Counts
from speech_eval.reference_models.modelability.lexicon import Book
from speech_eval.reference_models.modelability.sequences import NO_CODES, Sequences
from speech_eval.reference_models.modelability.speaking import longest, speak
from speech_eval.reference_models.modelability.training import Spent, Utterance, bits, new_model, train
from speech_eval.reference_models.speech_lm.layouts import Ints
from speech_eval.text.files import read_record

LABEL = "codec-modelability: encode"


@dataclass(frozen=True)
class Modelability(Batched):
    """Train a language model on the codec's codes of a corpus, then measure held-out recordings.

    `train` names datasets in place of the budget's, separated by commas. `speak`: the model also says the texts of the
    held-out recordings. The trained model is kept in the run's `work/` folder, so a run that was stopped later does not
    train again.
    """

    layout: str
    budget: str
    train: str = ""
    speak: bool = False

    def prepare(self, work: Work) -> Ask:
        chosen = budget(self.budget)
        if self.train:
            chosen = replace(chosen, train=tuple(self.train.split(",")))
        return _Examiner(work, chosen, self.layout, self.speak).answers


class _Examiner:
    """A codec with the language model that was trained on its codes, and with what counting them gives."""

    def __init__(self, work: Work, budget: Budget, layout: str, speak: bool) -> None:
        assert isinstance(work.adapter, AudioCodec)
        self.codec, self.budget, self.speaks = work.adapter, budget, speak
        device = "cuda" if torch.cuda.is_available() else "cpu"
        texts, seconds, encoded = self._corpus(work.dataset, work.progress)
        heard = json.dumps([texts, seconds])
        self.corpus, self.corpus_seconds = hashlib.sha256(heard.encode()).hexdigest()[:16], sum(seconds)
        rows = list(zip(*(codes.codebooks for codes in encoded), strict=True))
        self.books = [Book.of(row, size) for row, size in zip(rows, encoded[-1].codebook_sizes, strict=True)]
        self.sequences = Sequences.of(layout, encoded[-1], [book.rare + 1 for book in self.books])
        corpus = [
            Utterance(text, self._words(codes)[0], length)
            for text, length, codes in zip(texts, seconds, encoded, strict=True)
        ]
        self.counts = [
            Counts([self._ended(k, item.codes[k]) for item in corpus], book.rare + 2)
            for k, book in enumerate(self.books)
        ]
        self.model = new_model(self.sequences, budget).to(device)
        rate = sum(len(item.codes[0]) for item in corpus) / sum(seconds)
        steps = rate * (sum(self.sequences.ratios) if layout == "flattened" else 1)
        self.steps_per_byte = longest(texts, seconds, steps)
        self.spent = self._trained(corpus, work.folder, work.progress)

    def _words(self, codes: Codes) -> tuple[list[Ints], float]:
        """The words of codes in each codebook, and the bits of the names of the rare ones."""
        read = [book.read(np.asarray(row)) for book, row in zip(self.books, codes.codebooks, strict=True)]
        return [words for words, _ in read], sum(names for _, names in read)

    def _ended(self, k: int, words: Ints) -> Ints:
        """The words of codebook k as they are counted: the first codebook says the end."""
        return np.append(words, self.books[k].rare + 1) if k == 0 else words

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
            "words_and_texts": learned.hexdigest(),
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
        if Sequences.of(self.sequences.layout, codes, self.sequences.sizes) != self.sequences:
            raise ValueError("the codec gave other codebooks than for the training corpus")
        words, names = self._words(codes)
        counted = [self.counts[k].bits(self._ended(k, row)) for k, row in enumerate(words)]
        spoken, ended = self._spoken(text, seed, codes)
        return RawAnswer(
            audio=spoken,
            codes=codes_record(codes, recording),
            token_model=TokenModelRecord(
                bits=round(bits(self.model, self.sequences, "", words) + names, 3),
                bits_given_text=round(bits(self.model, self.sequences, text, words) + names, 3),
                unigram_bits=round(sum(unigram for unigram, _ in counted) + names, 3),
                bigram_bits=round(sum(bigram for _, bigram in counted) + names, 3),
                ended=ended,
                parameters=sum(p.numel() for p in self.model.parameters()),
                vocabulary=self.sequences.vocabulary.digest[:16],
                audio_seconds=self.spent.audio_seconds,
                flops=self.spent.flops,
                steps=self.spent.steps,
                corpus=self.corpus,
                corpus_seconds=round(self.corpus_seconds, 3),
                passes=self.budget.passes,
            ),
        )

    def _spoken(self, text: str, seed: int, like: Codes) -> tuple[Audio | None, bool | None]:
        """What the model says, and whether it ended by itself; nothing unless it is to speak."""
        if not self.speaks:
            return None, None
        said, ended = speak(
            self.model,
            self.sequences,
            text,
            seed=seed,
            temperature=self.budget.temperature,
            max_steps=int(self.steps_per_byte * len(text.encode())) + 1,
        )
        return self._decode([book.say(row) for book, row in zip(self.books, said, strict=True)], like), ended

    def _decode(self, said: list[Any], like: Codes) -> Audio | None:
        """The spoken codes as sound; None where the model said nothing."""
        if not len(said[0]):
            return None
        seconds = len(said[0]) / like.frame_rates[0]
        metadata = {**like.metadata}
        if "frames" in metadata:  # the length of the recording is not that of what was said
            metadata["frames"] = round(seconds * self.codec.sample_rate)
        return self.codec.decode([Codes(said, like.frame_rates, like.codebook_sizes, metadata)])[0]

    def _corpus(self, evaluated: Dataset, progress: Progress) -> tuple[list[str], list[float], list[Codes]]:
        """Texts, seconds and codes of the first `budget.seconds` of the training sets. What cannot be encoded stops the
        task: training on less would give a number of another budget."""
        sets = [datasets.load_dataset(name) for name in self.budget.train]
        kept = {sample.audio_sha256 or sample.audio for sample in evaluated.samples}
        texts: list[str] = []
        seconds: list[float] = []
        encoded: list[Codes] = []
        heard = 0.0
        for dataset in sets:
            dataset.ensure_audio(progress)
            for sample in dataset.samples:
                if heard >= self.budget.seconds:
                    return texts, seconds, encoded
                if sample.audio is None or (sample.audio_sha256 or sample.audio) in kept:
                    raise BadInput(
                        f"Training sample {sample.id} is also evaluated, or has no recording.",
                        "Train on NAME@train and evaluate on NAME@held-out.",
                    )
                audio = load_audio(dataset.audio_path(sample.audio))
                try:
                    heard_by_codec = audio.resampled(self.codec.sample_rate)
                    encoded.append(self.codec.encode([heard_by_codec])[0])
                    codes_record(encoded[-1], heard_by_codec)  # refuses codes outside their codebook
                except Exception as error:
                    raise SpeechEvalError(
                        f"The codec cannot encode training sample {sample.id}: {type(error).__name__}: {error}",
                        "Correct the codec: the budget is the same for all codecs.",
                    ) from error
                if not len(encoded[-1].codebooks):
                    raise BadInput(NO_CODES, "Use a codec with codebooks.")
                texts.append(sample.text or "")
                seconds.append(audio.seconds)
                heard += audio.seconds
                progress(LABEL, int(heard), int(self.budget.seconds))
        if heard < self.budget.seconds:
            raise BadInput(
                f"The training sets hold {heard:.0f} s of recordings, the budget is {self.budget.seconds:.0f} s.",
                "Name larger ones with the option train of the task's strategy (docs/tasks.md).",
            )
        return texts, seconds, encoded

"""Translations of speech: corpus BLEU and chrF by sacrebleu, pinned (extra `translation`)."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from speech_eval.errors import NotFetched, require
from speech_eval.metrics.base import BadData, Metric, ScoringItem, Summary, Unscorable, Value
from speech_eval.records import Sample
from speech_eval.statistics.summaries import Floats
from speech_eval.text import primary_language

EXTRA = "translation"
_ORDER = 4  # of BLEU's n-grams
_CHARS = 6  # of chrF's
_TOKENIZERS = {"zh": "zh", "ja": "ja-mecab", "ko": "ko-mecab"}  # by target language; else 13a
_FLORES = "https://dl.fbaipublicfiles.com/fairseq/models/flores/sacrebleu_tokenizer_spm.model"
_BLEU = (
    *("hypothesis_length", "reference_length"),
    *(f"correct_{n}" for n in range(1, _ORDER + 1)),
    *(f"total_{n}" for n in range(1, _ORDER + 1)),
)
_CHRF = tuple(f"{kind}_{n}" for n in range(1, _CHARS + 1) for kind in ("chars", "reference_chars", "matched"))


@cache
def _scorer(name: str, tokenizer: str = "") -> Any:
    library = require("sacrebleu.metrics", EXTRA, "sacrebleu")
    return library.BLEU(tokenize=tokenizer) if name == "BLEU" else library.CHRF()


def _bleu(columns: dict[str, Floats], weights: Floats) -> Floats:
    library = require("sacrebleu.metrics", EXTRA, "sacrebleu")
    sums = weights @ np.stack([columns[name] for name in _BLEU], axis=1)
    found = []
    for system, reference, *counts in np.rint(sums).astype(int).tolist():  # samples count a whole number of times
        correct, total = counts[:_ORDER], counts[_ORDER:]
        found.append(library.BLEU.compute_bleu(correct, total, system, reference, smooth_method="exp").score)
    return np.asarray(found)


def _chrf(columns: dict[str, Floats], weights: Floats) -> Floats:
    """The mean over orders of precision and recall, and their F with beta 2; orders that no text has do not count."""
    sums = (weights @ np.stack([columns[name] for name in _CHRF], axis=1)).reshape(len(weights), _CHARS, 3)
    said, right, matched = sums[..., 0], sums[..., 1], sums[..., 2]
    known = (said > 0) & (right > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.where(known, matched / said, 0.0).sum(axis=1) / known.sum(axis=1)
        recall = np.where(known, matched / right, 0.0).sum(axis=1) / known.sum(axis=1)
        score = 5 * precision * recall / (4 * precision + recall)
    return np.asarray(np.nan_to_num(100 * score))


class _Translation(Metric):
    needs = frozenset({"hypothesis", "text"})
    columns = frozenset({"target_language"})
    extra = EXTRA

    @classmethod
    def ready(cls) -> None:
        require("sacrebleu.metrics", EXTRA, "sacrebleu")

    def _texts(self, item: ScoringItem) -> tuple[str, str]:
        if item.hypothesis is None and item.output.status != "empty":
            raise Unscorable(f"Sample {item.sample.id} has no answer in text.", "Name a recognizer for speech answers.")
        return (item.hypothesis or "").rstrip(), _reference(item.sample)

    def parts(self, sample: Sample, said: str, right: str) -> dict[str, float]:
        raise NotImplementedError

    def score(self, item: ScoringItem) -> Value:
        """Parts: what the sentence adds to the counts of the corpus."""
        said, right = self._texts(item)
        return Value(parts=self.parts(item.sample, said, right), detail={"signature": self.signature(item.sample)})

    def signature(self, sample: Sample) -> str:
        """sacrebleu's own, which says how the texts were taken apart."""
        raise NotImplementedError

    def failure(self, sample: Sample) -> dict[str, float]:
        return self.parts(sample, "", _reference(sample))

    def compat_failure(self, sample: Sample) -> dict[str, float] | None:
        return self.failure(sample)  # an empty line of the corpus


class BLEU(_Translation):
    """Corpus BLEU: case-sensitive, exponential smoothing; the tokenizer is that of the target language (`zh`,
    `ja-mecab`, `ko-mecab`, else `13a`), which a sample states as `target_language`. A missing translation is an empty
    one."""

    id = "bleu[sacrebleu@2.6.0]"
    description = "Corpus BLEU by sacrebleu, with the tokenizer of the target language"
    source = "mjpost/sacrebleu 2.6.0"
    summaries = (Summary("bleu", "function", _BLEU, "", "higher", function=_bleu),)

    def tokenizer(self, sample: Sample) -> str:
        """sacrebleu's name of what takes the texts apart."""
        target = str(sample.metadata.get("target_language") or sample.language)
        return _TOKENIZERS.get(primary_language(target), "13a")

    def parts(self, sample: Sample, said: str, right: str) -> dict[str, float]:
        found = _scorer("BLEU", self.tokenizer(sample)).corpus_score([said], [[right]])
        numbers = [found.sys_len, found.ref_len, *found.counts, *found.totals]
        return dict(zip(_BLEU, map(float, numbers), strict=True))

    def signature(self, sample: Sample) -> str:
        scorer = _scorer("BLEU", self.tokenizer(sample))
        scorer.corpus_score(["a"], [["a"]])  # which the signature describes
        return str(scorer.get_signature())


class AudioBenchBLEU(BLEU):
    """AudioBench's corpus BLEU: pieces of the tokenizer `flores101`, in which an empty translation is the word
    `empty`."""

    id = "bleu[audiobench@e991641]"
    description = "Corpus BLEU over SentencePiece pieces (flores101), as AudioBench has it"
    source = "AudioLLMs/AudioBench at e991641: src/dataset_src/covost2_en_zh_test.py"
    columns = frozenset()

    @classmethod
    def ready(cls) -> None:
        """Raises `NotFetched` where sacrebleu's tokenizer is not on this machine."""
        super().ready()
        require("sentencepiece", EXTRA)
        path = (
            Path(require("sacrebleu.utils", EXTRA, "sacrebleu").SACREBLEU_DIR) / "models" / _FLORES.rpartition("/")[2]
        )
        if not path.is_file():
            raise NotFetched("sacrebleu's tokenizer flores101 is not on this machine.", f"Put {_FLORES} at {path}.")

    def tokenizer(self, sample: Sample) -> str:
        return "flores101"

    def parts(self, sample: Sample, said: str, right: str) -> dict[str, float]:
        return super().parts(sample, said.strip() or "empty", right)


class ChrF(_Translation):
    """Corpus chrF2: characters up to order 6, no words, beta 2, white space ignored."""

    id = "chrf[sacrebleu@2.6.0]"
    description = "Corpus chrF2 by sacrebleu"
    source = "mjpost/sacrebleu 2.6.0"
    summaries = (Summary("chrf", "function", _CHRF, "", "higher", function=_chrf),)

    def parts(self, sample: Sample, said: str, right: str) -> dict[str, float]:
        (numbers,) = _scorer("CHRF")._extract_corpus_statistics([said], [[right]])
        return dict(zip(_CHRF, map(float, numbers), strict=True))

    def signature(self, sample: Sample) -> str:
        scorer = _scorer("CHRF")
        scorer.corpus_score(["a"], [["a"]])
        return str(scorer.get_signature())


def _reference(sample: Sample) -> str:
    if not (sample.text or "").strip():
        raise BadData(f"Sample {sample.id} has no reference translation.", "Give the record a `reference`.")
    return (sample.text or "").rstrip()

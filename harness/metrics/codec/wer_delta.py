"""Whether the words survived, beside what the same recognizer makes of the recordings themselves."""

from __future__ import annotations

from dataclasses import replace

import jiwer

from speech_eval.metrics.base import Metric, ScoringItem, Summary, Unscorable, Value
from speech_eval.metrics.wer import WhisperWER
from speech_eval.records import Sample
from speech_eval.text import whisper_normalize


class WordsKept(Metric):
    """Word errors of the output less those of the recording it was made from, both by one recognizer; and the output's
    transcript held against the recording's (differential WER), which needs no reference text to be right."""

    id = "wer-original[whisper-normalizer]"
    description = (
        "Word error rate of the original recordings, what the model adds to it, and the two transcripts compared"
    )
    source = "wer[whisper-normalizer] on both; differential WER as in Kumar et al. 2023 and Défossez et al. 2024"
    needs = frozenset({"hypothesis", "original-hypothesis", "reference"})
    summaries = (
        Summary("wer-increase", "ratio", ("added", "reference_words"), "%", "lower", 100.0),
        Summary("wer-original", "ratio", ("original_errors", "heard_words"), "%", "lower", 100.0, headline=False),
        Summary("differential-wer", "ratio", ("changed", "original_words"), "%", "lower", 100.0, headline=False),
    )

    def score(self, item: ScoringItem) -> Value:
        """Parts: `added` errors over `reference_words`; `original_errors` over `heard_words`, the same words; `changed`
        words over `original_words`, those heard in the recording. Raises `Unscorable` without either transcript."""
        if item.original_hypothesis is None or item.hypothesis is None:
            raise Unscorable(f"Sample {item.sample.id}: no recording was transcribed beside it.", "Give --recognizer.")
        wer, beside = WhisperWER(), replace(item, hypothesis=item.original_hypothesis)
        output, original = wer.score(item), wer.score(beside)
        first, second = (str((value.detail or {})["hypothesis"]) for value in (original, output))
        compared = jiwer.process_words(first, second)
        words = output.parts["reference_words"]
        parts = {
            "added": output.parts["errors"] - original.parts["errors"],
            "reference_words": words,
            "original_errors": original.parts["errors"],
            "heard_words": words,
            "changed": float(compared.substitutions + compared.deletions + compared.insertions),
            "original_words": float(len(first.split())),
        }
        return Value(parts=parts, detail={"original": first, "hypothesis": second})

    def failure(self, sample: Sample) -> dict[str, float]:
        """All words lost and none of them before: what the recording would have given is not known."""
        words = float(len(whisper_normalize(sample.text or "", sample.language).split()))
        return {
            "added": words,
            "reference_words": words,
            "original_errors": 0.0,
            "heard_words": 0.0,
            "changed": words,
            "original_words": words,
        }

"""WER delta: word errors that a model adds to those of the recordings, by the same recognizer."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import jiwer

from speech_eval.metrics.base import Metric, ScoringItem, Summary, Unscorable, Value
from speech_eval.metrics.wer import ErrorRate, UnicodeWER, WhisperWER
from speech_eval.records import Sample


class _WERDelta(Metric):
    """WER of the output minus WER of its recording, both by one recognizer; and the WER of the output's transcript
    against the recording's transcript (differential WER), which needs no reference text."""

    wer: ClassVar[ErrorRate]
    description = "WER delta: increase over the WER of the original recordings, that WER, and the differential WER"
    needs = frozenset({"hypothesis", "original-hypothesis", "reference", "text"})
    summaries = (
        Summary("wer-increase", "ratio", ("added", "reference_words"), "%", "lower", 100.0),
        Summary("wer-original", "ratio", ("original_errors", "heard_words"), "%", "lower", 100.0, headline=False),
        Summary("differential-wer", "ratio", ("changed", "original_words"), "%", "lower", 100.0, headline=False),
    )

    def score(self, item: ScoringItem) -> Value:
        """Parts: `added` errors over `reference_words`; `original_errors` over `heard_words`, the same words; `changed`
        words over `original_words`, those of the recording's transcript. Raises `Unscorable` without a transcript of
        either."""
        if item.original_hypothesis is None or item.hypothesis is None:
            raise Unscorable(f"Sample {item.sample.id}: the recording has no transcript.", "Give --recognizer.")
        output, original = self.wer.score(item), self.wer.score(replace(item, hypothesis=item.original_hypothesis))
        first, second = self.wer.normalized(item.original_hypothesis, item.hypothesis, item.sample.language)
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
        """All words lost, and no errors counted in the recording, whose transcript is not known."""
        words = float(len(self.wer.normalized(sample.text or "", "", sample.language)[0].split()))
        return {
            "added": words,
            "reference_words": words,
            "original_errors": 0.0,
            "heard_words": 0.0,
            "changed": words,
            "original_words": words,
        }


class WhisperWERDelta(_WERDelta):
    """The delta of `wer[whisper-normalizer@20250625]`."""

    id = "wer-original[whisper-normalizer@20250625]"
    source = f"{WhisperWER.id} on both; differential WER as in Kumar et al. 2023 and Défossez et al. 2024"
    wer = WhisperWER()

    @classmethod
    def caution(cls, sample: Sample) -> str:
        return cls.wer.caution(sample)


class UnicodeWERDelta(_WERDelta):
    """The delta of `wer[unicode@1]`."""

    id = "wer-original[unicode@1]"
    source = f"{UnicodeWER.id} on both; differential WER as in Kumar et al. 2023 and Défossez et al. 2024"
    wer = UnicodeWER()

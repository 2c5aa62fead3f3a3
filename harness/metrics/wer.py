"""Word and character error rates, each with one named text normalization."""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from typing import ClassVar

import jiwer

from speech_eval.metrics.base import BadData, Metric, ScoringItem, Summary, Unscorable, Value
from speech_eval.records import Sample
from speech_eval.text import mainland_chinese, primary_language, seed_tts_normalize, whisper_normalize

_ratio = partial(Summary, estimator="ratio", unit="%", direction="lower", scale=100.0)
_mean = partial(Summary, estimator="mean", unit="%", direction="lower", scale=100.0)


def reference_text(sample: Sample) -> str:
    """The reference transcript. Raises `BadData` where the sample has none."""
    if sample.text is None:
        raise BadData(f"Sample {sample.id} has no reference text.", "Give every sample of the dataset a text.")
    return sample.text


def transcript(item: ScoringItem) -> str:
    """The transcript, empty for an empty answer (all words deleted). Raises `Unscorable` without one."""
    if item.hypothesis is None and item.output.status != "empty":
        raise Unscorable(f"Sample {item.sample.id} has no transcript.", "Name a recognizer for the task.")
    return item.hypothesis or ""


def edit_counts(aligned: jiwer.WordOutput | jiwer.CharacterOutput) -> tuple[int, dict[str, float]]:
    """Length of the reference, and the counts of substitutions, deletions and insertions."""
    edits = {
        "substitutions": float(aligned.substitutions),
        "deletions": float(aligned.deletions),
        "insertions": float(aligned.insertions),
    }
    return aligned.hits + aligned.substitutions + aligned.deletions, edits


class _WhisperErrorRate(Metric):
    """Edits over reference units after Whisper's normalization."""

    needs = frozenset({"hypothesis", "text"})
    source = "Radford et al. 2022 (Whisper), appendix C; openai-whisper 20250625 normalizers; jiwer 4"
    units: ClassVar[str]

    def score(self, item: ScoringItem) -> Value:
        """Parts: `errors`, `substitutions`, `deletions`, `insertions`, `reference_UNITS`, `utterance_rate`.

        Where normalization leaves the reference empty, every unit of the hypothesis is an insertion, `reference_UNITS`
        is 0 and `utterance_rate` is the number of insertions, as jiwer defines it. An empty transcript is scored;
        raises `Unscorable` without a transcript.
        """
        language = item.sample.language
        reference = whisper_normalize(reference_text(item.sample), language)
        hypothesis = whisper_normalize(transcript(item), language)
        length, edits = self._align(reference, hypothesis)
        errors = sum(edits.values())
        parts = {
            "errors": errors,
            **edits,
            f"reference_{self.units}": float(length),
            "utterance_rate": errors / max(length, 1),
        }
        return Value(parts=parts, detail={"reference": reference, "hypothesis": hypothesis})

    def failure(self, sample: Sample) -> dict[str, float]:
        """Every unit of the reference deleted; one error where the reference is empty, so that silence is not best."""
        reference = whisper_normalize(reference_text(sample), sample.language)
        length, edits = self._align(reference, "")
        return {
            "errors": float(max(length, 1)),
            **edits,
            f"reference_{self.units}": float(length),
            "utterance_rate": 1.0,
        }

    @abstractmethod
    def _align(self, reference: str, hypothesis: str) -> tuple[int, dict[str, float]]:
        """Length of the reference in units, and the edits against it."""


class WhisperWER(_WhisperErrorRate):
    """Word error rate over the corpus after Whisper's normalization: English rules for `en`, basic rules for
    other languages.

    The basic rules do not split writing without spaces (Chinese, Japanese, Thai): use the character error rate there.
    """

    id = "wer[whisper-normalizer]"
    description = "Word error rate, corpus level, after Whisper's text normalization"
    units = "words"
    summaries = (
        _ratio(name="wer", parts=("errors", "reference_words")),
        _ratio(name="substitutions", parts=("substitutions", "reference_words"), headline=False),
        _ratio(name="deletions", parts=("deletions", "reference_words"), headline=False),
        _ratio(name="insertions", parts=("insertions", "reference_words"), headline=False),
        _mean(name="utterance-wer", parts=("utterance_rate",), headline=False),
    )

    def _align(self, reference: str, hypothesis: str) -> tuple[int, dict[str, float]]:
        return edit_counts(jiwer.process_words(reference, hypothesis))


class WhisperCER(_WhisperErrorRate):
    """Character error rate over the corpus after Whisper's normalization; a space between words is a character."""

    id = "cer[whisper-normalizer]"
    description = "Character error rate, corpus level, after Whisper's text normalization"
    units = "characters"
    summaries = (
        _ratio(name="cer", parts=("errors", "reference_characters")),
        _ratio(name="substitutions", parts=("substitutions", "reference_characters"), headline=False),
        _ratio(name="deletions", parts=("deletions", "reference_characters"), headline=False),
        _ratio(name="insertions", parts=("insertions", "reference_characters"), headline=False),
        _mean(name="utterance-cer", parts=("utterance_rate",), headline=False),
    )

    def _align(self, reference: str, hypothesis: str) -> tuple[int, dict[str, float]]:
        return edit_counts(jiwer.process_characters(reference, hypothesis))


class SeedTTSWER(Metric):
    """Word error rate as Seed-TTS-eval computes it (the number its tables print): the mean over utterances.

    Chinese is compared character by character, so its "WER" is a CER. White space other than U+0020 stays inside a
    word, and a run of two or more white-space characters separates two words, as in jiwer 3 and 4.
    """

    id = "wer[seed-tts-eval@2024-06]"
    description = "Word error rate of synthesized speech as Seed-TTS-eval defines it, mean over utterances"
    source = "BytedanceSpeech/seed-tts-eval, commit 752f429: run_wer.py, average_wer.py"
    needs = frozenset({"hypothesis", "text"})
    summaries = (
        _mean(name="wer", parts=("wer",)),
        _ratio(name="corpus-wer", parts=("errors", "reference_words"), headline=False),
        _mean(name="substitutions", parts=("substitution_rate",), headline=False),
        _mean(name="deletions", parts=("deletion_rate",), headline=False),
        _mean(name="insertions", parts=("insertion_rate",), headline=False),
    )

    def score(self, item: ScoringItem) -> Value:
        """Parts: `wer` (errors over jiwer's own words), `errors`, `reference_words`, and the three edit rates, which
        the original divides by `len(reference.split(" "))` instead: the two differ where extra spaces remain.

        Raises `Unscorable` where normalization leaves the reference empty (the original stops there).
        """
        language = item.sample.language
        reference = seed_tts_normalize(reference_text(item.sample), language)
        heard = transcript(item)
        hypothesis = seed_tts_normalize(
            mainland_chinese(heard) if primary_language(language) == "zh" else heard, language
        )
        length, edits = edit_counts(jiwer.process_words(reference, hypothesis))
        if length == 0:
            raise Unscorable(f"Sample {item.sample.id}: the reference has only punctuation.", "Leave the sample out.")
        parts = _seed_parts(length, edits, official_length=len(reference.split(" ")))
        return Value(parts=parts, detail={"reference": reference, "hypothesis": hypothesis})

    def failure(self, sample: Sample) -> dict[str, float]:
        """Every word deleted; a word error rate of 1 (over no words) where the reference is empty."""
        reference = seed_tts_normalize(reference_text(sample), sample.language)
        length, edits = edit_counts(jiwer.process_words(reference, ""))
        if length == 0:
            return {**_seed_parts(1, {**edits, "deletions": 1.0}, official_length=1), "reference_words": 0.0}
        return _seed_parts(length, edits, official_length=len(reference.split(" ")))


def _seed_parts(length: int, edits: dict[str, float], *, official_length: int) -> dict[str, float]:
    errors = sum(edits.values())
    return {
        "wer": errors / length,
        "errors": errors,
        "reference_words": float(length),
        "substitution_rate": edits["substitutions"] / official_length,
        "deletion_rate": edits["deletions"] / official_length,
        "insertion_rate": edits["insertions"] / official_length,
    }

"""Word and character error rates, each with one named text normalization."""

from __future__ import annotations

import unicodedata
from abc import abstractmethod
from dataclasses import replace
from functools import partial
from typing import ClassVar

import jiwer

from speech_eval.errors import BadInput
from speech_eval.metrics.base import BadData, Metric, ScoringItem, Summary, Unscorable, Value
from speech_eval.records import Sample
from speech_eval.text import (
    language_name,
    mainland_chinese,
    primary_language,
    seed_tts_normalize,
    separates_words,
    unicode_letters,
    unicode_words,
    whisper_normalize,
    without_invisible,
)
from speech_eval.text.detect import UNKNOWN
from speech_eval.text.whisper import breaks_a_number

_ratio = partial(Summary, estimator="ratio", unit="%", direction="lower", scale=100.0)
_mean = partial(Summary, estimator="mean", unit="%", direction="lower", scale=100.0)
_INSTEAD = "use wer[unicode@1] or cer[unicode@1]."
Edits = tuple[int, dict[str, float]]  # units of the reference, and the count of each kind of edit


def reference_text(sample: Sample) -> str:
    """The reference transcript. Raises `BadData` where the sample has none, `BadInput` without a known language."""
    if sample.text is None:
        raise BadData(f"Sample {sample.id} has no reference text.", "Give every sample of the dataset a text.")
    if sample.language == UNKNOWN:
        raise BadInput(f"The language of sample {sample.id} is not known.", "Give --language, or a field `language`.")
    return sample.text


def transcript(item: ScoringItem) -> str:
    """The transcript, empty for an empty answer (all words deleted). Raises `Unscorable` without one."""
    if item.hypothesis is None and item.output.status != "empty":
        raise Unscorable(f"Sample {item.sample.id} has no transcript.", "Name a recognizer for the task.")
    return item.hypothesis or ""


def edit_counts(aligned: jiwer.WordOutput | jiwer.CharacterOutput) -> Edits:
    """Length of the reference, and the counts of substitutions, deletions and insertions."""
    edits = {
        "substitutions": float(aligned.substitutions),
        "deletions": float(aligned.deletions),
        "insertions": float(aligned.insertions),
    }
    return aligned.hits + aligned.substitutions + aligned.deletions, edits


def _summaries(name: str, units: str) -> tuple[Summary, ...]:
    return (
        _ratio(name=name, parts=("errors", f"reference_{units}")),
        _ratio(name="substitutions", parts=("substitutions", f"reference_{units}"), headline=False),
        _ratio(name="deletions", parts=("deletions", f"reference_{units}"), headline=False),
        _ratio(name="insertions", parts=("insertions", f"reference_{units}"), headline=False),
        _mean(name=f"utterance-{name}", parts=("utterance_rate",), headline=False),
    )


class ErrorRate(Metric):
    """Edits over the words or characters of the reference, after one normalization of both sides."""

    needs = frozenset({"hypothesis", "text"})
    units: ClassVar[str]  # words or characters

    def score(self, item: ScoringItem) -> Value:
        """Parts: `errors`, `substitutions`, `deletions`, `insertions`, `reference_UNITS`, `utterance_rate`.

        Where normalization leaves the reference empty, every unit of the hypothesis is an insertion, `reference_UNITS`
        is 0 and `utterance_rate` is the number of insertions, as jiwer defines it. An empty transcript is scored;
        raises `Unscorable` without a transcript, `BadInput` without a reference.
        """
        return self._value(*self.normalized(reference_text(item.sample), transcript(item), item.sample.language))

    def _value(self, reference: str, hypothesis: str) -> Value:
        length, edits = self._align(reference, hypothesis)
        errors = sum(edits.values())
        parts = {"errors": errors, **edits, f"reference_{self.units}": float(length)}
        parts["utterance_rate"] = errors / max(length, 1)
        return Value(parts, detail={"reference": reference, "hypothesis": hypothesis})

    def failure(self, sample: Sample) -> dict[str, float]:
        """Every unit of the reference deleted; one error where the reference is empty, so that silence is not best."""
        parts = self._value(*self.normalized(reference_text(sample), "", sample.language)).parts
        return {**parts, "errors": max(parts["errors"], 1.0), "utterance_rate": 1.0}

    @abstractmethod
    def normalized(self, reference: str, hypothesis: str, language: str) -> tuple[str, str]:
        """Both sides as they are compared."""

    def _align(self, reference: str, hypothesis: str) -> Edits:
        """Length of the reference in units, and the edits against it."""
        align = jiwer.process_words if self.units == "words" else jiwer.process_characters
        return edit_counts(align(reference, hypothesis))


class _Whisper(ErrorRate):
    """After Whisper's normalization: English rules for `en`, basic rules for other languages.

    `compat` compares the texts as they are; in `strict` the characters that nobody sees (byte order mark, zero-width
    and bidirectional controls, soft hyphen) are removed from both sides first.
    """

    source = "Radford et al. 2022 (Whisper), appendix C; openai-whisper 20250625 normalizers; jiwer 4"

    def normalized(self, reference: str, hypothesis: str, language: str) -> tuple[str, str]:
        reference, hypothesis = without_invisible(reference), without_invisible(hypothesis)
        return whisper_normalize(reference, language), whisper_normalize(hypothesis, language)

    def score(self, item: ScoringItem) -> Value:
        value, texts = super().score(item), (reference_text(item.sample), transcript(item))
        if all(text == without_invisible(text) for text in texts):
            return value
        original = self._value(*(whisper_normalize(text, item.sample.language) for text in texts))
        return replace(value, compat=original.parts)

    @classmethod
    def caution(cls, sample: Sample) -> str:
        text = unicodedata.normalize("NFKC", sample.text or "")
        if primary_language(sample.language) == "en":
            return f"{cls.id} writes the 1 of $1, 1% and 1.5 as a word: {_INSTEAD}" if breaks_a_number(text) else ""
        if any(unicodedata.category(char)[0] == "M" for char in text):
            return f"{cls.id} drops the vowel signs, tones and points of {language_name(sample.language)}: {_INSTEAD}"
        if not separates_words(sample.language):
            return f"{cls.id} counts spaces, which {language_name(sample.language)} does not write: {_INSTEAD}"
        return ""


class WhisperWER(_Whisper):
    """Word error rate over the corpus after Whisper's normalization."""

    id = "wer[whisper-normalizer@20250625]"
    description = "Word error rate, corpus level, after Whisper's text normalization"
    units = "words"
    summaries = _summaries("wer", units)


class WhisperCER(_Whisper):
    """Character error rate over the corpus after Whisper's normalization; a space between words is a character."""

    id = "cer[whisper-normalizer@20250625]"
    description = "Character error rate, corpus level, after Whisper's text normalization"
    units = "characters"
    summaries = _summaries("cer", units)


class UnicodeWER(ErrorRate):
    """Word error rate over the corpus in any language and script (see `speech_eval.text.unicode`)."""

    id = "wer[unicode@1]"
    description = "Word error rate, corpus level, in any language: marks kept, optional points and punctuation removed"
    source = "This project, docs/protocols.md; NFKC and case folding of Unicode; jiwer 4"
    units = "words"
    summaries = _summaries("wer", units)

    def normalized(self, reference: str, hypothesis: str, language: str) -> tuple[str, str]:
        return unicode_words(reference, hypothesis, language)


class UnicodeCER(ErrorRate):
    """Character error rate over the corpus in any language and script; the primary number of languages that do not
    separate words by spaces. There, spaces do not count; elsewhere a space between words is a character."""

    id = "cer[unicode@1]"
    description = "Character error rate, corpus level, in any language: the number for writing without spaces"
    source = UnicodeWER.source
    units = "characters"
    summaries = _summaries("cer", units)

    def normalized(self, reference: str, hypothesis: str, language: str) -> tuple[str, str]:
        return unicode_letters(reference, hypothesis, language)


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

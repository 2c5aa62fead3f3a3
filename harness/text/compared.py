"""Two texts as they are compared by default: English by Whisper's normalizer, every other language by `unicode@1`."""

from __future__ import annotations

from speech_eval.text.language import primary_language
from speech_eval.text.unicode import unicode_letters, unicode_words
from speech_eval.text.whisper import whisper_english


def compared_words(reference: str, hypothesis: str, language: str) -> tuple[str, str]:
    """Both sides for a word error rate."""
    return _english(reference, hypothesis, language) or unicode_words(reference, hypothesis, language)


def compared_letters(reference: str, hypothesis: str, language: str) -> tuple[str, str]:
    """Both sides for a character error rate."""
    return _english(reference, hypothesis, language) or unicode_letters(reference, hypothesis, language)


def _english(reference: str, hypothesis: str, language: str) -> tuple[str, str] | None:
    if primary_language(language) != "en":
        return None
    return whisper_english(reference), whisper_english(hypothesis)

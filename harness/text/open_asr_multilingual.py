"""The multilingual normalizer of the Open ASR Leaderboard, and its pairing of compounds.

Same answers as huggingface/open_asr_leaderboard at d1e99b2: `MultilingualNormalizer` of `normalizer/data_utils.py` and
`normalize_compound_pairs` of `normalizer/eval_utils.py`.
"""

from __future__ import annotations

import re
from difflib import SequenceMatcher

from speech_eval.errors import require
from speech_eval.text.whisper import whisper_basic


def open_asr_multilingual(text: str, language: str) -> str:
    """`text` as the leaderboard compares it: lower case without brackets, symbols, punctuation and loose marks, letters
    with their diacritics, digits in words of `language` (an ISO 639-1 code; digits stay where there are no such words).

    A decimal point splits a number in two, digits in groups of three become one number, and hyphens come back with
    the words of numbers ("34" is "trente-quatre"). Raises `MissingExtra` without num2words.
    """
    text = re.sub(r"\s+", " ", re.sub(r"[^\w\s]", "", whisper_basic(text))).strip()
    text = re.sub(r"(\d)\s+(\d{3})\b", r"\1\2", text)
    return re.sub(r"\d+", lambda match: _in_words(match.group(), language), text)


def _in_words(digits: str, language: str) -> str:
    library = require("num2words", "multilingual")
    try:
        return str(library.num2words(int(digits), lang=language))
    except Exception:  # numbers that it cannot write stay in digits, as in the original
        return digits


def pair_compounds(reference: str, hypothesis: str) -> tuple[str, str]:
    """Both texts, with each stretch where they differ in nothing but spaces written in one word on both sides."""
    words, heard = reference.split(), hypothesis.split()
    joined: tuple[list[str], list[str]] = ([], [])
    for what, a, b, c, d in SequenceMatcher(None, words, heard).get_opcodes():
        one = "".join(words[a:b])
        same = what != "equal" and one == "".join(heard[c:d])
        joined[0].extend([one] if same else words[a:b])
        joined[1].extend([one] if same else heard[c:d])
    return " ".join(joined[0]), " ".join(joined[1])

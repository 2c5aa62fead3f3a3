"""The text normalizers of Whisper: one for English, one for every other language.

Same answers as `whisper.normalizers` of openai-whisper 20250625 and as transformers' `EnglishTextNormalizer` with
that spelling table (Radford et al. 2022, appendix C). The rules and the table are OpenAI's (MIT, see `data/`).
"""

from __future__ import annotations

import json
import re
import unicodedata
from functools import cache
from importlib.resources import files

from speech_eval.text.language import primary_language
from speech_eval.text.numbers import one_inside_number, standardize_numbers

FILLERS = re.compile(r"\b(hmm|mm|mhm|mmm|uh|um)\b")

_TITLES = {
    "mr": "mister",
    "mrs": "missus",
    "st": "saint",
    "dr": "doctor",
    "prof": "professor",
    "capt": "captain",
    "gov": "governor",
    "ald": "alderman",
    "gen": "general",
    "sen": "senator",
    "rep": "representative",
    "pres": "president",
    "rev": "reverend",
    "hon": "honorable",
    "asst": "assistant",
    "assoc": "associate",
    "lt": "lieutenant",
    "col": "colonel",
    "jr": "junior",
    "sr": "senior",
    "esq": "esquire",
}

_WORDS = {
    "won't": "will not",
    "can't": "can not",
    "let's": "let us",
    "ain't": "aint",
    "y'all": "you all",
    "wanna": "want to",
    "gotta": "got to",
    "gonna": "going to",
    "i'ma": "i am going to",
    "imma": "i am going to",
    "woulda": "would have",
    "coulda": "could have",
    "shoulda": "should have",
    "ma'am": "madam",
    **{short: f"{full} " for short, full in _TITLES.items()},
}

_ENDINGS = {
    "'d been": " had been",
    "'s been": " has been",
    "'d gone": " had gone",
    "'s gone": " has gone",
    "'d done": " had done",
    "'s got": " has got",
    "n't": " not",
    "'re": " are",
    "'s": " is",
    "'d": " would",
    "'ll": " will",
    "'t": " not",
    "'ve": " have",
    "'m": " am",
}

# In this order: whole words first, then perfect tenses before the general endings they contain.
EXPANSIONS = [
    *((re.compile(rf"\b{word}\b"), expansion) for word, expansion in _WORDS.items()),
    *((re.compile(rf"{ending}\b"), expansion) for ending, expansion in _ENDINGS.items()),
]

# Letters that NFKD does not decompose.
_LETTERS = {
    "œ": "oe",
    "Œ": "OE",
    "ø": "o",
    "Ø": "O",
    "æ": "ae",
    "Æ": "AE",
    "ß": "ss",
    "ẞ": "SS",
    "đ": "d",
    "Đ": "D",
    "ð": "d",
    "Ð": "D",
    "þ": "th",
    "Þ": "th",
    "ł": "l",
    "Ł": "L",
}

_KEPT_IN_NUMBERS = ".%$¢€£"


def whisper_normalize(text: str, language: str) -> str:
    """`text` as Whisper's evaluation compares it: the English normalizer for `en`, else the basic one."""
    return whisper_english(text) if primary_language(language) == "en" else whisper_basic(text)


def whisper_basic(text: str) -> str:
    """Lower case, bracketed text removed, each mark, symbol and punctuation replaced by a space.

    Accented letters that have a code of their own stay. Marks that have none do not: vowel signs and tones of Indic
    scripts and Thai, points of Arabic and Hebrew. A space may be left at an end, where a symbol was.
    """
    text = without_brackets(text.lower())
    text = "".join(" " if _is_symbol(char) else char for char in unicodedata.normalize("NFKC", text)).lower()
    return re.sub(r"\s+", " ", text)


def whisper_english(text: str) -> str:
    """Lower case, fillers and bracketed words removed, contractions and titles written out, numbers in digits, American
    spelling, no diacritics. A space may be left at an end, where a symbol was."""
    text = standardize_numbers(_written_out(text))
    spelling = spelling_table()
    text = " ".join(spelling.get(word, word) for word in text.split())
    # Symbols that do not belong to a number are removed last.
    text = re.sub(r"[.$¢€£]([^0-9])", r" \1", text)
    text = re.sub(r"([^0-9])%", r"\1 ", text)
    return re.sub(r"\s+", " ", text)


def breaks_a_number(text: str) -> bool:
    """Whether `whisper_english` takes a number of the text apart: a lone 1 is "one" also in "$1" and "1.5"."""
    if text.isascii() and "1" not in text and "one" not in text.lower():  # nothing that could be a lone 1
        return False
    return one_inside_number(_written_out(text))


def _written_out(text: str) -> str:
    text = FILLERS.sub("", without_brackets(text.lower()))
    text = re.sub(r"\s+'", "'", text)
    for pattern, expansion in EXPANSIONS:
        text = pattern.sub(expansion, text)
    text = re.sub(r"(\d),(\d)", r"\1\2", text)
    text = re.sub(r"\.([^0-9]|$)", r" \1", text)
    return plain_letters(text)


@cache
def spelling_table() -> dict[str, str]:
    """British to American spellings: `english.json` of openai-whisper, byte for byte."""
    table: dict[str, str] = json.loads(
        files("speech_eval.text").joinpath("data/whisper_english_spelling.json").read_text(encoding="utf-8")
    )
    return table


def without_brackets(text: str) -> str:
    text = re.sub(r"[<\[][^>\]]*[>\]]", "", text)
    return re.sub(r"\(([^)]+?)\)", "", text)


def _is_symbol(char: str) -> bool:
    return unicodedata.category(char)[0] in "MSP"


def plain_letters(text: str) -> str:
    """Diacritics removed, symbols replaced by a space, except those of numbers."""
    return "".join(_plain_letter(char) for char in unicodedata.normalize("NFKD", text))


def _plain_letter(char: str) -> str:
    if char in _KEPT_IN_NUMBERS:
        return char
    if char in _LETTERS:
        return _LETTERS[char]
    if unicodedata.category(char) == "Mn":
        return ""
    return " " if _is_symbol(char) else char

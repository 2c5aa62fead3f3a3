"""Whether a text is written in the script of its language, and how fast speech in that language can be."""

from __future__ import annotations

import unicodedata
from functools import cache

from speech_eval.text import language_name, primary_language
from speech_eval.text.detect import UNKNOWN
from speech_eval.text.language import CHINESE

# How the names of a script's letters begin, by its code of ISO 15924.
_LETTERS = {
    **{"Latn": {"LATIN"}, "Cyrl": {"CYRILLIC"}, "Grek": {"GREEK"}, "Arab": {"ARABIC"}, "Hebr": {"HEBREW"}},
    **{"Hans": {"CJK", "BOPOMOFO"}, "Hant": {"CJK", "BOPOMOFO"}, "Hani": {"CJK"}, "Thai": {"THAI"}},
    **{"Jpan": {"CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "HALFWIDTH"}, "Kore": {"HANGUL", "CJK"}},
    **{"Deva": {"DEVANAGARI"}, "Beng": {"BENGALI"}, "Taml": {"TAMIL"}, "Telu": {"TELUGU"}, "Knda": {"KANNADA"}},
    **{"Mlym": {"MALAYALAM"}, "Gujr": {"GUJARATI"}, "Guru": {"GURMUKHI"}, "Geor": {"GEORGIAN"}, "Armn": {"ARMENIAN"}},
    **{"Ethi": {"ETHIOPIC"}, "Khmr": {"KHMER"}, "Laoo": {"LAO"}, "Mymr": {"MYANMAR"}, "Sinh": {"SINHALA"}},
}
_EVERYWHERE = ("LATIN", "FULLWIDTH", "FEMININE", "MASCULINE", "MODIFIER", "MICRO")
# Characters per second. Read speech in letters has 10 to 20, in syllables 4 to 8; the bands limit and do not teach.
PACE, SYLLABLES = (6.0, 30.0), (2.0, 14.0)
_SYLLABIC = {*CHINESE, "ja", "ko"}


def pace(language: str) -> tuple[float, float]:
    """The slowest and the fastest plausible number of characters per second: of letters, or of syllables where a
    character is one."""
    return SYLLABLES if primary_language(language) in _SYLLABIC else PACE


def shortest_seconds(text: str) -> float:
    """The least time in which the letters and digits of a text can be spoken, in any language."""
    spoken = [character for character in text if character.isalnum()]
    syllables = sum(_name(character) in ("CJK", "HIRAGANA", "KATAKANA", "HANGUL") for character in spoken)
    return syllables / SYLLABLES[1] + (len(spoken) - syllables) / PACE[1]


def foreign(text: str, language: str) -> str:
    """What is wrong with a text that states this language and has two or more letters of another script; empty where
    nothing is. Latin letters belong to every language."""
    own = _own(language)
    if not own:
        return ""
    letters = [character for character in text if character.isalpha()]
    strange = [character for character in letters if _name(character) not in own]
    if len(strange) < min(2, len(letters)) or not strange:
        return ""
    shown = "".join(dict.fromkeys(strange))[:8]
    return f"'{shown}' is not written in the script of its language, {language_name(language)}"


@cache
def _own(language: str) -> frozenset[str]:
    """The letters that a language may use; empty where its script is not known."""
    import langcodes

    if primary_language(language) == UNKNOWN:
        return frozenset()
    found = _LETTERS.get(langcodes.Language.get(language).maximize().script or "")
    return frozenset((*found, *_EVERYWHERE) if found else ())


def _name(character: str) -> str:
    return unicodedata.name(character, "?").split()[0]

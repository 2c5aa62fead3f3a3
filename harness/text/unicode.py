"""The text normalizer `unicode@1`, for every language and script: what is said is compared, and not how it is encoded.

Both sides are composed (NFKC) and case-folded, their digits become ASCII digits, and symbols and punctuation become
spaces. Marks stay, since they are vowels and tones in most scripts; optional ones go (points of Arabic and Hebrew,
stress marks of Cyrillic), and so does the tatweel. Characters that nobody sees are removed. Chinese is compared in
simplified characters. Numbers are not spelled out, and contractions and spelling variants are not unified.
docs/protocols.md lists every rule.
"""

from __future__ import annotations

import re
import unicodedata

from rapidfuzz.distance import Levenshtein

from speech_eval.text.chinese import simplified
from speech_eval.text.invisible import JOINER, NON_JOINER, ZERO_WIDTH_SPACE, without_invisible
from speech_eval.text.language import CHINESE, primary_language, separates_words

# Languages that separate words, where they do at all, by a zero-width space.
_ZERO_WIDTH_SPACED = {"th", "lo", "my", "km", "shn"}
# Languages that write the non-joiner inside words, and in its place often a space or nothing.
_NON_JOINED = {"fa", "ckb", "ps", "ur", "sd", "glk", "mzn", "lrc"}
# Invisible characters that are read, by language: in Malayalam and Bengali the joiner is part of a letter.
_VISIBLE = {
    **dict.fromkeys(_ZERO_WIDTH_SPACED, ZERO_WIDTH_SPACE),
    **dict.fromkeys(_NON_JOINED, NON_JOINER),
    **dict.fromkeys(("ml", "bn", "as"), JOINER),
}
_POINTS_ARE_LETTERS = {"yi", "ks"}

_APOSTROPHES = "'’‘‛ʼʻʾʿˈ′`´＇׳"
_APOSTROPHE = re.compile(f"[{_APOSTROPHES}]+")
_GERSHAYIM = re.compile(r'(?<=[א-ת])["״”“](?=[א-ת])')
_IS_A_LETTER = {"uk", "be", "uz", "haw", "sm", "to", "ty", "gn"}  # the apostrophe, a consonant
_ELIDES = {"fr", "it", "ca", "oc", "wa", "co", "fur", "lmo", "pms", "scn"}  # the apostrophe ends a word

# 1,000 and 1.000.000, also in the Indian grouping 1,00,000; of the spaces, only those that do not break lines group.
_SEPARATOR = "[,.٬’'\u00a0\u202f]"
_GROUPED = re.compile(rf"(?<![\d.,])\d{{1,3}}(?:{_SEPARATOR}\d{{2,3}})*{_SEPARATOR}\d{{3}}(?!\d)")

# Spellings that look the same, or that encode the same letter, by language.
_PERSIAN = str.maketrans("يىكۀە", "ییکهه")
_URDU = str.maketrans("يىكهۀ", "ییکہہ")
_ARABIC = str.maketrans("یکٱ", "يكا")
_SAME_LETTERS = {
    "fa": _PERSIAN,
    "ur": _URDU,
    "ar": _ARABIC,
    "ro": str.maketrans("şţ", "șț"),
    "ru": str.maketrans("ё", "е"),
}
_MALAYALAM_CHILLUS = dict(zip("ണനരലളക", "ൺൻർൽൾൿ", strict=True))
_THAI_AM = re.compile("\u0e4d([\u0e48-\u0e4b]?)\u0e32")
_THAI_AM_AFTER_TONE = re.compile("([\u0e48-\u0e4b])\u0e4d\u0e32")
_LAO_AM = re.compile("\u0ecd([\u0ec8-\u0ecb]?)\u0eb2")
_LAO_AM_AFTER_TONE = re.compile("([\u0ec8-\u0ecb])\u0ecd\u0eb2")
# Vietnamese òa, òe, ùy at the end of a word, decomposed: the newer spelling has the tone mark on the second vowel.
_OLDER_TONE = re.compile("(o(?=.[ae])|u(?=.y))([\u0300\u0301\u0303\u0309\u0323])([aey])(?!\\w)")
# Marks that may be left out in writing: all that composition leaves in Hebrew, Arabic and Syriac, with the tatweel; and
# the acute and grave that show the stress of a Cyrillic word.
_POINTS = re.compile(
    "[\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8"
    "\u06ea-\u06ed\u0730-\u074a\u08ca-\u08e1\u08e3-\u08ff]|(?<=[\u0400-\u04ff])[\u0300\u0301]"
)
# Chinese characters and kana, each a word of its own.
_IDEOGRAPH = re.compile(
    "([\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af])"
)


def unicode_words(reference: str, hypothesis: str, language: str) -> tuple[str, str]:
    """Both sides for a word error rate, with one space between words.

    Words are what spaces separate; every Chinese character and kana is a word. In Thai, Lao, Burmese, Khmer and Shan
    the words are those of the reference, which a zero-width space separates too, and the letters of the hypothesis are
    divided among them: its own spaces do not count. A reference without spaces is one word: use `unicode_letters`.
    """
    first, second = _pair(reference, hypothesis, language)
    if primary_language(language) in _ZERO_WIDTH_SPACED and not separates_words(language):
        return first, _divided_like(first, second)
    return _spaced(_IDEOGRAPH.sub(r" \1 ", first)), _spaced(_IDEOGRAPH.sub(r" \1 ", second))


def unicode_letters(reference: str, hypothesis: str, language: str) -> tuple[str, str]:
    """Both sides for a character error rate: without any spaces in languages that do not write them between words,
    else with one space between words. A character is a code point of the composed text."""
    first, second = _pair(reference, hypothesis, language)
    return (first, second) if separates_words(language) else (first.replace(" ", ""), second.replace(" ", ""))


def _pair(reference: str, hypothesis: str, language: str) -> tuple[str, str]:
    first, second = _plain(reference, language), _plain(hypothesis, language)
    return _non_joined(first, second) if primary_language(language) in _NON_JOINED else (first, second)


def _plain(text: str, language: str) -> str:
    """One side, with single spaces; the non-joiner stays in the languages of `_NON_JOINED`."""
    language = primary_language(language)
    text = without_invisible(text, keep=_VISIBLE.get(language, ""))
    text = "".join(str(unicodedata.decimal(c)) if unicodedata.category(c) == "Nd" else c for c in text)
    text = _GROUPED.sub(lambda number: re.sub(_SEPARATOR, "", number[0]), text)
    text = _apostrophes(text, language)
    text = _folded(unicodedata.normalize("NFKC", text), language)
    text = _one_spelling(text, language)
    text = text.replace(JOINER, "").replace(ZERO_WIDTH_SPACE, " ")
    text = unicodedata.normalize("NFC", text)
    if language not in _POINTS_ARE_LETTERS:
        text = _POINTS.sub("", text)
    text = "".join(map(_symbol_to_space, text))
    if language in CHINESE:
        text = simplified(text)
    return _spaced(text)


def _spaced(text: str) -> str:
    """Single spaces; a mark without a letter before it belonged to a symbol and is removed."""
    words = (_from_letter(word.strip(NON_JOINER)) for word in text.split())
    return " ".join(filter(None, words))


def _from_letter(word: str) -> str:
    return word[next((at for at, c in enumerate(word) if unicodedata.category(c)[0] != "M"), len(word)) :]


def _apostrophes(text: str, language: str) -> str:
    """The apostrophe between two letters: a letter of some languages, a space in those that elide, else nothing."""
    if language == "he":
        text = _GERSHAYIM.sub("", text)
    inner = "ʼ" if language in _IS_A_LETTER else " " if language in _ELIDES else ""
    return _APOSTROPHE.sub(lambda found: inner if _in_word(found) else " ", text)


def _in_word(found: re.Match[str]) -> bool:
    """Whether a letter stands before, and a letter or digit after."""
    start, end = found.span()
    before, after = found.string[max(start - 1, 0) : start], found.string[end : end + 1]
    return (
        bool(before and after) and unicodedata.category(before)[0] in "LM" and unicodedata.category(after)[0] in "LMN"
    )


def _folded(text: str, language: str) -> str:
    """Lower case by case folding (ß is ss), with the two i of Turkish and Azerbaijani, composed again."""
    if language in ("tr", "az"):
        text = text.replace("İ", "i").replace("I", "ı")
    text = unicodedata.normalize("NFKC", text.casefold())
    return text if language == "lt" else text.replace("i\u0307", "i")


def _one_spelling(text: str, language: str) -> str:
    """One code for letters that several codes write."""
    text = text.translate(_SAME_LETTERS.get(language, {}))
    if language == "ml":
        for letter, chillu in _MALAYALAM_CHILLUS.items():
            text = text.replace(f"{letter}\u0d4d\u200d", chillu)
    elif language in ("bn", "as"):
        text = text.replace("ত\u09cd\u200d", "ৎ")
    elif language == "th":
        text = _THAI_AM.sub("\\1\u0e33", _THAI_AM_AFTER_TONE.sub("\\1\u0e33", text)).replace("เเ", "แ")
    elif language == "lo":
        text = _LAO_AM.sub("\\1\u0eb3", _LAO_AM_AFTER_TONE.sub("\\1\u0eb3", text)).replace("ເເ", "ແ")
    elif language == "vi":
        text = _newer_tones(text)
    return text


def _newer_tones(text: str) -> str:
    return unicodedata.normalize("NFC", _OLDER_TONE.sub(r"\1\3\2", unicodedata.normalize("NFD", text)))


def _symbol_to_space(char: str) -> str:
    category = unicodedata.category(char)
    return "" if category == "Me" else " " if category[0] in "PSZ" else char


def _non_joined(reference: str, hypothesis: str) -> tuple[str, str]:
    """Both sides without non-joiners. Where one side has a non-joiner and the other a space, the hypothesis follows the
    reference, so that the number of reference words does not depend on the hypothesis."""
    written = f" {reference.replace(NON_JOINER, '')} "
    heard = f" {hypothesis} "
    for word in dict.fromkeys(w for w in reference.split() if NON_JOINER in w):
        heard = heard.replace(f" {word.replace(NON_JOINER, ' ')} ", f" {word} ")
    for word in dict.fromkeys(w for w in heard.split() if NON_JOINER in w):
        apart = f" {word.replace(NON_JOINER, ' ')} "
        heard = heard.replace(f" {word} ", apart if apart in written else f" {word.replace(NON_JOINER, '')} ")
    return written.strip(), heard.replace(NON_JOINER, "").strip()


def _divided_like(reference: str, hypothesis: str) -> str:
    """The letters of the hypothesis, with a space wherever the aligned letters of the reference have one."""
    letters, heard = reference.replace(" ", ""), hypothesis.replace(" ", "")
    steps = Levenshtein.opcodes(letters, heard)
    pieces, start, end = [], 0, 0
    for word in reference.split()[:-1]:
        end += len(word)
        cut = max(min(op.dest_start + end - op.src_start, op.dest_end) for op in steps if op.src_start <= end)
        pieces.append(heard[start:cut])
        start = cut
    return " ".join(filter(None, (*pieces, heard[start:])))

"""Spelled-out English numbers to digits, as Whisper's English normalizer reads them.

The grammar is OpenAI's, with its special cases ("one oh one" is 101, "twenty twenty" is 2020, "double seven" is 77): a
word that cannot extend the number being read is appended to its digits, so digit strings need no rule of their own.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from fractions import Fraction

from speech_eval.text.language import primary_language

_ZEROS = {"o", "oh", "zero"}
_ONE_TO_NINETEEN = (
    *("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TWENTY_TO_NINETY = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_POWERS_OF_THOUSAND = (
    *("thousand", "million", "billion", "trillion", "quadrillion", "quintillion"),
    *("sextillion", "septillion", "octillion", "nonillion", "decillion"),
)
_ONES = {word: value for value, word in enumerate(_ONE_TO_NINETEEN, start=1)}
_TENS = {word: 10 * value for value, word in enumerate(_TWENTY_TO_NINETY, start=2)}
_MULTIPLIERS = {"hundred": 100} | {word: 1000**power for power, word in enumerate(_POWERS_OF_THOUSAND, start=1)}
_IRREGULAR_ORDINALS = {"one": "first", "two": "second", "three": "third", "five": "fifth", "twelve": "twelfth"}
_ORDINAL_SUFFIX = {"first": "st", "second": "nd", "third": "rd"}


def _ordinal(word: str) -> str:
    return _IRREGULAR_ORDINALS.get(word) or word + ("h" if word.endswith("t") else "th")


# Words that end a number at once: value and the suffix written after its digits.
_ONES_ENDING = {
    "zeroth": (0, "th"),
    **{("sixes" if word == "six" else word + "s"): (value, "s") for word, value in _ONES.items()},
    **{_ordinal(word): (value, _ORDINAL_SUFFIX.get(_ordinal(word), "th")) for word, value in _ONES.items()},
}
_TENS_ENDING = {
    **{word.replace("y", "ies"): (value, "s") for word, value in _TENS.items()},
    **{word.replace("y", "ieth"): (value, "th") for word, value in _TENS.items()},
}
_MULTIPLIERS_ENDING = {
    **{word + "s": (value, "s") for word, value in _MULTIPLIERS.items()},
    **{word + "th": (value, "th") for word, value in _MULTIPLIERS.items()},
}
_SIGNS = {"minus": "-", "negative": "-", "plus": "+", "positive": "+"}
_CURRENCIES = {
    "pound": "£",
    "pounds": "£",
    "euro": "€",
    "euros": "€",
    "dollar": "$",
    "dollars": "$",
    "cent": "¢",
    "cents": "¢",
}
_PERCENT = {"per", "percent"}
_REPEATS = {"double": 2, "triple": 3}
_JOINERS = {"and", "point", *_REPEATS}
_DECIMALS = {*_ONES, *_TENS, *_ZEROS}
_PREFIXES = {*_SIGNS.values(), *_CURRENCIES.values()}
_NUMBER_WORDS: set[str] = {
    *_DECIMALS,
    *_ONES_ENDING,
    *_TENS_ENDING,
    *_MULTIPLIERS,
    *_MULTIPLIERS_ENDING,
    *_SIGNS,
    *_CURRENCIES,
    *_PERCENT,
    *_JOINERS,
}
_LONE_ONE = re.compile(r"\b1(s?)\b")
_DIGITS = re.compile(r"^\d+(\.\d+)?$")


def standardize_numbers(text: str) -> str:
    """Lower-case English with its numbers in digits: "twenty one dollars and fifty cents" becomes "$21.50".

    A lone 1 is written "one", since speech does not tell the article-like word from the digit.
    """
    return _LONE_ONE.sub(r"one\1", _in_digits(text))


def one_inside_number(text: str) -> bool:
    """Whether the rule for a lone 1 changes a number of the text: "$1" becomes "$one", "1.5" becomes "one.5"."""
    return bool(re.search(r"[€£$¢.+-]1s?\b|\b1[%.]", _in_digits(text)))


def _in_digits(text: str) -> str:
    return _postprocess(" ".join(_Reader().read(_preprocess(text).split())))


def _preprocess(text: str) -> str:
    """`and a half` after a number becomes `point five`; letters and digits are separated, except ordinal suffixes."""
    results = []
    segments = re.split(r"\band\s+a\s+half\b", text)
    for index, segment in enumerate(segments):
        if not segment.strip():
            continue
        results.append(segment)
        if index < len(segments) - 1:
            last = segment.split()[-1]
            results.append("point five" if last in _DECIMALS or last in _MULTIPLIERS else "and a half")
    text = " ".join(results)
    text = re.sub(r"([a-z])([0-9])", r"\1 \2", text)
    text = re.sub(r"([0-9])([a-z])", r"\1 \2", text)
    return re.sub(r"([0-9])\s+(st|nd|rd|th|s)\b", r"\1\2", text)


def _postprocess(text: str) -> str:
    """`$2 and ¢7` becomes `$2.07`, `$0.07` becomes `¢7`."""
    text = re.sub(r"([€£$])([0-9]+) (?:and )?¢([0-9]{1,2})\b", lambda m: f"{m[1]}{m[2]}.{int(m[3]):02d}", text)
    # The original's dot is not escaped, so it matches any character.
    return re.sub(r"[€£$]0.([0-9]{1,2})\b", lambda m: f"¢{int(m[1])}", text)


class _Reader:
    """Reads words left to right, holding the number so far: an int while it can grow by addition, else its digits."""

    def __init__(self) -> None:
        self.out: list[str] = []
        self.value: int | str | None = None
        self.prefix = ""

    def read(self, words: Sequence[str]) -> list[str]:
        skip = False
        for index, word in enumerate(words):
            if skip:
                skip = False
                continue
            before = words[index - 1] if index else None
            after = words[index + 1] if index + 1 < len(words) else None
            skip = self._word(word, before, after)
        self._flush()
        return self.out

    def _word(self, word: str, before: str | None, after: str | None) -> bool:
        """Read one word; true where it consumed the next one too."""
        bare = word[1:] if word[0] in _PREFIXES else word
        if _DIGITS.match(bare):
            self._digits(word, bare)
        elif word not in _NUMBER_WORDS:
            self._flush()
            self._emit(word)
        elif word in _ZEROS:
            self.value = f"{self.value or ''}0"
        elif word in _ONES:
            self.value = self._plus_ones(_ONES[word], before)
        elif word in _TENS:
            self.value = self._plus_tens(_TENS[word])
        elif word in _MULTIPLIERS:
            self._multiply(_MULTIPLIERS[word])
        elif word in _ONES_ENDING:
            ones, suffix = _ONES_ENDING[word]
            self._emit(f"{self._plus_ones(ones, before)}{suffix}")
        elif word in _TENS_ENDING:
            tens, suffix = _TENS_ENDING[word]
            self._emit(f"{self._plus_tens(tens)}{suffix}")
        elif word in _MULTIPLIERS_ENDING:
            self._multiply_and_end(*_MULTIPLIERS_ENDING[word])
        else:
            return self._affix_or_joiner(word, before, after)
        return False

    def _affix_or_joiner(self, word: str, before: str | None, after: str | None) -> bool:
        number_follows = after is not None and (after in _NUMBER_WORDS or bool(_DIGITS.match(after)))
        if word in _SIGNS:
            self._flush()
            if number_follows:
                self.prefix = _SIGNS[word]
            else:
                self._emit(word)
        elif word in _CURRENCIES:
            if self.value is None:
                self._emit(word)
            else:
                self.prefix = _CURRENCIES[word]
                self._flush()
        elif word in _PERCENT:
            return self._percent(word, after)
        elif not number_follows:
            self._flush()
            self._emit(word)
        else:
            return self._join(word, before, after)
        return False

    def _join(self, word: str, before: str | None, after: str | None) -> bool:
        """`and`, `point`, `double` and `triple` before something that may be part of a number."""
        if word == "and":
            if before not in _MULTIPLIERS:
                self._flush()
                self._emit(word)
        elif word == "point":
            if after in _DECIMALS or (after is not None and _DIGITS.match(after)):
                self.value = f"{self.value or ''}."
        elif after in _ONES or after in _ZEROS:
            self.value = f"{self.value or ''}{str(_ONES.get(after, 0)) * _REPEATS[word]}"
            return True
        else:
            self._flush()
            self._emit(word)
        return False

    def _percent(self, word: str, after: str | None) -> bool:
        if self.value is not None and (word == "percent" or after == "cent"):
            self._emit(f"{self.value}%")
            return word == "per"
        self._flush()
        self._emit(word)
        return False

    def _digits(self, word: str, bare: str) -> None:
        if isinstance(self.value, str) and self.value.endswith("."):
            self.value += word
            return
        self._flush()
        if bare != word:
            self.prefix = word[0]
        number = Fraction(bare)
        self.value = number.numerator if number.denominator == 1 else bare

    def _plus_ones(self, ones: int, before: str | None) -> int | str:
        value = self.value
        if value is None:
            return ones
        if isinstance(value, str) or before in _ONES:
            # A ten that was appended as digits has its last zero replaced.
            return f"{str(value)[:-1]}{ones}" if before in _TENS and ones < 10 else f"{value}{ones}"
        return value + ones if value % (10 if ones < 10 else 100) == 0 else f"{value}{ones}"

    def _plus_tens(self, tens: int) -> int | str:
        value = self.value
        if value is None:
            return tens
        return value + tens if isinstance(value, int) and value % 100 == 0 else f"{value}{tens}"

    def _multiply(self, multiplier: int) -> None:
        if self.value is None:
            self.value = multiplier
        elif isinstance(self.value, str) or self.value == 0:
            product = _whole_product(self.value, multiplier)
            if product is None:
                self._flush()
            self.value = multiplier if product is None else product
        else:
            self.value = _scale_residual(self.value, multiplier)

    def _multiply_and_end(self, multiplier: int, suffix: str) -> None:
        result: int | None = multiplier
        if isinstance(self.value, str):
            result = _whole_product(self.value, multiplier)
        elif self.value is not None:
            result = _scale_residual(self.value, multiplier)
        if result is None:
            self._flush()
        self._emit(f"{multiplier if result is None else result}{suffix}")

    def _flush(self) -> None:
        if self.value is not None:
            self._emit(str(self.value))

    def _emit(self, text: str) -> None:
        self.out.append(self.prefix + text)
        self.value, self.prefix = None, ""


def _whole_product(value: int | str, multiplier: int) -> int | None:
    """`1.5` × 1000 = 1500; None where the digits are not a number (`1.2.3`) or the product has a fraction."""
    try:
        product = Fraction(value) * multiplier
    except ValueError:
        return None
    return product.numerator if product.denominator == 1 else None


def _scale_residual(value: int, multiplier: int) -> int:
    """`two thousand three` `hundred`: only the part below a thousand is multiplied."""
    thousands = value // 1000 * 1000
    return thousands + (value - thousands) * multiplier


def says_number(word: str, language: str = "en") -> bool:
    """Whether a word has a digit or numeral of any script or, in English, is part of a spelled-out number."""
    if any(unicodedata.numeric(character, None) is not None for character in word):
        return True
    return primary_language(language) == "en" and word.lower() in _SPELLED_OUT


_SPELLED_OUT = {*_ONES, *_TENS, *_MULTIPLIERS, *_ONES_ENDING, *_TENS_ENDING, *_MULTIPLIERS_ENDING, "zero"}

"""The options of a question, its key, and the option that an answer chooses."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from speech_eval.metrics.base import BadData
from speech_eval.records import Sample

LETTERS = "ABCDEFGHIJ"
LETTERED = tuple(f"choice_{letter.lower()}" for letter in LETTERS)  # columns of one option each
COLUMNS = frozenset({"choices", *LETTERED})

_PREFIX = re.compile(r"^\s*(?:\(([A-Ja-j])\)|([A-Ja-j])[.:)])\s*")
_LINES = re.compile(r"(?:^|\s)(?=\(?[A-J][.):]\)?\s)")
_SAID = re.compile(
    r"\b(?i:answer|option|choice)(?:\s+(?:is|would be|should be))?\s*[:=]?\s*[\"'*(\[]*([A-J])\b(?!\s+[a-z])|"
    r"^[\"'*(\[]*([A-J])[\"'*)\].:,]*(?:\s|$)"
)
# What people and models call the emotions that sets name by another word.
_ALIASES = (
    ("joy", "happy", "happiness", "joyful"),
    ("anger", "angry"),
    ("sadness", "sad"),
    ("fear", "fearful", "afraid"),
    ("surprise", "surprised"),
    ("disgust", "disgusted"),
    ("frustration", "frustrated"),
    ("excitement", "excited"),
)


def options_of(sample: Sample) -> list[str]:
    """The options as the data has them: the list `choices`, a text `choices` with one option per letter, or the columns
    `choice_a`, `choice_b`, … Raises `BadData` for a sample with fewer than two."""
    given = sample.metadata.get("choices")
    if isinstance(given, str):
        found = [part.strip() for part in _LINES.split(given) if part.strip()]
    elif isinstance(given, list):
        found = [str(option) for option in given]
    else:
        lettered = [sample.metadata.get(name) for name in LETTERED]
        found = [str(option) for option in lettered if option is not None]
    if len(found) < 2:
        raise BadData(f"Sample {sample.id} has no list of `choices`.", 'Write "choices": ["one", "another"].')
    return found


def key_of(sample: Sample, options: Sequence[str]) -> int:
    """The position of the right option: the first whose text is the reference, or the one of the reference's letter.

    Raises `BadData` where the reference is not one of the options.
    """
    right = sample.text or ""
    if right in options:
        return list(options).index(right)
    bare = [words(option) for option in options]
    if words(right) in bare:
        return bare.index(words(right))
    letter = re.fullmatch(r"\W*([A-Ja-j])\W*", right)
    if letter and LETTERS.index(letter[1].upper()) < len(options):
        return LETTERS.index(letter[1].upper())
    raise BadData(f"Sample {sample.id}: the reference '{right}' is not one of its options.", "Correct the data.")


def without_letter(option: str) -> str:
    """An option without the letter before it: `Man` of `(A) Man`."""
    return _PREFIX.sub("", option).strip()


def words(text: str) -> tuple[str, ...]:
    """The words of a text in lower case, without a letter of an option before them."""
    return tuple(re.findall(r"\w+", without_letter(text).casefold()))


def chosen(answer: str, options: Sequence[str]) -> int | None:
    """The option that an answer chooses; None where it names none, or several.

    In this order: the answer is one option's text; it begins with an option's letter, or says which letter the answer
    is; it holds the text of one option, longer options first, so that "not happy" is not "happy".
    """
    text = answer.strip().strip("*_`\"' \n")
    texts = [words(option) for option in options]
    spoken = words(text)
    if (exact := _only(at for at, option in enumerate(texts) if _same(option, spoken))) is not None:
        return exact
    if (letter := _letter(text, len(options))) is not None:
        return letter
    named = [(at, name) for at, option in enumerate(texts) for name in _names(option) if name and _within(name, spoken)]
    return _only(at for at, name in named if not any(_inside(name, other) for _, other in named))


def _letter(text: str, count: int) -> int | None:
    known = LETTERS[:count]
    plain = re.fullmatch(r"\W*([A-Ja-j])\W*", text)
    if plain and plain[1].upper() in known:
        return known.index(plain[1].upper())
    if (prefix := _PREFIX.match(text)) and (prefix[1] or prefix[2]).upper() in known:
        return known.index((prefix[1] or prefix[2]).upper())
    said = {letter for match in _SAID.finditer(text) for letter in match.groups() if letter and letter in known}
    article = {"A"} if re.match(r"A [a-z]", text) else set()
    return _only(known.index(letter) for letter in said - article)


def _names(option: tuple[str, ...]) -> list[tuple[str, ...]]:
    return [option, *((alias,) for group in _ALIASES if len(option) == 1 and option[0] in group for alias in group)]


def _same(option: tuple[str, ...], spoken: tuple[str, ...]) -> bool:
    return bool(spoken) and spoken in _names(option)


def _within(part: tuple[str, ...], whole: tuple[str, ...]) -> bool:
    return any(whole[at : at + len(part)] == part for at in range(len(whole) - len(part) + 1))


def _inside(option: tuple[str, ...], other: tuple[str, ...]) -> bool:
    return len(option) < len(other) and _within(option, other)


def _only(found: Iterable[int]) -> int | None:
    different = set(found)
    return different.pop() if len(different) == 1 else None

"""Patterns of answers, compiled to match anywhere, as in the original, or at word boundaries only."""

from __future__ import annotations

import re
from functools import cache

_START, _END = r"(?<![a-z0-9])", r"(?![a-z0-9])"
# The letter a is an article where a word follows that is not a conjunction.
_LETTERS = {"a": _START + r"a(?! (?!because\b|since\b|as\b|so\b|and\b)[a-z])" + _END}
_PLAIN = re.compile(
    r"[\W_]*(?:the )?(?:(?:correct|right|best|final) )?(?:(?:answer|option|choice|letter)\b)?"
    r"(?: is| would be| should be)?(?: \w+ly)?[\W_]*(?:(?:answer|option|choice|letter)\b)?[\W_]*([a-d])[\W_]*"
)


@cache
def compiled(pattern: str, letter: str = "", *, bounded: bool) -> re.Pattern[str]:
    """`pattern` for lower-case text: `«` and `»` anchor it, `…` is at least one character, `#` is `letter`.

    With `bounded`, neither the letter nor the pattern's ends may fall inside a word of Latin letters or digits.
    """
    start, end = pattern.startswith("«"), pattern.endswith("»")
    body = pattern[start : len(pattern) - end]
    slot = _LETTERS.get(letter, _START + letter + _END) if bounded else letter
    text = re.escape(body).replace("…", "(?:.+?)").replace(re.escape("#"), slot)
    if bounded:
        text = (_START if _in_word(body[0]) else "") + text + (_END if _in_word(body[-1]) else "")
    return re.compile((r"\A" if start else "") + text + (r"\Z" if end else ""))


def matches(pattern: str, text: str, letter: str = "", *, bounded: bool) -> bool:
    """Whether lower-case `text` holds `pattern`; see `compiled`."""
    return compiled(pattern, letter, bounded=bounded).search(text) is not None


def plain_letter(text: str, letters: str) -> str | None:
    """The letter of an answer that is only a letter: `B`, `(b)`, `**B**`, `Answer: B`, `Option B`, `[A]`."""
    match = _PLAIN.fullmatch(" ".join(text.lower().split()))
    return match[1] if match and match[1] in letters else None


def _in_word(character: str) -> bool:
    return character.isascii() and character.isalnum()

"""The 27 instructions of MMAU-Pro that a program checks, by the names that its data gives them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from speech_eval.metrics.voicebench.instructions import sentences

SOURCE = "sonalkum/MMAUPro at 960e93a: evaluate_mmau_pro_comprehensive.py"
_MOST = 999  # of a range that states no upper end
Given = Mapping[str, Any]
_Count = Callable[[str], int]


def follows(rule: str, given: Given, answer: str) -> bool:
    """Whether an answer follows an instruction, of which `given` are the arguments; one that states none counts as
    zero or an empty text. Raises `KeyError` for an instruction that is not one of `RULES`."""
    return RULES[rule](answer, {key: value for key, value in given.items() if value is not None})


def _text(given: Given, name: str) -> str:
    return str(given.get(name, ""))


def _number(given: Given, name: str = "N", default: int = 0) -> float:
    return float(given.get(name, default))


def _exactly(count: _Count) -> Callable[[str, Given], bool]:
    return lambda answer, given: count(answer) == _number(given)


def _at_least(count: _Count) -> Callable[[str, Given], bool]:
    return lambda answer, given: count(answer) >= _number(given)


def _at_most(count: _Count) -> Callable[[str, Given], bool]:
    return lambda answer, given: count(answer) <= _number(given)


def _within(count: _Count) -> Callable[[str, Given], bool]:
    return lambda answer, given: _number(given, "N1") <= count(answer) <= _number(given, "N2", _MOST)


def _matches(pattern: str) -> _Count:
    return lambda answer: len(re.findall(pattern, answer))


def _words(answer: str) -> int:
    return len(answer.split())


def _capitals(answer: str) -> int:
    return sum(word.isupper() for word in answer.split())


def _sentences(answer: str) -> int:
    return len(sentences(answer))


def _paragraphs(answer: str) -> int:
    return sum(bool(part.strip()) for part in answer.split("***"))


def _listed(given: Given, name: str) -> list[str]:
    return _text(given, name).lower().split(", ")


def _often(answer: str, given: Given) -> bool:
    word = re.escape(_text(given, "keyword").lower())
    return len(re.findall(rf"\b{word}\b", answer.lower())) == _number(given)


def _letters(text: str, kept: str = "a-zA-Z") -> str:
    return re.sub(rf"[^{kept}]", "", text).lower()


def _sections(answer: str, given: Given) -> bool:
    parts = re.split(rf"\s*{re.escape(_text(given, 'section_splitter'))}\s*", answer.strip())
    return sum(bool(part.strip()) for part in parts) == _number(given)


def _two(answer: str, given: Given) -> bool:
    parts = answer.split("******")
    return len(parts) == 2 and parts[0].lower().strip() != parts[1].lower().strip()


def _quoted(answer: str, given: Given) -> bool:
    return answer.strip().startswith('"') and answer.strip().endswith('"')


_SPACED = "a-zA-Z "
RULES: dict[str, Callable[[str, Given], bool]] = {
    "Include Keywords": lambda answer, given: all(word in answer.lower() for word in _listed(given, "keywords")),
    "Keyword Frequency": _often,
    "Forbidden Words": lambda answer, given: all(
        word not in answer.lower() for word in _listed(given, "forbidden_words")
    ),
    "Number Paragraphs": _exactly(_paragraphs),
    "Number Words (at least)": _at_least(_words),
    "Number Words (at most)": _at_most(_words),
    "Number Words (range)": _within(_words),
    "Number Sentences (at least)": _at_least(_sentences),
    "Number Sentences (at most)": _at_most(_sentences),
    "Number Sentences (range)": _within(_sentences),
    "Postscript": lambda answer, given: _letters(_text(given, "postscript_marker")) in _letters(answer),
    "Number Placeholder": _at_least(_matches(r"\[[^\]]+\]")),
    "Number Bullets": _exactly(_matches(r"(?:^|\n)\s*\*\s+")),
    "Title": lambda answer, _: re.search(r"<<[^>]+>>", answer) is not None,
    "Minimum Number Highlighted Section": _at_least(_matches(r"\*([^*]+)\*")),
    "Multiple Sections": _sections,
    "Repeat Prompt": lambda answer, given: answer.strip().lower().startswith(_text(given, "question").strip().lower()),
    "Two Responses": _two,
    "All Uppercase": lambda answer, _: answer.isupper(),
    "All Lowercase": lambda answer, _: answer.islower(),
    "All-capital Words (at least)": _at_least(_capitals),
    "All-capital Words (at most)": _at_most(_capitals),
    "All-capital Words (range)": _within(_capitals),
    "Start Checker": lambda answer, given: _letters(answer, _SPACED).startswith(
        _letters(_text(given, "start_phrase"), _SPACED)
    ),
    "End Checker": lambda answer, given: _letters(answer, _SPACED).endswith(
        _letters(_text(given, "end_phrase"), _SPACED)
    ),
    "Quotation": _quoted,
    "No Commas": lambda answer, _: "," not in answer,
}

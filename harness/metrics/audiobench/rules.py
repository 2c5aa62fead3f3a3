"""The thirteen rules of IFEval-Audio that a program checks, by number, as AudioBench's code does."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from speech_eval.text.files import parse_json

SOURCE = "AudioLLMs/AudioBench at e991641: src/dataset_src/eval_methods/eval_llama_3_70b_combined.py"
_BRACKETS = {"()": ("(", ")"), "[]": ("[", "]"), "{}": ("{", "}"), "<>": ("<", ">")}
_NO_LIMIT = 99999
_ROMAN = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}


def follows(rule: str, target: str, answer: str) -> bool:
    """Whether an answer keeps a rule, which may be empty. Raises `KeyError` for a rule that is not 1 to 13."""
    return not rule or RULES[rule](answer, target)


def says_nothing(rule: str, target: str, answer: str) -> bool:
    """Whether an answer keeps the rule only because it has nothing that the rule is about: no letter, no line, not the
    word."""
    if rule in ("3", "4"):
        return not any(character.isalpha() for character in answer)
    if rule in ("5", "6"):
        return not _words(answer, target)
    return rule == "11" and not answer.strip()


def _words(answer: str, word: str) -> list[str]:
    return re.findall(rf"\b{re.escape(word)}\b", answer, re.IGNORECASE)


def _letters(answer: str, kind: Callable[[str], bool]) -> bool:
    return all(kind(character) for character in answer if character.isalpha())


def _word_is(answer: str, word: str, kind: Callable[[str], bool]) -> bool:
    found = _words(answer, word)
    return not found or any(map(kind, found))


def _quoted(answer: str, target: str) -> bool:
    start, end = _BRACKETS.get(target, (target, target))
    return bool(target) and answer.startswith(start) and answer.endswith(end)


def _list(answer: str, target: str) -> bool:
    """Lines that begin with a mark, those of a numbered list counting up by one. Lines without a mark do not matter."""
    if target not in _MARKS:
        return False
    lines = [line.strip() for line in answer.splitlines() if line.strip()]
    mark, value = _MARKS[target]
    found = [match[0] for line in lines if (match := re.match(mark, line))]
    if not lines or not found or target == "0":
        return not lines or bool(found)
    numbers = [value(mark[:-1]) for mark in found]
    return all(after == before + 1 for before, after in pairwise(numbers))


def _roman(text: str) -> int:
    total = before = 0
    for letter in reversed(text):
        value = _ROMAN[letter]
        total += value if value >= before else -value
        before = value
    return total


_MARKS: dict[str, tuple[str, Callable[[str], int]]] = {
    "0": (r"-", len),
    "1": (r"\d{1,1000}\.", int),
    "2": (r"[IVXLCDM]+\.", _roman),
    "3": (r"[A-Z]\.", ord),
}


def _length(answer: str, target: str) -> bool:
    """Whether an answer has as many words as the target `least-most` says; 0 means unlimited."""
    try:
        least, most = (int(bound) for bound in target.split("-"))
    except ValueError:
        return False
    return least <= len(answer.split()) <= (most or _NO_LIMIT)


def _structure(answer: str, target: str) -> bool:
    """Whether the answer holds a JSON object with the keys and types of the target's."""
    given, wanted = _object(answer), _object(target)
    return isinstance(given, dict) and isinstance(wanted, dict) and _same_shape(given, wanted)


def _object(text: str) -> Any:
    """What lies between the first and the last brace, read as JSON, or with quotes put around its keys; else None."""
    start, end = text.find("{"), text.rfind("}")
    if start == -1 or end < start:
        return None
    inner = re.sub(r"\\{2,}", r"\\", text[start : end + 1])
    for form in (inner, re.sub(r"\b(\w+):", r'"\1":', inner.replace('\\"', '"'))):
        try:
            return parse_json(form)
        except ValueError:
            continue
    return None


def _same_shape(given: Any, wanted: Any) -> bool:
    if isinstance(wanted, dict):
        if not isinstance(given, dict) or {key.strip() for key in given} != {key.strip() for key in wanted}:
            return False
        return all(_same_shape(given[key], wanted[key]) for key in wanted)
    if isinstance(wanted, list):
        return isinstance(given, list)
    if type(wanted) in (int, float):
        return type(given) in (int, float)
    return type(given) is type(wanted)


RULES: dict[str, Callable[[str, str], bool]] = {
    "1": lambda answer, word: bool(_words(answer, word)),
    "2": lambda answer, word: not _words(answer, word),
    "3": lambda answer, _: _letters(answer, str.isupper),
    "4": lambda answer, _: _letters(answer, str.islower),
    "5": lambda answer, word: _word_is(answer, word, str.isupper),
    "6": lambda answer, word: _word_is(answer, word, str.islower),
    "7": lambda answer, start: bool(start) and answer.startswith(start),
    "8": lambda answer, end: bool(end) and answer.endswith(end),
    "9": _quoted,
    "10": lambda answer, _: not re.search(r"[^\w\s]|_", answer),
    "11": _list,
    "12": _length,
    "13": _structure,
}

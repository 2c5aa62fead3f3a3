"""What goes wrong in answers, over all samples of a task: confused words, deleted and invented phrases, loops, speech
where there is none; and how numbers and names fare beside the other words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from speech_eval.analysis.text_diff import TOKEN, Piece, difference
from speech_eval.records import Estimate, Sample
from speech_eval.statistics.bootstrap import estimate
from speech_eval.statistics.summaries import Summary, clusters
from speech_eval.text import primary_language
from speech_eval.text.numbers import says_number

Kind = Literal["confused", "deleted", "invented", "loop", "no speech", "unrelated", "answer"]
LONGEST = 4000  # words of a text that are compared
_PERIOD = 12  # words of the longest phrase that is looked for in loops
_REPEATED = 4  # words that say again what came just before: fewer do not make a loop
_UNRELATED = 4  # words of an answer that has none of the reference: fewer are a misheard short sentence
_RATE = Summary("rate", "ratio", ("errors", "words"), "%", "lower", 100.0)
_WORD = re.compile(r"[^\W\d_][\w'’-]*")
_TITLE = 0.5  # share of capitals from which a text is a title, whose capitals say nothing
CLASSES = ("numbers", "names", "other words")


@dataclass(frozen=True, slots=True)
class Compared:
    """The normalized texts that a metric compared for one sample; `sample` holds the text as it is written."""

    sample: Sample
    reference: str
    hypothesis: str


@dataclass(frozen=True)
class Pattern:
    """An error that occurs `count` times, in the samples `ids` (most occurrences first). `word_class` is that of the
    reference's words, of invented ones that of the words themselves."""

    kind: Kind
    reference: str
    hypothesis: str
    count: int
    ids: tuple[str, ...]
    word_class: str = "other words"


@dataclass(frozen=True)
class ClassRate:
    """Errors in one class of words: `errors` over `words` of the references, in per cent. Invented numbers count as
    errors in numbers, other invented words as errors in other words."""

    name: str
    words: int
    errors: int
    rate: Estimate


def patterns(found: Iterable[tuple[str, Kind, str, str, str]]) -> dict[Kind, list[Pattern]]:
    """Group occurrences (sample id, kind, reference, hypothesis, class) by what they are; most frequent first, longer
    ones before shorter ones."""
    counts: dict[tuple[Kind, str, str, str], Counter[str]] = {}
    for key, kind, reference, hypothesis, word_class in found:
        counts.setdefault((kind, reference, hypothesis, word_class), Counter())[key] += 1
    grouped: dict[Kind, list[Pattern]] = {}
    for (kind, reference, hypothesis, word_class), ids in counts.items():
        ordered = tuple(key for key, _ in sorted(ids.items(), key=lambda item: (-item[1], item[0])))
        made = Pattern(kind, reference, hypothesis, ids.total(), ordered, word_class)
        grouped.setdefault(kind, []).append(made)
    for own in grouped.values():
        own.sort(key=lambda one: (-one.count, -len(one.reference.split() + one.hypothesis.split()), one.reference))
    return grouped


def occurrences(compared: Compared) -> Iterator[tuple[str, Kind, str, str, str]]:
    """The errors of one sample, but for loops."""
    sample, language = compared.sample, compared.sample.language
    if not TOKEN.search(compared.hypothesis):
        return
    if not TOKEN.search(compared.reference):
        yield sample.id, "no speech", "", compared.hypothesis, "other words"
        return
    pieces = _pieces(compared)
    if not any(piece.kind == "equal" for piece in pieces) and len(TOKEN.findall(compared.hypothesis)) >= _UNRELATED:
        yield sample.id, "unrelated", compared.reference, compared.hypothesis, "other words"
        return
    capitals = names(sample)
    for piece in pieces:
        if piece.kind == "substitute":
            for one, other in zip(piece.reference.split(" "), piece.hypothesis.split(" "), strict=True):
                yield sample.id, "confused", one, other, _class([one], capitals, language, [other])
        elif piece.kind == "delete":
            yield sample.id, "deleted", piece.reference, "", _class(piece.reference.split(" "), capitals, language)
        elif piece.kind == "insert":
            yield sample.id, "invented", "", piece.hypothesis, _class(piece.hypothesis.split(" "), set(), language)


def loops(key: str, answer: str, reference: str = "") -> Iterator[tuple[str, Kind, str, str, str]]:
    """The phrases that an answer repeats without end: at least `_REPEATED` words that say again what came just before,
    unless the reference repeats the phrase as often."""
    words = _plain_words(answer)
    known = _plain_words(reference)
    at = 0
    while at < len(words):
        period, times = _repeats(words, at)
        phrase = words[at : at + period]
        if period * (times - 1) >= _REPEATED and not _holds(known, phrase * times):
            yield key, "loop", "", f"{' '.join(phrase)} ×{times}", "other words"
            at += period * times
        else:
            at += 1


def _repeats(words: Sequence[str], at: int) -> tuple[int, int]:
    """The shortest phrase at a place that is said again at once, often enough for a loop, and how often it is said."""
    for period in range(1, _PERIOD + 1):
        times = 1
        while words[at + times * period : at + (times + 1) * period] == words[at : at + period] and (
            at + (times + 1) * period <= len(words)
        ):
            times += 1
        if period * (times - 1) >= _REPEATED:
            return period, times
    return 1, 1


def _holds(words: Sequence[str], phrase: Sequence[str]) -> bool:
    return any(words[at : at + len(phrase)] == phrase for at in range(len(words) - len(phrase) + 1))


def _plain_words(text: str) -> list[str]:
    found = (re.sub(r"^\W+|\W+$", "", word).casefold() for word in TOKEN.findall(text)[:LONGEST])
    return [word for word in found if word]


def class_rates(found: Sequence[Compared]) -> list[ClassRate]:
    """Error rates of numbers, names and other words, with intervals clustered as all are; none where nothing was
    compared."""
    if not found:
        return []
    counts = np.zeros((len(CLASSES), len(found), 2))  # errors and words
    for at, one in enumerate(found):
        capitals, language = names(one.sample), one.sample.language
        for piece in _pieces(one):
            side = piece.hypothesis if piece.kind == "insert" else piece.reference
            for word in side.split(" "):
                own = CLASSES.index(_class([word], set() if piece.kind == "insert" else capitals, language))
                counts[own, at] += piece.kind != "equal", piece.kind != "insert"
    labels = clusters([one.sample for one in found])
    return [_class_rate(name, own, labels) for name, own in zip(CLASSES, counts, strict=True)]


def _class_rate(name: str, counts: npt.NDArray[np.float64], labels: Sequence[Hashable] | None) -> ClassRate:
    errors, words = counts.sum(0)
    parts = [{"errors": error, "words": word} for error, word in counts.tolist()]
    return ClassRate(name, int(words), int(errors), estimate(_RATE, parts, seed=f"classes/{name}", clusters=labels))


def names(sample: Sample) -> set[str]:
    """The words of a sample that its text writes with a capital within a sentence, without case. None where capitals
    say nothing: in German, in titles, in texts of capitals alone."""
    text = sample.text or ""
    if primary_language(sample.language) == "de" or text == text.upper():
        return set()
    inner = [match for match in _WORD.finditer(text) if not _starts_sentence(text, match.start())]
    capitals = [m.group() for m in inner if m.group()[0].isupper() and re.split("['’]", m.group())[0] != "I"]
    if not capitals or (len(inner) > 3 and len(capitals) > _TITLE * len(inner)):
        return set()
    small = {match.group() for match in inner}
    found = {re.sub("['’]s$", "", word).casefold() for word in capitals if word.lower() not in small}
    return {part for word in found for part in (word, f"{word}'s", *word.split("-"))}


def _starts_sentence(text: str, at: int) -> bool:
    before = text[:at].rstrip(" \t\n\"'“”‘’([{«-–—")
    return not before or before[-1] in ".!?:…。！？"


def _class(words: Sequence[str], capitals: set[str], language: str, heard: Sequence[str] = ()) -> str:
    """`numbers` where one of the words, written or heard, says a number, else `names` where one is a name."""
    if any(says_number(word, language) for word in (*words, *heard)):
        return "numbers"
    return "names" if any(word.casefold() in capitals for word in words) else "other words"


def _pieces(compared: Compared) -> list[Piece]:
    sides = (" ".join(TOKEN.findall(text)[:LONGEST]) for text in (compared.reference, compared.hypothesis))
    return difference(*sides)

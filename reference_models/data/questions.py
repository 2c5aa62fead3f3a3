"""Questions with short answers for a synthetic voice to ask: opposites, and what kind of thing something is.

Both follow from the relations of WordNet (see `natural.py`) between words that its own examples and definitions use
often. None has the words of a question of the bundled dataset `spoken-qa`, which models are evaluated on.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from speech_eval.assets import store as assets
from speech_eval.progress import Progress, silent
from speech_eval.reference_models.data.natural import ASSET, evaluated_on, spoken_words

KINDS = {"05": "an animal", "06": "something that people make", "08": "part of the body", "13": "food", "20": "a plant"}
"""The lexicographer files of WordNet's nouns that are asked for."""
_OFTEN = 5  # times that a word occurs in WordNet's definitions and examples


@dataclass(frozen=True)
class Question:
    """A question, and what is to be said."""

    text: str
    answer: str


@dataclass(frozen=True)
class _Synset:
    """One line of a data file: its kind, its words, and pointers (symbol, offset, part, number of its word, of the
    target's)."""

    kind: str
    words: tuple[str, ...]
    pointers: tuple[tuple[str, str, str, int, int], ...]


def questions(count: int | None = None, seed: int = 0, progress: Progress = silent) -> list[Question]:
    """`count` different questions (all if None or if there are fewer), in an order that `seed` draws; half of those
    about kinds have the answer yes. A smaller count gives the first ones of a larger."""
    chosen = list(_all(assets.ensure(ASSET, progress)))
    random.Random(seed).shuffle(chosen)
    return chosen[:count]


@cache
def _all(folder: Path) -> tuple[Question, ...]:
    texts = {path.name.removeprefix("data."): path.read_text("latin-1") for path in sorted(folder.glob("data.*"))}
    often = Counter(re.findall(r"[a-z]{3,}", " ".join(map(_glosses, texts.values())).lower()))
    known = {word for word, times in often.items() if times >= _OFTEN}
    found = [*_opposites(_synsets(texts["adj"]), known), *_kinds(_synsets(texts["noun"]), known)]
    taken, kept = evaluated_on(), {spoken_words(one.text): one for one in found}
    return tuple(one for words, one in kept.items() if words not in taken)


def _glosses(text: str) -> str:
    """The definitions and examples of a data file."""
    return " ".join(line.partition("|")[2] for line in text.splitlines())


def _synsets(text: str) -> dict[str, _Synset]:
    """The synsets of a data file by offset."""
    found = {}
    for line in text.splitlines():
        if line.startswith(" "):  # the license
            continue
        fields = line.partition("|")[0].split()
        words = int(fields[3], 16)
        at = 4 + 2 * words
        pointers = []
        for place in range(at + 1, at + 1 + 4 * int(fields[at]), 4):
            symbol, offset, part, numbers = fields[place : place + 4]
            pointers.append((symbol, offset, part, int(numbers[:2], 16), int(numbers[2:], 16)))
        names = tuple(re.sub(r"\(\w+\)$", "", fields[4 + 2 * number]) for number in range(words))
        found[fields[0]] = _Synset(fields[1], names, tuple(pointers))
    return found


def _opposites(synsets: dict[str, _Synset], known: set[str]) -> Iterator[Question]:
    """Pairs of adjectives that are antonyms of each other, in every sense that has an antonym."""
    pairs: dict[str, set[str]] = {}
    for synset in synsets.values():
        for symbol, offset, part, source, target in synset.pointers:
            if symbol == "!" and part == "a":
                word, other = synset.words[source - 1], synsets[offset].words[target - 1]
                pairs.setdefault(word, set()).add(other)
    for word, others in sorted(pairs.items()):
        (other, *more) = sorted(others)
        if not more and {word, other} <= known:
            yield Question(f"What is the opposite of {word}?", f"{other.capitalize()}.")


def _kinds(synsets: dict[str, _Synset], known: set[str]) -> Iterator[Question]:
    """Nouns all of whose senses are of one kind: asked for that kind, and for another."""
    kinds: dict[str, set[str]] = {}
    for synset in synsets.values():
        for word in synset.words:
            kinds.setdefault(word, set()).add(synset.kind)
    for word, (kind, *more) in sorted((word, sorted(found)) for word, found in kinds.items()):
        if more or kind not in KINDS or word not in known:
            continue
        article = "an" if word[0] in "aeiou" else "a"
        other = random.Random(word).choice([name for number, name in KINDS.items() if number != kind])
        yield Question(f"Is {article} {word} {KINDS[kind]}?", "Yes.")
        yield Question(f"Is {article} {word} {other}?", "No.")

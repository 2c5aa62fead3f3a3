"""Natural English sentences for a synthetic voice to speak: examples that WordNet quotes to show how words are used.

WordNet 3.0, Copyright 2006 by Princeton University, under its own license; fetched as an asset, never bundled. They
cover far more words than the grammar of `sentences.py`, which is for sounds: a model that learns words needs these.
"""

from __future__ import annotations

import random
import re
from functools import cache

from speech_eval import datasets
from speech_eval.assets import store as assets
from speech_eval.progress import Progress, silent

ASSET = "wordnet"
SOURCE = "quoted examples of WordNet 3.0 (Princeton University)"
WORDS, LONG = (3, 9), (3, 20)  # in a sentence
_ONWARD = ("and", "but", "because", "so", "while", "when", "if", "although")
_EVALUATED = ("sentences-en", "asterisk-en", "librivox-en", "spoken-qa")
_QUOTED = re.compile(r'"([^"]+)"')
# Words, apostrophes, hyphens and the marks of a sentence: no digits, abbreviations, symbols or quotations.
_SPEAKABLE = re.compile(r"[A-Za-z][a-z']*(?:-[a-z']+)*(?:[,;:]? [A-Za-z][a-z']*(?:-[a-z']+)*)*[.!?]?")


def natural_sentences(
    count: int | None = None, seed: int = 0, progress: Progress = silent, words: tuple[int, int] = WORDS
) -> list[str]:
    """`count` different sentences of 3 to 9 words, or as many as `words` allows (all if None or if there are fewer), in
    an order that `seed` draws; a smaller count gives the first ones of a larger. None has the words of what the bundled
    English datasets say or ask.
    """
    folder = assets.ensure(ASSET, progress)
    taken = set(evaluated_on())
    found = []
    for file in sorted(folder.glob("data.*")):
        for line in file.read_text("latin-1").splitlines():
            for example in _QUOTED.findall(line.partition("|")[2]):
                text = _sentence(example, words)
                if text is not None and (said := spoken_words(text)) not in taken:
                    taken.add(said)
                    found.append(text)
    random.Random(seed).shuffle(found)
    return found[:count]


def long_sentences(count: int | None = None, seed: int = 0, progress: Progress = silent) -> list[str]:
    """`count` sentences as those of `natural_sentences`, but of 3 to 20 words: of every three, two are joined to one
    unless that is longer. No sentence occurs twice."""
    found, draw, texts = natural_sentences(None, seed, progress, LONG), random.Random(seed), list[str]()
    for first, second, alone in zip(found[::3], found[1::3], found[2::3], strict=False):
        joined = f"{first[:-1]}, {draw.choice(_ONWARD)} {second[0].lower()}{second[1:]}"
        texts += [joined, alone] if len(joined.split()) <= LONG[1] else [first, second, alone]
    return texts[:count]


@cache
def evaluated_on() -> frozenset[str]:
    """The words of every text and question of the bundled English datasets, and of each sentence in them."""
    samples = [sample for name in _EVALUATED for sample in datasets.load_dataset(name).samples]
    texts = [text for sample in samples for text in (sample.text, sample.prompt_text) if text]
    texts += [part["text"] for sample in samples for part in sample.metadata.get("speech", [])]
    return frozenset(spoken_words(part) for text in texts for part in (text, *re.split(r"[.?!:]", text)))


def spoken_words(text: str) -> str:
    """Lower case, letters and apostrophes only: two texts with equal words sound the same."""
    return " ".join(re.findall(r"[a-z']+", text.lower()))


def _sentence(example: str, words: tuple[int, int]) -> str | None:
    """An example as a sentence with a capital and a final mark; None for one that cannot be spoken as it is written."""
    text = " ".join(example.split())
    shortest, longest = words
    if not _SPEAKABLE.fullmatch(text) or not shortest <= len(text.split()) <= longest:
        return None
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?" else ".")

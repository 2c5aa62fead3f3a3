"""Any number of English sentences for a synthetic voice to speak: a small grammar over everyday words and a lexicon.

The grammar and its everyday words (everyday.yaml) were written for this project; rare nouns, adjectives and adverbs are
those in the lexicon of hibari's tagger (Apache-2.0). The sentences make sense only by chance; their purpose is that
every sound occurs beside every other, at the rhythm of sentences. None of them is in the bundled datasets.
"""

from __future__ import annotations

import gzip
import json
import random
import re
from pathlib import Path

import yaml

from speech_eval import datasets
from speech_eval.errors import require

SOURCE = "a grammar of this project over words of hibari's tagger (Apache-2.0)"
_TAGS = {"NN": "rare_noun", "JJ": "rare_adjective", "RB": "rare_adverb"}


def sentences(count: int, seed: int = 0) -> list[str]:
    """`count` different sentences, the same for the same seed; a smaller count gives the first ones of a larger."""
    known = {sample.text for name in ("sentences-en", "asterisk-en") for sample in datasets.load_dataset(name).samples}
    grammar, draw = _grammar(), random.Random(seed)
    found: dict[str, None] = {}
    while len(found) < count:
        text = re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", _expand("{sentence}", grammar, draw))
        text = text[0].upper() + text[1:]
        if text not in known:
            found.setdefault(text)
    return list(found)


def _expand(text: str, grammar: dict[str, list[str]], draw: random.Random) -> str:
    return re.sub(r"\{(\w+)\}", lambda name: _expand(draw.choice(grammar[name[1]]), grammar, draw), text)


def _grammar() -> dict[str, list[str]]:
    grammar: dict[str, list[str]] = yaml.safe_load((Path(__file__).parent / "everyday.yaml").read_text("utf-8"))
    package = Path(require("hibari", "tts", "hibari-tts").__file__).parent
    with gzip.open(package / "assets" / "tagger.json.gz", "rt", encoding="utf-8") as file:
        tags: dict[str, str] = json.load(file)["tagdict"]
    for word, tag in tags.items():
        if tag in _TAGS and len(word) > 2 and word.isascii() and word.isalpha() and word.islower():
            grammar.setdefault(_TAGS[tag], []).append(word)
    return grammar

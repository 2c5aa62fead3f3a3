"""The English normalizers of the Open ASR Leaderboard, one for each epoch of its protocol.

Epoch A is Whisper's English normalizer with another spelling table. B adds fillers, name variants, joined acronyms
and compounds, and writes out `'s` after thirteen words only; C adds compounds and spellings; D writes "flyer" as
"flier"; E is D. Same answers as huggingface/open_asr_leaderboard, `normalizer/normalizer.py`, at b5b410e (A), 31c5b6f
(B, its last state), 6962cd2 (C), f51b134 (D) and d1e99b2 (E). Word lists: `data/open_asr_english.json`, Apache-2.0.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import groupby
from typing import Literal

from speech_eval.text.numbers import standardize_numbers
from speech_eval.text.whisper import EXPANSIONS, FILLERS, plain_letters, spelling_table, without_brackets

Epoch = Literal["A", "B", "C", "D", "E"]
EPOCHS: tuple[Epoch, ...] = ("A", "B", "C", "D", "E")
# Text in place of a reference where a recording is not to be scored.
NOT_SCORED = "ignore time segment in scoring"

_MORE_FILLERS = re.compile(
    r"\b(hmm|mm|mhm|mmm|uh|um|ah|aha|ahh|ahm|eh|ehehe|em|hm|huh|hum|mhum|uhm|umm|uhuh)\b",
)
_IS_AFTER = re.compile(r"\b(it|he|she|what|that|who|here|there|how|when|where|why|this)'s\b")

_COMPOUNDS_B = (
    *("wi fi", "hi fi", "lo fi", "sci fi", "e mail", "e book", "e commerce", "x ray", "t shirt", "a m", "p m"),
    *("o k",),
)
_COMPOUNDS_C = ("et cetera", "al right", "all right", "how ever", *_COMPOUNDS_B)
# Compounds that become something other than one word.
_JOINED = {"o k": "okay", "et cetera": "etc", "all right": "alright"}

Replacements = tuple[tuple[re.Pattern[str], str], ...]


@dataclass(frozen=True)
class _Rules:
    """The rules that differ between epochs."""

    fillers: re.Pattern[str]
    expansions: Replacements
    compounds: Replacements
    spelling: dict[str, str]
    names: dict[str, str]
    acronyms: bool


def open_asr_english(text: str, epoch: Epoch) -> str:
    """`text` as the leaderboard compares it in `epoch`; a space may be left at an end, where a symbol was."""
    rules = _rules(epoch)
    text = rules.fillers.sub("", without_brackets(text.lower()))
    text = re.sub(r"\s+'", "'", text)
    for pattern, expansion in rules.expansions:
        text = pattern.sub(expansion, text)
    text = re.sub(r"(\d),(\d)", r"\1\2", text)
    text = re.sub(r"\.([^0-9]|$)", r" \1", text)
    text = plain_letters(text)
    for pattern, joined in rules.compounds:
        text = pattern.sub(joined, text)
    words = [rules.spelling.get(word, word) for word in standardize_numbers(text).split()]
    words = [rules.names.get(word, word) for word in words]
    text = " ".join(_join_acronyms(words) if rules.acronyms else words)
    # Symbols that do not belong to a number are removed last.
    text = re.sub(r"[.$¢€£]([^0-9])", r" \1", text)
    text = re.sub(r"([^0-9])%", r"\1 ", text)
    return re.sub(r"\s+", " ", text)


def _join_acronyms(words: Sequence[str]) -> Iterator[str]:
    """Runs of single letters and digits in one word: two or more, three or more where "a" or "i" is among them."""
    for single, group in groupby(words, key=lambda word: len(word) == 1 and word.isalnum()):
        run = list(group)
        if single and len(run) >= (3 if "a" in run or "i" in run else 2):
            yield "".join(run)
        else:
            yield from run


@cache
def _rules(epoch: Epoch) -> _Rules:
    lists = json.loads(files("speech_eval.text").joinpath("data/open_asr_english.json").read_text(encoding="utf-8"))
    spelling = spelling_table()
    for earlier in EPOCHS[: EPOCHS.index(epoch) + 1]:
        changed = {**spelling, **lists["spelling"].get(earlier, {})}
        spelling = {word: american for word, american in changed.items() if american is not None}
    if epoch == "A":
        return _Rules(FILLERS, tuple(EXPANSIONS), (), spelling, {}, acronyms=False)
    compounds = _COMPOUNDS_B if epoch == "B" else _COMPOUNDS_C
    return _Rules(_MORE_FILLERS, _expansions(), _patterns(compounds), spelling, lists["names"], acronyms=True)


def _expansions() -> Replacements:
    """Whisper's, in Whisper's order, with `'s` after the listed words only."""
    return tuple(
        (_IS_AFTER, r"\1 is") if pattern.pattern == r"'s\b" else (pattern, expansion)
        for pattern, expansion in EXPANSIONS
    )


def _patterns(compounds: Sequence[str]) -> Replacements:
    return tuple(
        (re.compile(rf"\b{first}\s+{second}\b"), _JOINED.get(compound, first + second))
        for compound in compounds
        for first, second in [compound.split()]
    )

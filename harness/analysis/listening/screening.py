"""Which raters count: stated rules, each with its numbers.

attention   at least three of four attention checks right (speech in loud noise, the same voice, other words)
variance    ratings of a kind vary by at least .1 (ITU-T P.808 practice), over at least eight ratings
reference   the hidden reference below 90 in at most 15 % of the items (ITU-R BS.1534-3, 4.1.2)
mid anchor  the mid anchor above 90 in at most 15 % of the items. Items where more than a quarter of the raters put it
            above 90 do not count as slips, but stay in the number of items, which is the milder reading
headphones  at least five of the six headphone checks right; only where it is asked for
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil

import numpy as np

from speech_eval.analysis.listening.description import MID_ANCHOR, REFERENCE, Answers, Key
from speech_eval.analysis.listening.kinds import KINDS
from speech_eval.analysis.listening.votes import Vote

HIGH = 90  # grade of BS.1534
_ITEMS, _RATERS = 0.15, 0.25  # shares of BS.1534
_CHECKS = 0.75
_VARIANCE, _VOTES = 0.1, 8
NEEDED_TONES = 5 / 6  # of the headphone check


def screen(key: Key, answers: Sequence[Answers], votes: Sequence[Vote], *, headphones: bool = False) -> dict[str, str]:
    """Why raters do not count, by rater; those who count are not in it."""
    grades = _grades(votes)
    weak = _weak_items(grades)
    found = {}
    for one in answers:
        own = [vote for vote in votes if vote.rater == one.rater]
        reasons = [*_attention(own), *_variance(own), *_bs1534(grades.get(one.rater, {}), weak)]
        if headphones:
            reasons += _headphones(one, key)
        if reasons:
            found[one.rater] = "; ".join(reasons)
    return found


def passed(vote: Vote) -> bool:
    """Whether the answer to an attention check is the right one."""
    value = vote.values[0]
    return {
        "mos": value <= 2,  # speech in loud noise
        "smos": value >= 4,  # the voice beside itself
        "same-words": value == 0,  # the words of another sample
        "cmos": value > 0,  # the clean sound is the first one
        "ab": value == 1,
        "abx": value == 1,
    }[vote.kind]


def right_tones(one: Answers, key: Key) -> int:
    """How many items of the headphone check are right."""
    return sum(given == right for given, right in zip(one.headphones, key.quietest, strict=False))


def bs1534_excludes(slips: int, items: int) -> bool:
    """Whether so many slips in so many items are more than 15 %."""
    return slips > _ITEMS * items


def _attention(own: Sequence[Vote]) -> list[str]:
    checks = [passed(vote) for vote in own if vote.check]
    if sum(checks) >= ceil(_CHECKS * len(checks)):
        return []
    return [f"attention: {sum(checks)} of {len(checks)} checks right"]


def _variance(own: Sequence[Vote]) -> list[str]:
    found = []
    for kind in ("mos", "smos", "cmos"):
        values = [value for vote in own if vote.kind == kind and not vote.check for value in vote.values[:1]]
        if len(values) >= _VOTES and float(np.var(values)) < _VARIANCE:
            found.append(f"variance: {len(values)} {kind} ratings are nearly equal")
    return found


def _grades(votes: Sequence[Vote]) -> dict[str, dict[str, dict[str, float]]]:
    """MUSHRA grades by rater, sample and condition."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for vote in votes:
        if KINDS[vote.kind].style == "many":
            found.setdefault(vote.rater, {})[vote.sample] = dict(zip(vote.conditions, vote.values, strict=True))
    return found


def _weak_items(grades: Mapping[str, Mapping[str, Mapping[str, float]]]) -> set[str]:
    """Items where more than a quarter of the raters put the mid anchor above 90."""
    items = {sample for own in grades.values() for sample in own}
    weak = set()
    for item in items:
        given = [own[item][MID_ANCHOR] for own in grades.values() if item in own and MID_ANCHOR in own[item]]
        if sum(grade > HIGH for grade in given) > _RATERS * len(given):
            weak.add(item)
    return weak


def _bs1534(own: Mapping[str, Mapping[str, float]], weak: set[str]) -> list[str]:
    found = []
    low = sum(grades[REFERENCE] < HIGH for grades in own.values())
    if bs1534_excludes(low, len(own)):
        found.append(f"reference: below {HIGH} in {low} of {len(own)} items")
    high = sum(grades.get(MID_ANCHOR, 0) > HIGH for item, grades in own.items() if item not in weak)
    if bs1534_excludes(high, len(own)):
        found.append(f"mid anchor: above {HIGH} in {high} of {len(own)} items")
    return found


def _headphones(one: Answers, key: Key) -> list[str]:
    right = right_tones(one, key)
    if right >= NEEDED_TONES * len(key.quietest):
        return []
    return [f"headphones: {right} of {len(key.quietest)} right"]

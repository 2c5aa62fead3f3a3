"""Answers as votes: what a rater said of a sound, turned back from the order in which it was presented."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from speech_eval.analysis.listening.description import Answers, Key, KeyTrial
from speech_eval.analysis.listening.kinds import KINDS


@dataclass(frozen=True)
class Vote:
    """One rater's answer to one trial, by the sounds of the key: `values` has one number per condition.

    A rating or grade is that of the condition. A comparison (`cmos`) gives the second condition's lead and its
    negative; a preference 1, 0 or ½ each; an ABX trial 1 where the answer is right, for both. `text` is free text.
    """

    rater: str
    kind: str
    sample: str
    conditions: tuple[str, ...]
    values: tuple[float, ...]
    text: str = ""
    check: bool = False


def votes_of(key: Key, answers: Iterable[Answers]) -> list[Vote]:
    """The votes of all raters, without those of practice trials."""
    found = []
    for one in answers:
        orders = {step.trial: step.order for step in key.forms[one.form]}
        for answer in one.answers:
            trial = key.trials[answer.trial]
            if not trial.practice:
                found.append(_vote(one.rater, trial, orders[answer.trial], answer.value))
    return found


def _vote(rater: str, trial: KeyTrial, order: Sequence[int], value: int | list[int] | str) -> Vote:
    kind = KINDS[trial.kind]
    names = [sound.condition for sound in trial.sounds]
    if isinstance(value, str):
        return Vote(rater, trial.kind, trial.sample, tuple(names), (), value, trial.check)
    if isinstance(value, list):
        by_place = dict(zip(order, value, strict=True))
        values = [float(by_place[place]) for place in range(len(names))]
    elif kind.style == "single":
        values = [float(value)]
    elif trial.kind == "abx":
        names = names[:2]
        right = order[value] == order[2] - 2  # which of the two sounds X was, against the one that was named
        values = [float(right)] * 2
    else:
        second = float(value) if trial.kind == "cmos" else (value + 1) / 2
        first = -second if trial.kind == "cmos" else 1 - second
        values = [first, second] if list(order[:2]) == [0, 1] else [second, first]
    return Vote(rater, trial.kind, trial.sample, tuple(names), tuple(values), check=trial.check)


@dataclass(frozen=True)
class Marks:
    """Numbers of one kind for one condition (or the difference of two): value, rater and sample of each."""

    values: list[float]
    raters: list[str]
    samples: list[str]


def marks(votes: Iterable[Vote], kind: str) -> dict[str, Marks]:
    """The votes of a kind by condition, one per rater and sample: the mean where there are several comparisons."""
    cells: dict[str, dict[tuple[str, str], list[float]]] = defaultdict(lambda: defaultdict(list))
    for vote in votes:
        if vote.kind == kind and not vote.check:
            for condition, value in zip(vote.conditions, vote.values, strict=False):
                cells[condition][vote.rater, vote.sample].append(value)
    return {condition: _marks(held) for condition, held in cells.items()}


def differences(votes: Sequence[Vote], kind: str, one: str, other: str) -> Marks:
    """What the same raters said of `one` less what they said of `other` on the same samples. Of pairs, only the direct
    comparisons count: the lead (`cmos`), the votes for `one` less those for `other` (`ab`), or the share of right
    answers less ½ (`abx`)."""
    cells: dict[tuple[str, str], list[float]] = defaultdict(list)
    if KINDS[kind].style == "pair":
        for vote in votes:
            if vote.kind == kind and not vote.check and set(vote.conditions) == {one, other}:
                value = vote.values[vote.conditions.index(one)]
                lead = {"cmos": value, "ab": 2 * value - 1, "abx": value - 0.5}[kind]
                cells[vote.rater, vote.sample].append(lead)
        return _marks(cells)
    found = marks(votes, kind)
    if one not in found or other not in found:
        return Marks([], [], [])
    left, right = _cells(found[one]), _cells(found[other])
    return _marks({at: [left[at] - right[at]] for at in left.keys() & right.keys()})


def _cells(found: Marks) -> dict[tuple[str, str], float]:
    return dict(zip(zip(found.raters, found.samples, strict=True), found.values, strict=True))


def _marks(cells: Mapping[tuple[str, str], Sequence[float]]) -> Marks:
    ordered = sorted(cells)
    return Marks(
        [sum(cells[at]) / len(cells[at]) for at in ordered],
        [rater for rater, _ in ordered],
        [name for _, name in ordered],
    )

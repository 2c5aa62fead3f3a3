"""Counterbalanced orders: which trials a rater gets, in which order, and which sound stands where in each.

A test has `FORMS` forms. Every second form is the one before it in reverse, with A and B swapped, so that over the
forms each trial stands at each place equally late, and each system is A as often as B.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass

from speech_eval.analysis.listening.description import Step
from speech_eval.analysis.listening.kinds import Kind

FORMS = 24
_PER_CHECK = 12  # trials for each attention check
_LEAST_CHECKS = 2


@dataclass(frozen=True)
class Plan:
    """The trials of one section: `cells` [sample][condition or pair] and the others, as opaque names."""

    kind: Kind
    cells: list[list[str]]
    practice: str
    checks: list[str]
    sounds: int  # of a trial


def opaque(*parts: object) -> str:
    """A name that does not tell what it names to those who do not know the seed."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:16]


def checks_needed(trials: int) -> int:
    """How many attention checks a section of so many trials has."""
    return max(_LEAST_CHECKS, round(trials / _PER_CHECK))


def forms(plans: Sequence[Plan], seed: int, per_rater: int | None = None) -> list[list[Step]]:
    """`FORMS` forms: the sections in turn, each with its practice trial first. With `per_rater`, a form has so many of
    the samples, and all forms together have each sample equally often (as far as the numbers divide)."""
    return [[step for plan in plans for step in _section(plan, form, seed, per_rater)] for form in range(FORMS)]


def _section(plan: Plan, form: int, seed: int, per_rater: int | None) -> list[Step]:
    turn, backwards = divmod(form, 2)
    drawn = random.Random(f"{seed}/{plan.kind.name}/{turn}")
    samples = _window(len(plan.cells), per_rater, turn, seed)
    drawn.shuffle(samples)
    columns = list(range(len(plan.cells[0])))
    drawn.shuffle(columns)
    # in each round every sample occurs once, and every column about equally often
    trials = [
        plan.cells[sample][columns[(place + round_) % len(columns)]]
        for round_ in range(len(columns))
        for place, sample in enumerate(samples)
    ]
    count = len(plan.checks)
    for number, check in enumerate(plan.checks):
        trials.insert(round((number + 0.5) * len(trials) / count), check)
    if backwards:
        trials.reverse()
    return [Step(trial=name, order=_order(plan, name, form, seed)) for name in [plan.practice, *trials]]


def _window(samples: int, per_rater: int | None, turn: int, seed: int) -> list[int]:
    everything = list(range(samples))
    if per_rater is None or per_rater >= samples:
        return everything
    random.Random(f"{seed}/samples").shuffle(everything)
    return [everything[(turn * per_rater + i) % samples] for i in range(per_rater)]


def _order(plan: Plan, trial: str, form: int, seed: int) -> list[int]:
    drawn = random.Random(f"{seed}/{trial}")
    if plan.kind.style == "single":
        return [0]
    if plan.kind.style == "pair":
        swapped, same = drawn.getrandbits(1) ^ (form & 1), drawn.getrandbits(1) ^ (form >> 1 & 1)
        first = [swapped, 1 - swapped]
        # the third and the fourth sound of an ABX trial are the first and the second again, as X
        return [*first, 2 + first[same]] if plan.kind.name == "abx" else first
    order = list(range(plan.sounds))
    drawn.shuffle(order)
    return [order[(place + form) % plan.sounds] for place in range(plan.sounds)]

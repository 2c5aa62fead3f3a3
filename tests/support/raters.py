"""Simulated raters of known bias, who answer the forms of a listening test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from speech_eval.analysis.listening.description import ANCHOR, DEGRADED, MID_ANCHOR, REFERENCE, Answer, Answers, Key
from speech_eval.analysis.listening.kinds import KINDS

# Quality on the scale 1 to 5 of what is no system.
KNOWN = {REFERENCE: 4.8, ANCHOR: 2.0, MID_ANCHOR: 3.5, DEGRADED: 0.5, "voice": 5.0}


class Rater:
    """One rater, who hears a condition's `quality` (1 to 5) with a bias of their own, and with noise each time.

    `lenience` is the standard deviation of biases, `noise` that of a single impression; `careless` raters answer at
    random.
    """

    def __init__(
        self,
        number: int,
        quality: Mapping[str, float],
        *,
        lenience: float = 0.3,
        noise: float = 0.4,
        careless: bool = False,
    ) -> None:
        self.rng = np.random.default_rng(number)
        self.name = f"{number:016x}"
        self.quality = {**KNOWN, **quality}
        self.bias = float(self.rng.normal(0, lenience))
        self.noise, self.careless = noise, careless

    def impression(self, condition: str) -> float:
        """What the condition sounds like this time."""
        if self.careless:
            return float(self.rng.uniform(1, 5))
        return self.quality[condition] + self.bias + float(self.rng.normal(0, self.noise))

    def answer(self, key: Key, trial: str, order: Sequence[int]) -> int | list[int] | str:
        """The answer to one trial, as the page would send it."""
        asked = key.trials[trial]
        names = [asked.sounds[place].condition for place in order]
        if asked.kind == "text":
            return "a <b>hum</b>"
        if asked.kind == "same-words":
            return int(self.rng.random() < (0.5 if self.careless else 0.0 if asked.check else 0.9))
        if asked.kind == "smos":
            same = 5.0 if asked.check else self.impression(names[0])
            return _clipped(same if not self.careless else self.impression(names[0]), 1, 5)
        heard = [self.impression(name) for name in names]
        if asked.kind == "abx":
            told = abs(self.quality[names[0]] - self.quality[names[1]]) > 0.3 and not self.careless
            right = int(order[2] - 2 != order[0])
            return right if told else int(self.rng.integers(0, 2))
        if KINDS[asked.kind].style == "many":
            graded = [
                95 + float(self.rng.uniform(0, 5)) if name == REFERENCE and not self.careless else (value - 1) * 25
                for name, value in zip(names, heard, strict=True)
            ]
            return [_clipped(grade, 0, 100) for grade in graded]
        if asked.kind == "mos":
            return _clipped(heard[0], 1, 5)
        lead = heard[1] - heard[0]
        return _clipped(lead, -3, 3) if asked.kind == "cmos" else int(np.sign(lead)) if abs(lead) > 0.2 else 0

    def fill(self, key: Key, form: int) -> Answers:
        """The answers to a whole form."""
        given = [
            Answer(trial=step.trial, value=self.answer(key, step.trial, step.order), plays=1, seconds=3.0)
            for step in key.forms[form]
        ]
        return Answers(
            test=key.test, rater=self.name, form=form, headphones=list(key.quietest), complete=True, answers=given
        )


def _clipped(value: float, low: int, high: int) -> int:
    return int(np.clip(round(value), low, high))


def panel(key: Key, quality: Mapping[str, float], raters: int, *, careless: int = 0, seed: int = 0) -> list[Answers]:
    """The answers of so many raters, the last of whom are careless, each to the next form."""
    numbers = range(seed * 1000 + 1, seed * 1000 + 1 + raters)
    return [
        Rater(number, quality, careless=place >= raters - careless).fill(key, place % len(key.forms))
        for place, number in enumerate(numbers)
    ]

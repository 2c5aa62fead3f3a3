"""How many raters a difference takes: from the answers to a first test, or from stated deviations."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import sqrt
from typing import Any

from speech_eval.analysis.listening.description import Answers, Key
from speech_eval.analysis.listening.kinds import KINDS
from speech_eval.analysis.listening.screening import screen
from speech_eval.analysis.listening.votes import differences, votes_of
from speech_eval.analysis.report import number
from speech_eval.analysis.shown import Shown
from speech_eval.errors import BadInput
from speech_eval.metrics.listening import NUMBERS
from speech_eval.records import Record
from speech_eval.statistics.crossed import Components, components
from speech_eval.statistics.power import raters_needed

_LARGEST = 1e6  # difference, deviation or number of samples


class PlannedRaters(Record):
    """How the difference of two systems varies, as standard deviations of one rater's difference on one sample: between
    raters, between samples, and what is left; and the raters that the difference asked for takes. `raters` is null
    where no number is enough for so many samples."""

    kind: str
    a: str
    b: str
    rater_deviation: float
    sample_deviation: float
    vote_deviation: float
    raters: int | None


class RaterPower(Shown):
    """The power of the two-sided test of a difference over `samples` that every rater hears in both systems."""

    schema_version: int = 1
    difference: float
    samples: int
    alpha: float
    power: float
    numbers: list[PlannedRaters]

    def caption(self) -> str:
        return (
            f"Raters to find a difference of {self.difference:g} over {self.samples} samples with probability "
            f"{self.power:g} (two-sided test at {self.alpha:g}, clustered by rater and sample)."
        )

    def rows(self) -> list[dict[str, Any]]:
        """One row per pair of systems."""
        return [
            {
                **({"kind": one.kind, "a": one.a, "b": one.b} if one.kind else {}),
                "sd of raters": number(one.rater_deviation, 2),
                "sd of samples": number(one.sample_deviation, 2),
                "sd of votes": number(one.vote_deviation, 2),
                "raters": "more samples needed" if one.raters is None else one.raters,
            }
            for one in self.numbers
        ]


def of_deviations(
    rater: float, sample: float, vote: float, *, difference: float, samples: int, alpha: float, power: float
) -> RaterPower:
    """From stated standard deviations of the difference."""
    _check(difference=difference, samples=samples, alpha=alpha, power=power)
    if not (min(rater, sample) >= 0 and vote > 0 and max(rater, sample, vote) <= _LARGEST):
        raise BadInput(
            f"Deviations are from 0 to {_LARGEST:g}, and that of votes is above 0.",
            "Give those of answers to a like test, such as --vote-deviation 0.8.",
        )
    variances = Components(rater**2, sample**2, vote**2)
    planned = _planned("", "", "", variances, difference, samples, alpha, power)
    return RaterPower(difference=difference, samples=samples, alpha=alpha, power=power, numbers=[planned])


def of_answers(
    key: Key, answers: Sequence[Answers], *, difference: float, samples: int | None, alpha: float, power: float
) -> RaterPower:
    """From the answers to a test: one number for every kind and two systems whose difference varies."""
    votes = votes_of(key, answers)
    excluded = screen(key, answers, votes)
    votes = [vote for vote in votes if vote.rater not in excluded]
    wanted = samples or len({trial.sample for trial in key.trials.values()})
    _check(difference=difference, samples=wanted, alpha=alpha, power=power)
    found = []
    for kind in [kind for kind in KINDS.values() if kind.metric]:
        scale = NUMBERS[kind.metric].scale
        for a, b in combinations([system.label for system in key.systems], 2):
            given = differences(votes, kind.name, a, b)
            values = [scale * value for value in given.values]
            variances = components(values, given.raters, given.samples) if values else None
            if variances is not None and variances.rater + variances.sample + variances.rest > 0:
                found.append(_planned(kind.name, a, b, variances, difference, wanted, alpha, power))
    if not found:
        raise BadInput(
            "The answers do not tell how differences vary: they need two systems, two raters and two samples.",
            "Give --vote-deviation instead, such as 0.8.",
        )
    return RaterPower(difference=difference, samples=wanted, alpha=alpha, power=power, numbers=found)


def _planned(
    kind: str, a: str, b: str, variances: Components, difference: float, samples: int, alpha: float, power: float
) -> PlannedRaters:
    return PlannedRaters(
        kind=kind,
        a=a,
        b=b,
        rater_deviation=round(sqrt(variances.rater), 6),
        sample_deviation=round(sqrt(variances.sample), 6),
        vote_deviation=round(sqrt(variances.rest), 6),
        raters=raters_needed(variances, samples, difference, alpha=alpha, power=power),
    )


def _check(*, difference: float, samples: int, alpha: float, power: float) -> None:
    if not 0 < difference <= _LARGEST:
        raise BadInput(
            f"difference={difference:g} is not above 0 and at most {_LARGEST:g}.",
            "Give the difference to find, such as 0.2.",
        )
    if not 2 <= samples <= _LARGEST:
        raise BadInput(f"{samples} samples are too few or too many.", f"Give 2 to {_LARGEST:g}.")
    for name, value in (("alpha", alpha), ("power", power)):
        if not 0 < value < 1:
            raise BadInput(f"{name}={value:g} is not a number between 0 and 1.", "Give a number between 0 and 1.")

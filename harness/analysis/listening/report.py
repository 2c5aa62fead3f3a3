"""What a listening test found: numbers of the conditions, tests between them, agreement, strengths, and who counts."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from speech_eval.analysis.listening.description import Answers, Key
from speech_eval.analysis.listening.kinds import KINDS, Kind
from speech_eval.analysis.listening.screening import NEEDED_TONES, right_tones, screen
from speech_eval.analysis.listening.votes import Vote, differences, marks, votes_of
from speech_eval.analysis.report import number
from speech_eval.analysis.shown import Shown
from speech_eval.metrics.listening import NUMBERS
from speech_eval.records import Record
from speech_eval.statistics.agreement import krippendorff_alpha
from speech_eval.statistics.bradley_terry import Comparison, connected, strengths
from speech_eval.statistics.crossed import clustered_mean
from speech_eval.statistics.multiple import holm
from speech_eval.statistics.summaries import finite

_PRIOR = 0.5  # wins and losses between every two systems, where the strengths are not defined without


class Condition(Record):
    """The votes on one condition by one kind. `low` and `high` are the ends of the 95 % interval, clustered by rater
    and sample; `median`, `q1` and `q3` are those of BS.1534, of ratings alone."""

    kind: str
    condition: str
    votes: int
    raters: int
    samples: int
    mean: float
    low: float | None
    high: float | None
    median: float | None = None
    q1: float | None = None
    q3: float | None = None


class Contrast(Record):
    """Condition `a` less condition `b` by the same raters on the same samples, with the clustered test; `adjusted` is
    Holm's correction over the contrasts of the kind. Of comparisons, `wins` and `losses` count the single votes, and
    `exact` is their binomial test, which takes all votes for independent (two-sided; ABX one-sided)."""

    kind: str
    a: str
    b: str
    difference: float
    low: float | None
    high: float | None
    p_value: float | None
    adjusted: float | None = None
    wins: int | None = None
    losses: int | None = None
    exact: float | None = None


class Strength(Record):
    """A system's Bradley-Terry log strength, its standard error clustered by rater, and its probability of being
    preferred to a mean system."""

    condition: str
    value: float
    error: float
    probability: float


class Remark(Record):
    """A text that a rater wrote."""

    sample: str
    condition: str
    text: str


class ListeningReport(Shown):
    """The outcome of a listening test. `excluded` gives the reason by rater, `unread` the files that were left out.
    `alpha` is Krippendorff's by kind, null where it is not defined. `strengths_prior` is not 0 where the strengths are
    defined with a prior only."""

    schema_version: int = 1
    test: str
    title: str
    raters: int
    complete: int
    headphones: int
    excluded: dict[str, str]
    unread: list[str]
    conditions: list[Condition]
    contrasts: list[Contrast]
    alpha: dict[str, float | None]
    strengths: list[Strength]
    ties: float
    strengths_prior: float
    remarks: list[Remark]

    def caption(self) -> str:
        """Raters, and the agreement by kind."""
        counted = self.raters - len(self.excluded)
        agreed = ", ".join(f"{kind} {number(value, 2)}" for kind, value in self.alpha.items())
        text = f"{self.title}: {self.raters} raters, {counted} counted"
        return f"{text}; Krippendorff's alpha: {agreed}." if agreed else f"{text}."

    def rows(self) -> list[dict[str, Any]]:
        """One row per kind and condition."""
        return [
            {
                "kind": found.kind,
                "condition": found.condition,
                "mean": number(found.mean, 2),
                "95 %": f"[{number(found.low, 2)}, {number(found.high, 2)}]" if found.low is not None else "—",
                "median": number(found.median, 1) if found.median is not None else "",
                "IQR": f"{number(found.q1, 1)}–{number(found.q3, 1)}" if found.q1 is not None else "",
                "votes": found.votes,
                "raters": found.raters,
                "samples": found.samples,
            }
            for found in self.conditions
        ]

    def contrast_rows(self) -> list[dict[str, Any]]:
        """One row per kind and pair of conditions."""
        return [
            {
                "kind": found.kind,
                "a": found.a,
                "b": found.b,
                "a - b": number(found.difference, 2),
                "95 %": f"[{number(found.low, 2)}, {number(found.high, 2)}]" if found.low is not None else "—",
                "p (Holm)": _p(found.adjusted),
                "votes": "" if found.wins is None else f"{found.wins}:{found.losses}",
            }
            for found in self.contrasts
        ]

    def strength_rows(self) -> list[dict[str, Any]]:
        """One row per system of a preference test."""
        return [
            {
                "system": found.condition,
                "log strength": number(found.value, 2),
                "error": number(found.error, 2),
                "preferred to a mean system": f"{100 * found.probability:.0f} %",
            }
            for found in self.strengths
        ]


def report(
    key: Key, answers: Sequence[Answers], unread: Sequence[str] = (), *, screened: bool = True, headphones: bool = False
) -> ListeningReport:
    """Analyze the answers to a test. `screened=False` counts every rater; `headphones` excludes those who failed the
    headphone check."""
    everything = votes_of(key, answers)
    excluded = screen(key, answers, everything, headphones=headphones) if screened else {}
    votes = [vote for vote in everything if vote.rater not in excluded]
    kinds = [KINDS[name] for name in dict.fromkeys(trial.kind for trial in key.trials.values())]
    rated = [kind for kind in kinds if kind.metric]
    preferred, ties, prior = _strengths(votes)
    return ListeningReport(
        test=key.test,
        title=key.title,
        raters=len(answers),
        complete=sum(one.complete for one in answers),
        headphones=sum(right_tones(one, key) >= NEEDED_TONES * len(key.quietest) for one in answers),
        excluded=excluded,
        unread=list(unread),
        conditions=[found for kind in rated for found in _conditions(votes, kind)],
        contrasts=[found for kind in rated for found in _contrasts(votes, kind)],
        alpha={kind.name: _alpha(votes, kind) for kind in rated},
        strengths=preferred,
        ties=ties,
        strengths_prior=prior,
        remarks=[Remark(sample=v.sample, condition=v.conditions[0], text=v.text) for v in votes if v.text],
    )


def _conditions(votes: Sequence[Vote], kind: Kind) -> list[Condition]:
    summary = NUMBERS[kind.metric]
    found = []
    for name, given in marks(votes, kind.name).items():
        values = [summary.scale * value for value in given.values]
        mean = clustered_mean(values, given.raters, given.samples).within(summary.bounds)
        rating = kind.style != "pair" and summary.unit != "%"
        spread = quartiles(values) if rating else (None, None, None)
        found.append(
            Condition(
                kind=kind.name,
                condition=name,
                votes=len(values),
                raters=len(set(given.raters)),
                samples=len(set(given.samples)),
                mean=_rounded(mean.mean),
                low=_maybe(mean.low),
                high=_maybe(mean.high),
                **dict(zip(("q1", "median", "q3"), spread, strict=True)),
            )
        )
    return sorted(found, key=lambda one: (-one.mean, one.condition))


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """First quartile, median and third quartile of BS.1534: the medians of the lower and the upper half, to which the
    middle value of an odd number belongs both times."""
    ordered = sorted(values)
    half = (len(ordered) + 1) // 2
    parts = (ordered[:half], ordered, ordered[-half:])
    first, median, third = (_rounded(float(np.median(part))) for part in parts)
    return first, median, third


def _contrasts(votes: Sequence[Vote], kind: Kind) -> list[Contrast]:
    scale = NUMBERS[kind.metric].scale
    names = sorted({name for vote in votes if vote.kind == kind.name and not vote.check for name in vote.conditions})
    found = []
    for a, b in combinations(names, 2):
        given = differences(votes, kind.name, a, b)
        if given.values:
            mean = clustered_mean([scale * value for value in given.values], given.raters, given.samples)
            found.append(
                Contrast(
                    kind=kind.name,
                    a=a,
                    b=b,
                    difference=_rounded(mean.mean),
                    low=_maybe(mean.low),
                    high=_maybe(mean.high),
                    p_value=_maybe(mean.p_value),
                    **_counted(votes, kind, a, b),
                )
            )
    tested = [one for one in found if one.p_value is not None]
    adjusted = dict(zip(map(id, tested), holm([one.p_value or 0.0 for one in tested]).tolist(), strict=True))
    return [one.model_copy(update={"adjusted": adjusted.get(id(one))}) for one in found]


def _counted(votes: Sequence[Vote], kind: Kind, a: str, b: str) -> dict[str, Any]:
    """Single votes for and against `a` and their binomial test: only of preferences and ABX."""
    from scipy.stats import binomtest

    if kind.name not in ("ab", "abx"):
        return {}
    own = [
        vote.values[vote.conditions.index(a)]
        for vote in votes
        if vote.kind == kind.name and not vote.check and set(vote.conditions) == {a, b}
    ]
    wins, losses = own.count(1.0), own.count(0.0)
    if wins + losses == 0:
        return {"wins": 0, "losses": 0}
    side = "greater" if kind.name == "abx" else "two-sided"
    exact = float(binomtest(wins, wins + losses, alternative=side).pvalue)
    return {"wins": wins, "losses": losses, "exact": _rounded(exact)}


def _alpha(votes: Sequence[Vote], kind: Kind) -> float | None:
    """Agreement on the first condition of each pair, or on each condition of each sample."""
    units: dict[tuple[str, ...], list[float]] = {}
    for vote in votes:
        if vote.kind != kind.name or vote.check:
            continue
        if kind.style == "pair":
            units.setdefault((vote.sample, *vote.conditions), []).append(vote.values[0])
        else:
            for name, value in zip(vote.conditions, vote.values, strict=True):
                units.setdefault((vote.sample, name), []).append(value)
    found = krippendorff_alpha(list(units.values()), kind.scale)
    return None if found is None else _rounded(found)


def _strengths(votes: Sequence[Vote]) -> tuple[list[Strength], float, float]:
    """Strengths from preferences, the weight of ties, and the prior that was needed."""
    own = [vote for vote in votes if vote.kind == "ab" and not vote.check]
    names = sorted({name for vote in own for name in vote.conditions})
    if len(names) < 2:
        return [], 0.0, 0.0
    comparisons = [
        Comparison(
            names.index(vote.conditions[0]),
            names.index(vote.conditions[1]),
            "first" if vote.values[0] == 1 else "second" if vote.values[0] == 0 else "tie",
            vote.rater,
        )
        for vote in own
    ]
    prior = 0.0 if connected(comparisons, len(names)) else _PRIOR
    found = strengths(comparisons, len(names), prior=prior)
    listed = [
        Strength(
            condition=name,
            value=_rounded(float(value)),
            error=_rounded(float(error)),
            probability=_rounded(float(1 / (1 + np.exp(-value)))),
        )
        for name, value, error in zip(names, found.values, found.errors, strict=True)
    ]
    return sorted(listed, key=lambda one: -one.value), _rounded(found.ties), prior


def _p(value: float | None) -> str:
    return "< 0.0001" if value is not None and value < 1e-4 else number(value, 4)


def _rounded(value: float) -> float:
    return float(round(value, 6))


def _maybe(value: float | None) -> float | None:
    return None if value is None else finite(value)

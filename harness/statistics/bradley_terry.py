"""Strengths of systems from paired comparisons: Bradley and Terry (1952), with ties as Davidson (1970).

The odds that i is preferred to j are exp(s_i - s_j); a tie has the weight ν exp((s_i + s_j)/2) beside exp(s_i) and
exp(s_j). Both are one multinomial logit, so Newton's method finds the maximum, which exists where every two systems are
joined by a chain of wins in either direction.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from speech_eval.errors import BadInput
from speech_eval.statistics.summaries import Floats, group

Outcome = Literal["first", "second", "tie"]
_STEPS = 100


@dataclass(frozen=True)
class Comparison:
    """One vote: which of the systems `first` and `second` (indices) is preferred, by which rater."""

    first: int
    second: int
    outcome: Outcome
    rater: Hashable = None


@dataclass(frozen=True, eq=False)
class Strengths:
    """Log strengths [systems] with mean zero and their covariance [systems, systems]; `ties` is ν, 0 without ties."""

    values: Floats
    covariance: Floats
    ties: float

    @property
    def errors(self) -> Floats:
        """Standard errors [systems] of the strengths."""
        # a negative one is 0 with rounding
        return np.asarray(np.sqrt(np.abs(np.diagonal(self.covariance))), dtype=np.float64)

    def difference(self, one: int, other: int) -> tuple[float, float]:
        """The difference of two strengths and its standard error."""
        contrast = np.zeros(len(self.values))
        contrast[one], contrast[other] = 1.0, -1.0
        return float(contrast @ self.values), float(np.sqrt(np.abs(contrast @ self.covariance @ contrast)))


def connected(comparisons: Sequence[Comparison], systems: int) -> bool:
    """Whether every two of the systems are joined by a chain of wins in either direction."""
    from scipy.sparse.csgraph import connected_components

    beats = np.zeros((systems, systems), dtype=bool)
    for vote in comparisons:
        if vote.outcome != "tie":
            winner, loser = (vote.first, vote.second) if vote.outcome == "first" else (vote.second, vote.first)
            beats[winner, loser] = True
    return bool(connected_components(beats, directed=True, connection="strong")[0] == 1)


def strengths(comparisons: Sequence[Comparison], systems: int, *, prior: float = 0.0) -> Strengths:
    """The maximum-likelihood strengths. `prior` adds so many wins and losses between every two systems.

    The covariance is the inverse information; where the votes name raters, it is clustered by rater. Raises `BadInput`
    where there is no maximum: some system never won, never lost, or was compared with others only.
    """
    if not prior and not connected(comparisons, systems):
        raise BadInput(
            "The strengths are not defined: some system won, or lost, every comparison with some others.",
            "Collect more votes, or give a prior.",
        )
    tied = any(vote.outcome == "tie" for vote in comparisons)
    counted = [(vote, 1.0) for vote in comparisons]
    for first in range(systems if prior else 0):
        for second in range(first):
            counted += [(Comparison(first, second, "first"), prior), (Comparison(first, second, "second"), prior)]
    weights = np.array([weight for _, weight in counted])
    features, observed = _features([vote for vote, _ in counted], systems, tied)
    found = np.zeros(features.shape[2])
    for _ in range(_STEPS):
        gradient, information = _derivatives(found, features, observed, weights)
        step = np.linalg.pinv(information) @ gradient.sum(axis=0)
        found = found + step / max(1.0, float(np.abs(step).max()))
        if np.abs(step).max() < 1e-10:
            break
    gradient, information = _derivatives(found, features, observed, weights)
    covariance: Floats = np.asarray(np.linalg.pinv(information), dtype=np.float64)
    raters = [vote.rater for vote in comparisons]
    if len(set(raters)) > 1:
        covariance = _by_rater(covariance, gradient[: len(raters)], raters)
    values = found[:systems] - found[:systems].mean()
    center = np.eye(systems) - 1 / systems
    covariance = np.asarray(center @ covariance[:systems, :systems] @ center, dtype=np.float64)
    return Strengths(values, covariance, float(np.exp(found[-1])) if tied else 0.0)


def _features(votes: Sequence[Comparison], systems: int, tied: bool) -> tuple[Floats, Floats]:
    """Features [votes, outcome, parameters] of the outcomes first, second and (where ties occur) tie, and the features
    [votes, parameters] of the outcome that occurred."""
    first, second = np.array([vote.first for vote in votes]), np.array([vote.second for vote in votes])
    features = np.zeros((len(votes), 3 if tied else 2, systems + tied))
    rows = np.arange(len(votes))
    features[rows, 0, first] = 1.0
    features[rows, 1, second] = 1.0
    if tied:
        features[rows, 2, first] = features[rows, 2, second] = 0.5
        features[:, 2, -1] = 1.0
    outcomes = np.array([("first", "second", "tie").index(vote.outcome) for vote in votes])
    return features, features[rows, outcomes]


def _derivatives(at: Floats, features: Floats, observed: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """The gradient of each vote's log likelihood [votes, parameters], and the information [parameters, parameters]."""
    logits = features @ at
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    chance = odds / odds.sum(axis=1, keepdims=True)
    expected = np.einsum("vo,vop->vp", chance, features)
    spread = features - expected[:, None, :]
    information = np.einsum("v,vo,vop,voq->pq", weights, chance, spread, spread, optimize=True)
    return weights[:, None] * (observed - expected), information


def _by_rater(inverse: Floats, gradient: Floats, raters: Sequence[Hashable]) -> Floats:
    groups = group(raters)
    sums = np.stack([np.bincount(groups, column) for column in gradient.T], axis=1)
    count = len(sums)
    return inverse @ (sums.T @ sums) @ inverse * count / (count - 1)

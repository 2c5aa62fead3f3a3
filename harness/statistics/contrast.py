"""Slices of one run against the other slices: differences, their intervals, and permutation tests.

A test moves the labels of slices at random and is exact where the slice does not matter, however skewed the numbers
are. Samples of a cluster are not independent, so labels move in two ways: a cluster in one slice (a speaker has one
accent) changes its label as a whole with other such clusters, and in a cluster with several labels (a speaker has short
and long sentences) samples change labels among themselves. The bootstrap of the interval draws whole clusters.

People's votes are clustered by rater too, which no move of the labels of samples does: their difference has the
clustered error and the t-test of `speech_eval.statistics.crossed`, as their means have.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from speech_eval.records import Estimate
from speech_eval.statistics.bootstrap import BLOCK, RESAMPLES, drawn_weights, generator, interval
from speech_eval.statistics.crossed import clustered_difference, crossed_votes
from speech_eval.statistics.summaries import Floats, Groups, Rows, Summary, finite, linear, statistic

LEAST_UNITS = 2  # independent units of a slice, and of the rest: one speaker alone does not stand for an accent
Labels = NDArray[np.intp]


@dataclass(frozen=True)
class Contrast:
    """`difference` = slice - rest, in the summary's unit, and its two-sided `p_value`; both None where `untested` says
    why. `units` are the independent units of the slice."""

    units: int
    difference: Estimate | None = None
    p_value: float | None = None
    untested: str = ""


def contrasts(
    summary: Summary, data: Rows, groups: Groups, labels: Labels, *, seed: str, resamples: int = RESAMPLES
) -> list[Contrast]:
    """Compare each slice with the samples outside it. `labels` [n] numbers the slices from zero, `groups` [n] the
    clusters of samples."""
    count = int(labels.max()) + 1
    observed = _differences(summary, data, labels[None], count, np.ones((1, data.n)))[0]
    weights = drawn_weights(int(groups.max()) + 1, generator(seed), resamples)
    drawn = np.concatenate([_differences(summary, data, labels[None], count, w[:, groups]) for w in weights])
    moved = [
        _differences(summary, data, block, count, np.ones((1, data.n)))
        for block in _permuted(labels, groups, generator(f"{seed}/permutation"), resamples)
    ]
    permuted = np.concatenate(moved)
    return [
        _contrast(summary, labels == index, groups, float(observed[index]), drawn[:, index], permuted[:, index])
        for index in range(count)
    ]


def crossed_contrasts(
    summary: Summary, parts: Sequence[dict[str, float]], groups: Groups, labels: Labels
) -> list[Contrast]:
    """As `contrasts`, of the votes of raters: `parts` [n] hold the votes on each sample."""
    values, raters, places = crossed_votes(summary, parts, np.arange(len(parts)))
    clusters = groups[places].tolist()
    found = []
    for index in range(int(labels.max()) + 1):
        inside = labels == index
        units, others = len(np.unique(groups[inside])), len(np.unique(groups[~inside]))
        if few := _few(units, others):
            found.append(Contrast(units, untested=few))
            continue
        known = clustered_difference(values, raters, clusters, inside[places])
        if known.low is None or known.high is None:
            found.append(Contrast(units, untested="not defined"))
            continue
        low, high = finite(known.low), finite(known.high)
        estimate = Estimate(value=finite(known.mean), low=low, high=high, n=int(inside.sum()))
        found.append(Contrast(units, estimate, known.p_value))
    return found


def _few(units: int, others: int) -> str:
    """Why so few independent units of a slice and of the rest are not compared; empty where they are enough."""
    if units < LEAST_UNITS:
        return "one independent unit"
    return "nothing to compare with" if others < LEAST_UNITS else ""


def _contrast(
    summary: Summary, inside: NDArray[np.bool_], groups: Groups, observed: float, drawn: Floats, permuted: Floats
) -> Contrast:
    units, others = len(np.unique(groups[inside])), len(np.unique(groups[~inside]))
    if few := _few(units, others):
        return Contrast(units, untested=few)
    drawn = drawn[~np.isnan(drawn)]  # a resample without a sample of the slice, or of the rest, has no difference
    p_value = _p_value(observed, permuted)
    if p_value is None or not len(drawn) or not np.isfinite(drawn).all():
        return Contrast(units, untested="not defined")
    low, high = interval(drawn * summary.scale, min(units, others))
    estimate = Estimate(value=finite(observed * summary.scale), low=low, high=high, n=int(inside.sum()))
    return Contrast(units, estimate, p_value)


def _p_value(observed: float, permuted: Floats) -> float | None:
    """The share of permutations, the observed one among them, that are as far from their center."""
    if not np.isfinite(observed) or not np.isfinite(permuted).all():
        return None
    far, distances = abs(observed - permuted.mean()), np.abs(permuted - permuted.mean())
    slack = 1e-9 * max(far, float(distances.max()))  # sums round in another order
    return (int(np.sum(distances >= far - slack)) + 1) / (len(permuted) + 1)


def _permuted(labels: Labels, groups: Groups, rng: np.random.Generator, resamples: int) -> Iterator[Labels]:
    """Blocks [block, n] of permuted labels: those of clusters in one slice, and those within each other cluster."""
    first = np.unique(groups, return_index=True)[1]
    mixed = np.unique(groups[labels != labels[first][groups]])
    pure = np.setdiff1d(np.arange(len(first)), mixed)
    within = [np.flatnonzero(groups == cluster) for cluster in mixed]
    block = max(1, BLOCK // len(labels))
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        of_cluster = np.tile(labels[first], (size, 1))
        of_cluster[:, pure] = rng.permuted(of_cluster[:, pure], axis=1)
        moved = of_cluster[:, groups]
        for members in within:
            moved[:, members] = rng.permuted(np.tile(labels[members], (size, 1)), axis=1)
        yield moved


def _differences(summary: Summary, data: Rows, labels: Labels, count: int, weights: Floats) -> Floats:
    """Slice - rest [resamples, slices], before `scale`; NaN where one of them is empty. One of `labels` [resamples, n]
    and `weights` [resamples, n] may have a single row, which then holds for every row of the other."""
    if linear(summary):
        return _linear(summary, data, labels, count, weights)
    found = []
    for index in range(count):
        inside = np.where(labels == index, weights, 0.0)
        outside = weights - inside
        with np.errstate(invalid="ignore"):
            change = statistic(summary, data, inside) - statistic(summary, data, outside)
        found.append(np.where(inside.any(axis=1) & outside.any(axis=1), change, np.nan))
    return np.stack(found, axis=1)


def _linear(summary: Summary, data: Rows, labels: Labels, count: int, weights: Floats) -> Floats:
    rows = max(len(labels), len(weights))
    cells = (labels + count * np.arange(rows)[:, None]).ravel()
    denominator = data.columns[summary.parts[1]] if summary.estimator == "ratio" else np.ones(data.n)
    top, bottom = (
        np.bincount(cells, np.broadcast_to(weights * column, (rows, data.n)).ravel(), minlength=rows * count).reshape(
            rows, count
        )
        for column in (data.columns[summary.parts[0]], denominator)
    )
    rest_top, rest_bottom = top.sum(axis=1, keepdims=True) - top, bottom.sum(axis=1, keepdims=True) - bottom
    with np.errstate(divide="ignore", invalid="ignore"):
        own, rest = top / bottom, rest_top / rest_bottom
    return np.asarray(np.where((bottom > 1e-9) & (rest_bottom > 1e-9), own - rest, np.nan))

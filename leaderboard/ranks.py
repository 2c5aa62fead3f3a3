"""The order of a board's rows, their ranks and ties: runs whose difference is not significant share a rank."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from speech_eval.analysis import report
from speech_eval.analysis.significance import Family, family
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.errors import SpeechEvalError
from speech_eval.leaderboard.load import Run
from speech_eval.records import MetricResult, TaskResult
from speech_eval.statistics.ranking import Shares, ahead

EXACT = 6  # up to so many runs, ranks use the tests of `speech-eval compare`; beyond, their quick approximation
PAIRED, OVERLAP = "paired test", "overlap of intervals"
Rank = tuple[int | None, bool]  # the rank, None for a row without one, and whether it is shared
Pair = tuple[Run, TaskResult]


def place(pair: Pair) -> tuple[object, ...]:
    """Sort key of a row: human recordings, whole datasets, subsets; then best first, point by point of a sweep. Rows
    without ranks are sorted by their cost (the first number), and points of a sweep by model."""
    run, result = pair
    best = report.sort_value(report.primary(result))
    point = 0 if result.sweep is None else result.sweep.value or 0
    along: tuple[object, ...] = (point, best, run.id) if result.ranked else (best, run.id)
    if not result.ranked and result.sweep is not None:
        along = (run.results.name, run.id, point)
    return not run.human, not result.leaderboard_grade, along


def row_ranks(
    pairs: Sequence[Pair], held: Mapping[tuple[str, str], Shares], numbers: int = 1
) -> tuple[list[Rank], str]:
    """The rank of each row and the method that separates them. Human recordings, subsets and tasks without ranking have
    none; each point of a sweep is ranked by itself. `numbers` is how many numbers of each run the board shows."""
    ranks: list[Rank] = [(None, False)] * len(pairs)
    if not all(result.ranked for _, result in pairs):
        return ranks, ""
    points: dict[float, list[int]] = {}
    for index, (run, result) in enumerate(pairs):
        metric = report.primary(result)
        if not run.human and result.leaderboard_grade and metric is not None and metric.strict.value is not None:
            points.setdefault(0 if result.sweep is None else result.sweep.value or 0, []).append(index)
    used = set()
    for rows in points.values():
        metrics = [metric for index in rows if (metric := report.primary(pairs[index][1])) is not None]
        shares = [held.get((pairs[i][0].id, pairs[i][1].task)) for i in rows]
        tested = _family([pairs[i] for i in rows]) if 1 < len(rows) <= EXACT else None
        found, how = ranked(metrics, shares, tested, numbers)
        used |= how
        for index, rank in zip(rows, found, strict=True):
            ranks[index] = rank
    return ranks, ", else ".join(name for name in (PAIRED, OVERLAP) if name in used)


def _family(pairs: Sequence[Pair]) -> Family | None:
    """The tests of these rows as `speech-eval compare` makes them; None where stored lines or metrics are missing."""
    try:
        return family([RunDirectory(run.path) for run, _ in pairs], pairs[0][1].task)
    except SpeechEvalError:
        return None


def ranked(
    metrics: Sequence[MetricResult], held: Sequence[Shares | None], tested: Family | None = None, numbers: int = 1
) -> tuple[list[Rank], set[str]]:
    """The rank of each number and the methods used: 1 where the leader is not significantly better, else one more than
    the number of runs that are significantly better.

    Runs in `tested` are compared by its paired tests, which are exact; others on the same samples by the paired t-test
    of their shares, with Holm's correction over all pairs of them times `numbers`; the rest by whether their intervals
    overlap.
    """
    leader = metrics.index(min(metrics, key=report.sort_value))
    ends = np.array([_ends(metric) for metric in metrics])
    behind = ends[:, 1][None, :] < ends[:, 0][:, None]  # [run, other]: other is better
    paired = np.eye(len(metrics), dtype=bool)
    if tested is not None:
        _by_family(tested, metrics, behind, paired)
    else:
        groups: dict[str, list[int]] = {}
        for index, one in enumerate(held):
            if one is not None:
                groups.setdefault(one.samples, []).append(index)
        for rows in (rows for rows in groups.values() if len(rows) > 1):
            shares = [one for i in rows if (one := held[i]) is not None]
            behind[np.ix_(rows, rows)] = ahead(shares, lower_is_better=_less(metrics[rows[0]]), numbers=numbers)
            paired[np.ix_(rows, rows)] = True
    ranks = [1 + int(row.sum()) if row[leader] else 1 for row in behind]
    holders = Counter(ranks)
    how = {PAIRED} if paired.sum() > len(metrics) else set()
    if not paired.all():
        how.add(OVERLAP)
    return [(rank, holders[rank] > 1) for rank in ranks], how


def _by_family(
    tested: Family, metrics: Sequence[MetricResult], behind: NDArray[np.bool_], paired: NDArray[np.bool_]
) -> None:
    """Write into `behind` and `paired` what the tests say of every two runs."""
    number = metrics[0].metric, metrics[0].name
    order = [report.sort_value(metric) for metric in metrics]
    for one, other in permutations(range(len(metrics)), 2):
        if (differ := tested.differ(number, one, other)) is not None:
            behind[one, other] = differ and order[other] < order[one]
            paired[one, other] = True


def _less(metric: MetricResult) -> bool:
    return metric.direction == "lower"


def _ends(metric: MetricResult) -> tuple[float, float]:
    """Best and worst end of the interval, so that less is better; an end among failures is infinitely far."""
    e = metric.strict
    assert e.value is not None
    if e.low is None and e.high is None:
        ends = (e.value, e.value)
    else:
        ends = (-math.inf if e.low is None else e.low, math.inf if e.high is None else e.high)
    return ends if metric.direction == "lower" else (-ends[1], -ends[0])

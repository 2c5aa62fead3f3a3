"""The order of a board's rows, their ranks and ties: runs whose difference is not significant share a rank."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from speech_eval.analysis import report
from speech_eval.leaderboard.load import Run
from speech_eval.records import MetricResult, TaskResult
from speech_eval.statistics.ranking import Shares, ahead

PAIRED, OVERLAP = "paired test", "overlap of intervals"
Rank = tuple[int | None, bool]  # the rank, None for a row without one, and whether it is shared
Pair = tuple[Run, TaskResult]


def place(pair: Pair) -> tuple[object, ...]:
    """Sort key of a row: human recordings, whole datasets, subsets; then best first, point by point of a sweep. Rows
    without ranks are sorted by their cost (the first number), and points of a sweep by model."""
    run, result = pair
    best = report.sort_value(report.primary(result))
    point = 0 if result.sweep is None else result.sweep.value
    along: tuple[object, ...] = (point, best, run.id) if result.ranked else (best, run.id)
    if not result.ranked and result.sweep is not None:
        along = (run.results.model, run.id, point)
    return not run.human, not result.leaderboard_grade, along


def row_ranks(pairs: Sequence[Pair], held: Mapping[tuple[str, str], Shares]) -> tuple[list[Rank], str]:
    """The rank of each row and the method that separates them. Human recordings, subsets and tasks without ranking have
    none; each point of a sweep is ranked by itself."""
    ranks: list[Rank] = [(None, False)] * len(pairs)
    if not all(result.ranked for _, result in pairs):
        return ranks, ""
    points: dict[int, list[int]] = {}
    for index, (run, result) in enumerate(pairs):
        metric = report.primary(result)
        if not run.human and result.leaderboard_grade and metric is not None and metric.strict.value is not None:
            points.setdefault(0 if result.sweep is None else result.sweep.value, []).append(index)
    used = set()
    for rows in points.values():
        metrics = [metric for index in rows if (metric := report.primary(pairs[index][1])) is not None]
        found, how = ranked(metrics, [held.get((pairs[i][0].id, pairs[i][1].task)) for i in rows])
        used |= how
        for index, rank in zip(rows, found, strict=True):
            ranks[index] = rank
    return ranks, ", else ".join(name for name in (PAIRED, OVERLAP) if name in used)


def ranked(metrics: Sequence[MetricResult], held: Sequence[Shares | None]) -> tuple[list[Rank], set[str]]:
    """The rank of each number and the methods used: 1 where the leader is not significantly better, else one more than
    the number of runs that are significantly better.

    Two runs on the same samples are compared by the paired test, others by whether their intervals overlap.
    """
    leader = metrics.index(min(metrics, key=report.sort_value))
    sure, worst = [_ends(metric) for metric in metrics], sorted(_ends(metric)[1] for metric in metrics)
    families: dict[str, list[int]] = {}
    for index, one in enumerate(held):
        if one is not None:
            families.setdefault(one.samples, []).append(index)
    families = {digest: rows for digest, rows in families.items() if len(rows) > 1}
    before = [bisect_left(worst, best) for best, _ in sure]
    led = [best > sure[leader][1] for best, _ in sure]
    for rows in families.values():
        tested = ahead([one for i in rows if (one := held[i]) is not None], lower_is_better=_less(metrics[rows[0]]))
        ends = np.array([sure[i] for i in rows])
        apart = ends[:, 1][None, :] < ends[:, 0][:, None]  # [run, other]: other's interval is wholly better
        for row, more in zip(rows, tested.sum(axis=1) - apart.sum(axis=1), strict=True):
            before[row] += int(more)
        if leader in rows:
            for row, behind in zip(rows, tested[:, rows.index(leader)], strict=True):
                led[row] = bool(behind)
    ranks = [1 + count if behind else 1 for count, behind in zip(before, led, strict=True)]
    holders = Counter(ranks)
    how = {PAIRED} if families else set()
    if len(metrics) > 1 and (len(families) != 1 or len(next(iter(families.values()))) < len(metrics)):
        how.add(OVERLAP)
    return [(rank, holders[rank] > 1) for rank in ranks], how


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

"""Ranks that say no more than the data: runs that cannot be told apart share one."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

import numpy as np

from speech_eval.analysis import report
from speech_eval.records import MetricResult
from speech_eval.statistics.ranking import Shares, ahead

PAIRED, OVERLAP = "paired test", "overlap of intervals"
Rank = tuple[int | None, bool]  # the rank, None where there is none, and whether it is shared


def ranked(metrics: Sequence[MetricResult], held: Sequence[Shares | None]) -> tuple[list[Rank], set[str]]:
    """(rank, shared) of each: 1 where it is not told apart from the leader, else one more than those that are ahead.

    Two runs on the same samples are told apart by the paired test, others where their intervals do not overlap.
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

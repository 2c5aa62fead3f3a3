"""Numbers of a task whose data are several sets: each set's own, and their mean, in which every set counts the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from speech_eval.metrics.base import SET, Summary, Unit
from speech_eval.statistics.bootstrap import Floats, Rows, statistic

FIELD = SET


def of_sets(summaries: Sequence[Summary], units: Sequence[Unit]) -> Iterator[tuple[Summary, Sequence[Unit]]]:
    """Further summaries, each with the units it is taken over: `NAME macro`, and `NAME SET` for every set.

    Of means and ratios on boards only; the single sets are off the boards. Nothing where there is one set or where a
    sample belongs to none.
    """
    names = [unit.sample.metadata.get(FIELD) for unit in units]
    known = sorted({str(name) for name in names if name is not None})
    if len(known) < 2 or None in names:
        return
    codes = [float(known.index(str(name))) for name in names]
    for summary in summaries:
        if not summary.headline or summary.estimator not in ("mean", "ratio"):
            continue
        yield _macro(summary), [_coded(unit, code) for unit, code in zip(units, codes, strict=True)]
        for index, name in enumerate(known):
            own = [unit for unit, code in zip(units, codes, strict=True) if code == index]
            yield replace(summary, name=f"{summary.name} {name}", headline=False), own


def _coded(unit: Unit, code: float) -> Unit:
    strict = {**unit.strict, FIELD: code}
    return replace(unit, strict=strict, compat=None if unit.compat is None else {**unit.compat, FIELD: code})


def _macro(summary: Summary) -> Summary:
    def function(columns: dict[str, Floats], weights: Floats) -> Floats:
        total, sets = np.zeros(len(weights)), np.zeros(len(weights))
        for code in np.unique(columns[FIELD]):
            of_set = columns[FIELD] == code
            part = {name: column[of_set] for name, column in columns.items()}
            values = statistic(summary, Rows(part, int(of_set.sum())), weights[:, of_set])
            drawn = weights[:, of_set].sum(axis=1) > 0  # a set of which a resample has nothing does not count
            total += np.where(drawn, values, 0.0)
            sets += drawn
        return np.asarray(total / sets)

    parts = (*dict.fromkeys((*summary.parts, FIELD)),)
    return replace(summary, name=f"{summary.name} macro", estimator="function", parts=parts, function=function)

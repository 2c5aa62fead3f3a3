"""Macro average: the mean over the subsets of a task's data, in which every subset counts the same.

Samples name their subset in `metadata["set"]` (a corpus of a benchmark, a language).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from speech_eval.statistics.summaries import Floats, Rows, Summary, Unit, statistic

SUBSET = "set"  # in a sample's metadata: the name of its subset
MACRO = "macro"  # what the name of the mean over subsets ends in


def over_subsets(summaries: Sequence[Summary], units: Sequence[Unit]) -> Iterator[tuple[Summary, Sequence[Unit]]]:
    """Further summaries, each with the units it is taken over: `NAME macro`, and `NAME SUBSET` for every subset.

    Only headline means and ratios have them, and the numbers of single subsets are not headlines. Yields nothing
    where there is one subset, or where a sample belongs to none.
    """
    names = [unit.sample.metadata.get(SUBSET) for unit in units]
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
    strict = {**unit.strict, SUBSET: code}
    return replace(unit, strict=strict, compat=None if unit.compat is None else {**unit.compat, SUBSET: code})


def _macro(summary: Summary) -> Summary:
    def function(columns: dict[str, Floats], weights: Floats) -> Floats:
        total, subsets = np.zeros(len(weights)), np.zeros(len(weights))
        for code in np.unique(columns[SUBSET]):
            inside = columns[SUBSET] == code
            part = {name: column[inside] for name, column in columns.items()}
            values = statistic(summary, Rows(part, int(inside.sum())), weights[:, inside])
            drawn = weights[:, inside].sum(axis=1) > 0  # a subset that a resample leaves empty does not count
            total += np.where(drawn, values, 0.0)
            subsets += drawn
        return np.asarray(total / subsets)

    parts = (*dict.fromkeys((*summary.parts, SUBSET)),)
    return replace(summary, name=f"{summary.name} {MACRO}", estimator="function", parts=parts, function=function)

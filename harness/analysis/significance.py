"""Which of several runs is significantly better in a number: one family of tests per task.

A family holds the shown numbers of a task for every two of the runs, and Holm's correction runs over all of them.
Comparisons, bold numbers in LaTeX and the ranks of boards use the same families, so they agree on the same runs.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypeVar

from speech_eval.analysis.aligned import Aligned, aligned, task_obstacles
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.statistics.multiple import ADJUST, Correction
from speech_eval.statistics.paired import ALPHA, PairedTest, crossed_test, paired_test

K = TypeVar("K", bound=Hashable)
Number = tuple[str, str]  # metric id, name


@dataclass(frozen=True)
class Family:
    """The adjusted p-values of a task's shown numbers, by number and pair of runs (positions, the smaller first). A
    test is missing where two runs cannot be compared, and where the difference is not defined."""

    adjusted: Mapping[tuple[Number, int, int], float]

    def differ(self, number: Number, one: int, other: int) -> bool | None:
        """Whether two runs differ significantly in a number; None where that was not tested."""
        p_value = self.adjusted.get((number, min(one, other), max(one, other)))
        return None if p_value is None else p_value <= ALPHA


def family(runs: Sequence[RunDirectory], task: str) -> Family:
    """Test the shown numbers of a task for every two of the runs."""
    found: dict[tuple[Number, int, int], float] = {}
    known = [position for position, run in enumerate(runs) if task in run.manifest().tasks]
    for one, other in combinations(known, 2):
        if task_obstacles(runs[one], runs[other], task):
            continue
        for pair in aligned([runs[one], runs[other]], task):
            p_value = paired(task, pair).p_value if is_shown(pair) else None
            if p_value is not None:
                found[(pair.metric, pair.summary.name), one, other] = p_value
    return Family(adjusted(found))


def is_shown(pair: Aligned) -> bool:
    """Whether tables show the number: a headline number, or the primary one."""
    return pair.primary or pair.summary.headline


def paired(task: str, pair: Aligned) -> PairedTest:
    """The paired test of a number in two runs. The same two runs give the same p-value everywhere."""
    if pair.summary.crossed:
        one, other = pair.parts
        return crossed_test(pair.summary, one, other, pair.groups)
    a, b = pair.sides
    return paired_test(pair.summary, a, b, pair.groups, seed=f"compare/{task}/{pair.metric}/{pair.summary.name}")


def adjusted(p_values: Mapping[K, float], correction: Correction = "holm") -> dict[K, float]:
    """A correction over a family of p-values."""
    return dict(zip(p_values, ADJUST[correction](list(p_values.values())).tolist(), strict=True))

"""How far predicted numbers agree with what people said: correlation over the systems of a board, or over samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from speech_eval.leaderboard.histograms import sample_value
from speech_eval.leaderboard.load import TaskLines
from speech_eval.metrics.listening import IDS
from speech_eval.records import MetricResult, TaskResult

LEAST = 3  # systems or samples


@dataclass(frozen=True)
class Correlation:
    """Pearson's r and Spearman's ρ of listeners' number `people` and another number, over `n` systems or samples."""

    people: str
    other: str
    pearson: float
    spearman: float
    n: int
    over: Literal["systems", "samples"]

    @property
    def text(self) -> str:
        """Both coefficients and what they are over."""
        return f"r = {self.pearson:.2f}, ρ = {self.spearman:.2f} over {self.n} {self.over}"


def is_human(metric: MetricResult) -> bool:
    """Whether people made the number."""
    return metric.metric in IDS


def over_systems(rows: Sequence[Sequence[MetricResult | None]]) -> list[Correlation]:
    """The correlations of a board's headline numbers, given the numbers of each row in the order of its columns."""
    columns = list(zip(*rows, strict=True))
    people = [column for column in columns if any(one is not None and is_human(one) for one in column)]
    others = [
        column for column in columns if any(one is not None and one.headline and not is_human(one) for one in column)
    ]
    return [found for one in people for other in others if (found := _columns(one, other)) is not None]


def _columns(people: Sequence[MetricResult | None], other: Sequence[MetricResult | None]) -> Correlation | None:
    both = [(a, b) for a, b in zip(people, other, strict=True) if a is not None and b is not None]
    scorers = {a.scorer for a, _ in both}
    known = [
        (a.strict.value, b.strict.value) for a, b in both if a.strict.value is not None and b.strict.value is not None
    ]
    # numbers of different tests are not comparable
    return None if len(scorers) != 1 else _correlation(known, both[0][0], both[0][1], "systems")


def over_samples(result: TaskResult, lines: TaskLines) -> Iterator[Correlation]:
    """The correlations of a run's headline numbers, sample by sample, where their parts tell a sample's value."""
    people = [metric for metric in result.metrics if is_human(metric)]
    others = [metric for metric in result.metrics if metric.headline and not is_human(metric)] if people else []
    for one in people:
        for other in others:
            both = [(_value(lines, sample.id, one), _value(lines, sample.id, other)) for sample in lines.samples]
            known = [(a, b) for a, b in both if a is not None and b is not None]
            if (found := _correlation(known, one, other, "samples")) is not None:
                yield found


def _value(lines: TaskLines, sample: str, metric: MetricResult) -> float | None:
    score = lines.scores.get((sample, metric.metric))
    return sample_value(score.parts, metric) if score is not None and score.status == "ok" else None


def _correlation(
    known: Sequence[tuple[float, float]], one: MetricResult, other: MetricResult, over: Literal["systems", "samples"]
) -> Correlation | None:
    """None for too few values, and where one side does not vary."""
    from scipy.stats import rankdata

    if len(known) < LEAST:
        return None
    first, second = np.array(known, dtype=np.float64).T
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    pearson = float(np.corrcoef(first, second)[0, 1])
    spearman = float(np.corrcoef(rankdata(first), rankdata(second))[0, 1])
    name = other.metric if other.name == other.metric.split("[")[0] else f"{other.metric} {other.name}"
    return Correlation(one.metric, name, round(pearson, 3), round(spearman, 3), len(known), over)

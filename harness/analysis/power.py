"""How many samples a difference between two models takes, and which difference so many samples show."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Any

import numpy as np

from speech_eval.analysis.aligned import Aligned, aligned, obstacles
from speech_eval.analysis.report import number
from speech_eval.analysis.shown import Shown
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.errors import BadInput, NotComparable
from speech_eval.records import Record
from speech_eval.statistics.bootstrap import RESAMPLES, joint_bootstrap
from speech_eval.statistics.power import detectable_difference, pairs_needed
from speech_eval.statistics.summaries import finite


class PlannedNumber(Record):
    """One number: how much it varies, and what that means for a test of two models on the same samples.

    `deviation` is the standard deviation of the difference per independent unit (a sample, or a cluster of samples), so
    that its standard error over N units is `deviation` / √N. `detectable` is the least difference found over
    `samples`, `needed` how many samples the difference asked for takes; null where they are not defined.
    """

    task: str
    metric: str
    name: str
    unit: str
    headline: bool
    samples: int
    units: int
    deviation: float | None
    detectable: float | None
    needed: int | None = None


class Power(Shown):
    """The power of a two-sided paired test. `runs` are the runs behind the deviations: two runs give that of their
    difference; one run gives that of two independent runs like it, an upper bound for models that err alike."""

    schema_version: int = 1
    runs: list[str]
    alpha: float
    power: float
    difference: float | None = None
    everything: bool = False
    numbers: list[PlannedNumber]

    def caption(self) -> str:
        source = {0: "stated deviation", 1: "one run, taken twice as if independent", 2: "two runs, paired"}
        return f"Two-sided test at {self.alpha:g}, power {self.power:g}; {source[len(self.runs)]}."

    def rows(self) -> list[dict[str, Any]]:
        """One row per headline number, or per number with `everything`."""
        shown = [n for n in self.numbers if n.headline or self.everything]
        return [self._row(planned) for planned in shown]

    def _row(self, planned: PlannedNumber) -> dict[str, Any]:
        unit = "points" if planned.unit == "%" else planned.unit
        row: dict[str, Any] = {}
        if planned.metric:
            row = {"task": planned.task, "metric": f"{planned.metric}/{planned.name}"}
        row |= {
            "samples": planned.samples or "",
            "deviation": number(planned.deviation, 3),
            "detectable": number(planned.detectable, 3) + (f" {unit}" if planned.detectable and unit else ""),
        }
        if self.difference is not None:
            row[f"samples for {self.difference:g}"] = "—" if planned.needed is None else planned.needed
        return row


def of_deviation(
    deviation: float, *, difference: float | None, samples: int | None, alpha: float, power: float
) -> Power:
    """From a stated standard deviation of the differences, for `difference` or over `samples`."""
    if (difference is None) == (samples is None):
        raise BadInput("A deviation needs a difference or a number of samples.", "Give --difference or --samples.")
    _check(deviation=deviation, difference=difference, samples=samples, alpha=alpha, power=power)
    needed = None if difference is None else pairs_needed(deviation, difference, alpha=alpha, power=power)
    n = samples or needed or 0
    found = PlannedNumber(
        task="",
        metric="",
        name="",
        unit="",
        headline=True,
        samples=n,
        units=n,
        deviation=deviation,
        detectable=finite(detectable_difference(deviation, n, alpha=alpha, power=power)),
        needed=needed,
    )
    return Power(runs=[], alpha=alpha, power=power, difference=difference, numbers=[found])


def of_runs(
    runs: Sequence[RunDirectory],
    *,
    difference: float | None,
    samples: int | None,
    alpha: float,
    power: float,
    everything: bool = False,
) -> Power:
    """From one run, or from two runs on the same samples, for every number that they have.

    Raises `NotComparable` for two runs under different conditions, `BadInput` for more than two.
    """
    if not 1 <= len(runs) <= 2:
        raise BadInput(f"{len(runs)} runs were given.", "Give one run, or the two runs to compare.")
    _check(difference=difference, samples=samples, alpha=alpha, power=power)
    tasks = sorted(set.intersection(*(set(run.manifest().tasks) for run in runs)))
    if reasons := obstacles(*runs) if len(runs) == 2 else []:
        raise NotComparable(f"The runs are not comparable: {'; '.join(reasons)}.", "Give two runs of the same tasks.")
    if not tasks:
        raise NotComparable("The runs have no task in common.", "Run the same tasks for both.")
    numbers = [
        _planned(task, pair, difference=difference, samples=samples, alpha=alpha, power=power)
        for task in tasks
        for pair in aligned(runs, task)
        if everything or pair.summary.headline or pair.primary
    ]
    paths = [str(run.path) for run in runs]
    return Power(runs=paths, alpha=alpha, power=power, difference=difference, everything=everything, numbers=numbers)


def _planned(
    task: str, pair: Aligned, *, difference: float | None, samples: int | None, alpha: float, power: float
) -> PlannedNumber:
    count, units = len(pair.clusters), len(set(pair.clusters))
    deviation = _deviation(pair, units, f"power/{task}/{pair.metric}/{pair.summary.name}")
    wanted = count if samples is None else samples
    detectable = needed = None
    if deviation is not None:
        least = detectable_difference(deviation, wanted * units / count, alpha=alpha, power=power)
        detectable = finite(least)
        if difference is not None:
            needed = ceil(pairs_needed(deviation, difference, alpha=alpha, power=power) * count / units)
    return PlannedNumber(
        task=task,
        metric=pair.metric,
        name=pair.summary.name,
        unit=pair.summary.unit,
        headline=pair.summary.headline or pair.primary,
        samples=wanted,
        units=units,
        deviation=None if deviation is None else finite(deviation),
        detectable=detectable,
        needed=needed,
    )


def _deviation(pair: Aligned, units: int, seed: str) -> float | None:
    """The standard deviation of a difference per unit, by the bootstrap; None where it is not defined, and where
    the samples do not differ, which says nothing about others."""
    if units < 2:
        return None
    sides = joint_bootstrap(pair.summary, pair.sides, pair.groups, seed=seed, resamples=RESAMPLES)
    with np.errstate(invalid="ignore"):
        replicates = pair.summary.scale * (sides[0] - sides[1] if len(sides) == 2 else np.sqrt(2) * sides[0])
    found = float(np.std(replicates) * np.sqrt(units))
    return found if np.isfinite(found) and found > 0 else None


def _check(**given: float | None) -> None:
    for name, value in given.items():
        if value is None:
            continue
        share = name in ("alpha", "power")
        if not np.isfinite(value) or value <= 0 or (share and value >= 1):
            allowed = "a number between 0 and 1" if share else "a number above 0"
            raise BadInput(f"{name}={value:g} is not {allowed}.", f"Give {allowed}.")

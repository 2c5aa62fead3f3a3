"""Calibrate a gate: measure the noise of each number from repeated runs of one model, and propose margins.

The paired bootstrap of every pair of runs gives the standard error SE of a difference by chance alone. A one-sided test
at alpha finds a worsening of (z(1 - alpha) + z(power)) SE with probability `power`, and SE falls with the root of the
number of samples. A margin of that size passes an unchanged model with the same probability.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import ceil, floor, log10
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from speech_eval.analysis.aligned import aligned, obstacles
from speech_eval.analysis.report import difference_unit, number
from speech_eval.analysis.shown import Shown
from speech_eval.cache import write_atomically
from speech_eval.engine.run_directory import RunDirectory, charged_to_runs
from speech_eval.errors import BadInput, NotComparable
from speech_eval.records import Record
from speech_eval.statistics.bootstrap import RESAMPLES, joint_bootstrap
from speech_eval.statistics.power import LEAST_UNITS, detectable_errors, samples_needed
from speech_eval.statistics.summaries import Floats, Groups, Rows, Summary, finite, value

DRIFT_LEVEL = 0.01


class Noise(Record):
    """The noise of one number over repeated runs, all in `unit`; for percentages, differences are in points.

    `standard_error`: of the difference between two runs. `detectable`: the least worsening found with `power` at these
    `n` samples. `needed_n`: the samples needed to find a worsening of `target`; null under `drift`, where the runs
    differ by more than their samples explain and more samples do not help. `margin`: the proposed margin.
    """

    task: str
    metric: str
    name: str
    unit: str
    direction: str
    primary: bool
    n: int
    units: int
    value: float | None
    standard_error: float | None = None
    detectable: float | None = None
    target: float | None = None
    needed_n: int | None = None
    drift: bool = False
    margin: float | None = None

    def plan(self) -> str:
        """`TARGET: N`, or why there is no N."""
        if self.drift:
            return "(runs drift)"
        return "" if self.needed_n is None else f"{self.target:g}: {self.needed_n}"


class Calibration(Shown):
    """The noise of every headline number that `runs` share."""

    schema_version: int = 1
    runs: list[str]
    alpha: float
    power: float
    noise: list[Noise]

    def caption(self) -> str:
        return (
            "SE: standard error of the difference of two runs; detectable: least regression found at this n; n for: "
            "samples that a regression of that size takes. "
            f"One-sided alpha {self.alpha:g}, power {self.power:g}, {len(self.runs)} runs."
        )

    def rows(self) -> list[dict[str, Any]]:
        """One row per number."""
        return [
            {
                "number": f"{noise.task} {noise.metric}/{noise.name}",
                "value": f"{number(noise.value, 3)} {noise.unit}".strip(),
                "SE": _change(noise.standard_error, noise.unit),
                "detectable": _change(noise.detectable, noise.unit),
                "n": noise.n if noise.n == noise.units else f"{noise.n} in {noise.units}",
                "n for": noise.plan(),
                "margin": noise.margin,
            }
            for noise in self.noise
        ]

    def records(self) -> list[dict[str, Any]]:
        return [noise.model_dump() for noise in self.noise]


def _change(value: float | None, unit: str) -> str:
    shown = number(value, 4)
    return shown if value is None else f"{shown} {difference_unit(unit)}".strip()


@charged_to_runs
def calibrate(
    runs: Sequence[RunDirectory], *, alpha: float = 0.05, power: float = 0.8, detect: float | None = None
) -> Calibration:
    """Measure the noise of every headline number. `detect` is the worsening to plan for, in the number's unit; the
    default is 0.5 points for percentages and a twentieth of the value for other units.

    Raises `BadInput` for fewer than two runs, `NotComparable` where the runs were made under different conditions.
    """
    if len(runs) < 2:
        raise BadInput("Noise is measured from two or more runs.", "Give runs of the same model with different seeds.")
    for other in runs[1:]:
        if reasons := obstacles(runs[0], other):
            raise NotComparable(
                f"{runs[0].path} and {other.path} are not comparable: {'; '.join(reasons)}.",
                "Run one model again under the same conditions.",
            )
    tasks = sorted(set.intersection(*(set(run.manifest().tasks) for run in runs)))
    if not tasks:
        raise NotComparable("The runs have no task in common.", "Run one model again under the same conditions.")
    noise = [found for task in tasks for found in _task(runs, task, alpha, power, detect)]
    return Calibration(runs=[str(run.path) for run in runs], alpha=alpha, power=power, noise=noise)


def _task(runs: Sequence[RunDirectory], task: str, alpha: float, power: float, detect: float | None) -> list[Noise]:
    found = []
    for pair in aligned(runs, task):
        summary = pair.summary
        if not (pair.primary or summary.headline):
            continue
        noise = measure(
            summary,
            pair.sides,
            pair.groups,
            alpha=alpha,
            power=power,
            detect=detect,
            seed=f"calibrate/{task}/{pair.metric}/{summary.name}",
        )
        found.append(
            Noise(
                task=task,
                metric=pair.metric,
                name=summary.name,
                unit=summary.unit,
                direction=summary.direction,
                primary=pair.primary,
                **noise,
            )
        )
    return found


def measure(
    summary: Summary,
    sides: Sequence[Rows],
    groups: Groups,
    *,
    alpha: float,
    power: float,
    detect: float | None,
    seed: str,
    resamples: int = RESAMPLES,
) -> dict[str, Any]:
    """The numbers of a `Noise` from the same samples in repeated runs."""
    n, units = sides[0].n, int(groups.max()) + 1 if sides[0].n else 0
    exact = [value(summary, side) for side in sides]
    values = np.round(exact, 9)  # differences in the last bits are rounding
    found: dict[str, Any] = {"n": n, "units": units, "value": finite(float(values.mean()))}
    if units < 2 or not np.isfinite(values).all():
        return found
    replicates = summary.scale * joint_bootstrap(summary, sides, groups, seed=seed, resamples=resamples)
    if not np.isfinite(replicates).all():
        return found
    sampling, drift = _variances(values, replicates)
    target = detect if detect is not None else (0.5 if summary.unit == "%" else abs(float(values.mean())) / 20)
    detectable = detectable_errors(alpha, power, two_sided=False) * float(np.sqrt(sampling + drift))
    needed = None
    if not drift and target > 0:
        needed = samples_needed(n, sampling, target, alpha=alpha, power=power)
    return found | {
        "standard_error": finite(float(np.sqrt(sampling + drift))),
        "detectable": finite(detectable),
        "target": finite(target),
        "needed_n": needed,
        "drift": bool(drift),
        "margin": round_up(detectable),
    }


def _variances(values: Floats, replicates: Floats) -> tuple[float, float]:
    """Variance of a difference between two runs: the part that their samples explain, and the rest (0 unless a
    chi-squared test over the runs' values finds more than the samples explain)."""
    from scipy.special import chdtrc

    pairs = list(combinations(range(len(values)), 2))
    sampling = float(np.mean([np.var(replicates[i] - replicates[j]) for i, j in pairs]))
    observed = 2 * float(np.var(values, ddof=1)) if np.ptp(values) > 0 else 0.0
    if sampling == 0:
        return 0.0, observed
    statistic_ = (len(values) - 1) * observed / sampling
    drifts = float(chdtrc(len(values) - 1, statistic_)) < DRIFT_LEVEL
    return sampling, max(0.0, observed - sampling) if drifts else 0.0


def round_up(value: float) -> float:
    """Round up to two significant digits."""
    if value <= 0:
        return 0.0
    places = 1 - floor(log10(value))
    return round(ceil(round(value * 10**places, 6)) / 10**places, max(places, 0))


def write_rules(calibration: Calibration, path: Path) -> None:
    """Write a rules file: no failures, no missing samples, and the proposed margin of every number that has one."""
    rules: list[dict[str, Any]] = []
    for task in dict.fromkeys(noise.task for noise in calibration.noise):
        rules += [{"task": task, "failures": 0}, {"task": task, "completeness": 1}]
    for noise in calibration.noise:
        if noise.margin is not None and noise.units >= LEAST_UNITS:
            number = f"{noise.metric}/{noise.name}"
            rules.append({"task": noise.task, "metric": number, "margin": noise.margin, "alpha": calibration.alpha})
    text = "".join("- " + yaml.safe_dump(rule, default_flow_style=True, sort_keys=False, width=1000) for rule in rules)
    write_atomically(path, text.encode())

"""What the gate can see: the noise of each number, from runs of the same model repeated, and what follows from it.

Two runs that differ by chance alone differ by a standard error SE, from the paired bootstrap of every pair of runs. A
one-sided test at alpha finds a worsening of (z(1 - alpha) + z(power)) SE with probability `power`, and SE falls with
the root of the number of samples. A margin of that size passes an unchanged model with the same probability.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import ceil, floor, log10
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from speech_eval.analysis.compare import obstacles
from speech_eval.cache import write_atomically
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.errors import BadInput, NotComparable
from speech_eval.gate.decisions import regression_power_sum
from speech_eval.metrics.base import Metric, Summary, Unit, clusters
from speech_eval.metrics.catalog import METRICS
from speech_eval.records import Record
from speech_eval.statistics.bootstrap import (
    RESAMPLES,
    Floats,
    Groups,
    Rows,
    finite,
    group,
    joint_bootstrap,
    rows,
    statistic,
)

LEAST_N = 20  # the gate's own minimum
DRIFT_LEVEL = 0.01


class Noise(Record):
    """The noise of one number over repeated runs, all in `unit`.

    `standard_error` is that of the difference between two runs, `detectable` the least worsening found with `power` at
    these `n` samples, `needed_n` how many samples it takes to find one of `target`. `drift`: the runs differ by more
    than their samples explain, so that more samples do not help (`needed_n` is then null). `margin` is the proposal.
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


class Calibration(Record):
    """What `runs` say about the noise of every headline number they share."""

    schema_version: int = 1
    runs: list[str]
    alpha: float
    power: float
    noise: list[Noise]


def calibrate(
    runs: Sequence[RunDirectory], *, alpha: float = 0.05, power: float = 0.8, detect: float | None = None
) -> Calibration:
    """Measure the noise of every headline number. `detect` is the worsening to plan for, in the number's unit; left
    out, it is 0.5 for per cent and a twentieth of the value for other units.

    Raises `BadInput` for fewer than two runs, `NotComparable` where they differ in more than the repetition.
    """
    if len(runs) < 2:
        raise BadInput("One run says nothing about noise.", "Give two or more runs of the same model, other seeds.")
    for other in runs[1:]:
        if reasons := obstacles(runs[0], other):
            raise NotComparable(
                f"{runs[0].path} and {other.path} are not comparable: {'; '.join(reasons)}.", "Repeat one run."
            )
    tasks = sorted(set.intersection(*(set(run.manifest().tasks) for run in runs)))
    if not tasks:
        raise NotComparable("The runs have no task in common.", "Repeat one run.")
    noise = [found for task in tasks for found in _task(runs, task, alpha, power, detect)]
    return Calibration(runs=[str(run.path) for run in runs], alpha=alpha, power=power, noise=noise)


def _task(runs: Sequence[RunDirectory], task: str, alpha: float, power: float, detect: float | None) -> list[Noise]:
    from speech_eval.engine.aggregate import is_primary, numbers_of, unit

    record = runs[0].manifest().tasks[task]
    samples = sorted(runs[0].samples(task), key=lambda sample: sample.id)
    scores = [run.scores(task) for run in runs]
    shared = [m for m in record["metrics"] if all(m in run.manifest().tasks[task]["metrics"] for run in runs)]
    found = []
    for metric_id in shared:
        metric: Metric = METRICS.get(metric_id)()
        pooled: list[Sequence[Unit]] = [
            metric.pool([unit(metric, sample, held.get((sample.id, metric_id))) for sample in samples])
            for held in scores
        ]
        held_by = [{summary.name: units for summary, units in numbers_of(metric, units)} for units in pooled]
        for summary, first in numbers_of(metric, pooled[0]):
            if any(summary.name not in held for held in held_by):
                continue
            groups = group(clusters(first))
            primary = is_primary(record["primary"], metric, summary)
            if not (primary or summary.headline):
                continue
            sides = [rows(summary, [each.strict for each in held[summary.name]]) for held in held_by]
            seed = f"calibrate/{task}/{metric_id}/{summary.name}"
            about = {"task": task, "metric": metric_id, "name": summary.name, "unit": summary.unit}
            about |= {"direction": summary.direction, "primary": primary}
            numbers = measure(summary, sides, groups, alpha=alpha, power=power, detect=detect, seed=seed)
            found.append(Noise(**about, **numbers))
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
    exact = [float(statistic(summary, side, np.ones((1, n)))[0]) * summary.scale for side in sides]
    values = np.round(exact, 9)  # what differs in the last bits does not differ
    found: dict[str, Any] = {"n": n, "units": units, "value": finite(float(values.mean()))}
    if units < 2 or not np.isfinite(values).all():
        return found
    replicates = summary.scale * joint_bootstrap(summary, sides, groups, seed=seed, resamples=resamples)
    if not np.isfinite(replicates).all():
        return found
    sampling, drift = _variances(values, replicates)
    reach = regression_power_sum(alpha, power)
    target = detect if detect is not None else (0.5 if summary.unit == "%" else abs(float(values.mean())) / 20)
    detectable = reach * float(np.sqrt(sampling + drift))
    needed = None if drift else max(LEAST_N, ceil(n * sampling * (reach / target) ** 2)) if target > 0 else None
    return found | {
        "standard_error": finite(float(np.sqrt(sampling + drift))),
        "detectable": finite(detectable),
        "target": finite(target),
        "needed_n": needed,
        "drift": bool(drift),
        "margin": round_up(detectable),
    }


def _variances(values: Floats, replicates: Floats) -> tuple[float, float]:
    """Variance of a difference between two runs: what their samples explain, and what they do not (0 unless a
    chi-squared test over the runs' values says that there is more)."""
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
    """To two significant digits, never below."""
    if value <= 0:
        return 0.0
    places = 1 - floor(log10(value))
    return round(ceil(round(value * 10**places, 6)) / 10**places, max(places, 0))


def write_rules(calibration: Calibration, path: Path) -> None:
    """A rules file: no failures, nothing missing, and the proposed margin of every number that has one."""
    rules: list[dict[str, Any]] = []
    for task in dict.fromkeys(noise.task for noise in calibration.noise):
        rules += [{"task": task, "failures": 0}, {"task": task, "completeness": 1}]
    for noise in calibration.noise:
        if noise.margin is not None and noise.units >= LEAST_N:
            number = f"{noise.metric}/{noise.name}"
            rules.append({"task": noise.task, "metric": number, "margin": noise.margin, "alpha": calibration.alpha})
    text = "".join("- " + yaml.safe_dump(rule, default_flow_style=True, sort_keys=False, width=1000) for rule in rules)
    write_atomically(path, text.encode())

"""Planning of a comparison: the samples needed to find a difference, or the difference that samples can show."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike

from speech_eval.analysis import power as planning
from speech_eval.analysis.power import Power
from speech_eval.api.evaluate import PathLike_
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.errors import BadInput


def power(
    runs: PathLike_ | Sequence[PathLike_] = (),
    *,
    difference: float | None = None,
    samples: int | None = None,
    deviation: float | None = None,
    alpha: float = 0.05,
    power: float = 0.8,
    everything: bool = False,
) -> Power:
    """The samples that a two-sided paired test needs for a difference, and the least difference that it finds.

    runs        two runs to compare, or one run that stands for both; their numbers give the deviations
    difference  the difference to find, in the number's unit
    samples     the number of samples to plan with; default: those of the runs
    deviation   the standard deviation of the differences per sample, in place of runs
    alpha       probability of finding a difference where there is none
    power       probability of finding the difference
    everything  also the numbers that are not headlines

    Raises `NotComparable` for two runs under different conditions.
    """
    several = [runs] if isinstance(runs, str | PathLike) else list(runs)
    if bool(several) == (deviation is not None):
        raise BadInput("Power needs runs, or a deviation.", "Give one or two runs, or --deviation.")
    if deviation is not None:
        return planning.of_deviation(deviation, difference=difference, samples=samples, alpha=alpha, power=power)
    directories = [RunDirectory(run) for run in several]
    return planning.of_runs(
        directories, difference=difference, samples=samples, alpha=alpha, power=power, everything=everything
    )

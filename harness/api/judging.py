"""Judgments over stored runs: compare two, gate one, measure the gate's noise and test the gate."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path

from speech_eval.analysis import compare as comparing
from speech_eval.analysis.compare import Comparison
from speech_eval.api.evaluate import PathLike_
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.gate import baseline as storing
from speech_eval.gate import calibrate as calibrating
from speech_eval.gate import decisions, output
from speech_eval.gate import selftest as testing
from speech_eval.gate.baseline import Baseline
from speech_eval.gate.calibrate import Calibration
from speech_eval.gate.decisions import Verdict
from speech_eval.gate.rules import Rule, load_rules
from speech_eval.gate.selftest import Selftest
from speech_eval.progress import Progress, drawn
from speech_eval.registry import load_plugins
from speech_eval.statistics.multiple import Correction
from speech_eval.statistics.power import LEAST_UNITS

Rules = PathLike_ | Sequence[PathLike_ | Rule]


def compare(
    a: PathLike_,
    b: PathLike_,
    *,
    force: bool = False,
    everything: bool = False,
    correction: Correction = "holm",
    by: str | None = None,
    bins: Sequence[float] = (),
    least: int = LEAST_UNITS,
) -> Comparison:
    """Compare two runs sample by sample: differences with intervals, paired tests, and the most changed samples.

    everything  show all numbers instead of the headline numbers
    correction  of the p-values, over the shown numbers of each task: `holm` bounds the probability of any false
                finding, `bh` (Benjamini and Hochberg) the share of false findings among the findings
    by          compare each slice of a column of the samples: `bins` and `least` as in `slices`; the correction then
                runs over the numbers of all slices

    Raises `NotComparable` where the runs have no task in common, or differ in dataset, protocol, conditions or scorer
    and `force` is off; `BadInput` where no common task has the column.
    """
    return comparing.compare(
        RunDirectory(a),
        RunDirectory(b),
        force=force,
        everything=everything,
        correction=correction,
        by=by,
        bins=bins,
        least=least,
    )


def gate(
    run: PathLike_,
    rules: Rules,
    *,
    baseline: PathLike_ | None = None,
    junit: PathLike_ | None = None,
    markdown: PathLike_ | None = None,
    record: bool = False,
) -> Verdict:
    """Judge a run by the rules of YAML files (or by `Rule` objects), against the run `baseline` where they need one.

    `outcome` of the answer is `pass`, `regression` or `could not judge`. `junit` and `markdown` are files to write the
    verdict to; `record` stores it in the run, for the leaderboard.
    """
    found = decisions.judge(RunDirectory(run), _rules(rules), None if baseline is None else RunDirectory(baseline))
    output.write(found, junit_file=_file(junit), markdown_file=_file(markdown), record=record)
    return found


def save_baseline(run: PathLike_, *, name: str = storing.NAME, folder: PathLike_ = storing.FOLDER) -> Baseline:
    """Keep a finished run, without its audio, as the baseline `folder/name`. Raises `BadInput` where that exists."""
    return storing.save(RunDirectory(run), name, Path(folder))


def show_baseline(*, name: str = storing.NAME, folder: PathLike_ = storing.FOLDER) -> Baseline:
    """The stored baseline: when it was saved, from which run, and its numbers."""
    return storing.show(name, Path(folder))


def update_baseline(
    run: PathLike_,
    rules: Rules,
    *,
    name: str = storing.NAME,
    folder: PathLike_ = storing.FOLDER,
    force: bool = False,
) -> tuple[Baseline, Verdict]:
    """Replace the baseline by a run that passes `rules` against it, or by any run with `force`. Returns the baseline as
    it is now, and the verdict."""
    return storing.update(RunDirectory(run), _rules(rules), name, Path(folder), force=force)


def calibrate(
    runs: Iterable[PathLike_],
    *,
    alpha: float = 0.05,
    power: float = 0.8,
    detect: float | None = None,
    rules: PathLike_ | None = None,
) -> Calibration:
    """Measure the noise of every number from repeated runs of one model, and propose margins for a gate.

    alpha   probability of a false alarm
    power   probability of finding a regression
    detect  the regression to plan for, in the metric's unit; default: 0.5 for per cent, else 5 % of the value
    rules   a file to write the proposed rules to
    """
    found = calibrating.calibrate([RunDirectory(run) for run in runs], alpha=alpha, power=power, detect=detect)
    if rules is not None:
        calibrating.write_rules(found, Path(rules))
    return found


def selftest(
    run: PathLike_,
    rules: Rules = (),
    *,
    pairs: int = testing.PAIRS,
    plugin: Iterable[PathLike_] = (),
    progress: bool | Progress = False,
) -> Selftest:
    """Test a gate: plant known regressions in copies of a run. The gate must block each and pass an identical copy.

    rules   the rules to test; default: the strictest that the run itself passes
    pairs   simulated pairs of equal runs per rule, for the rate of false alarms
    """
    plugins = load_plugins(plugin)
    with drawn(progress) as shown:
        return testing.selftest(RunDirectory(run), _rules(rules), pairs=pairs, plugins=plugins, progress=shown)


def _rules(rules: Rules) -> list[Rule]:
    given = [rules] if isinstance(rules, str | PathLike) else rules
    loaded = [[item] if isinstance(item, Rule) else load_rules(Path(item)) for item in given]
    return [rule for part in loaded for rule in part]


def _file(path: PathLike_ | None) -> Path | None:
    return None if path is None else Path(path)

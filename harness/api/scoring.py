"""Scores without a model: score a run again, verify its numbers, report them, score records of one's own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from speech_eval.analysis import slices as slicing
from speech_eval.analysis.columns import check_bounds
from speech_eval.analysis.exports import export
from speech_eval.analysis.exports.slices import export_slices
from speech_eval.analysis.slices import SliceReport
from speech_eval.api.evaluate import PathLike_, settings_of
from speech_eval.api.run import Run
from speech_eval.engine import session
from speech_eval.engine import verify as verification
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.engine.verify import Verification
from speech_eval.metrics import judge as judges
from speech_eval.metrics import records_file
from speech_eval.progress import Progress, drawn
from speech_eval.registry import load_plugins
from speech_eval.statistics.multiple import Correction


def score(
    run: PathLike_,
    *,
    metrics: str | Iterable[str] | None = None,
    recognizer: str | None = None,
    judge: str | None = None,
    data: PathLike_ | None = None,
    workers: int | None = None,
    executor: str = "local",
    ray_address: str | None = None,
    plugin: Iterable[PathLike_] = (),
    progress: bool | Progress = False,
) -> Run:
    """Score a run's stored outputs again, without the model, and write its results.

    `metrics`, `recognizer` and `data` replace those of the run; the other options are those of `evaluate`. A recognizer
    that the run names is used only if it is one of this installation, by name: see docs/security.md. Without `judge`,
    the replies that the run stores count.
    """
    settings = settings_of(
        metrics=metrics,
        recognizer=recognizer,
        judge=judge,
        data=data,
        workers=workers,
        executor=executor,
        ray_address=ray_address,
        plugin=plugin,
    )
    path = Path(run)
    with drawn(progress) as shown:
        session.rescore(path, settings, shown)
    return Run(path)


def verify(
    run: PathLike_,
    *,
    recognizer: str | None = None,
    data: PathLike_ | None = None,
    workers: int | None = None,
    plugin: Iterable[PathLike_] = (),
    progress: bool | Progress = False,
) -> Verification:
    """Compute every number of a run again from its stored outputs, in a copy, and compare it with `results.json`.

    `differences` of the answer is empty where all numbers were found again. The run itself is not touched.
    `recognizer` and `data` replace those of the run, as in `score`.
    """
    settings = settings_of(recognizer=recognizer, data=data, workers=workers, plugin=plugin)
    with drawn(progress) as shown:
        return verification.verify(Path(run), settings, shown)


def refresh(runs: Iterable[PathLike_]) -> list[Run]:
    """Write `results.json` of each run again from its stored scores."""
    found = [Run(run) for run in runs]
    for run in found:
        session.report(run.path)
    return found


def report(
    runs: PathLike_ | Sequence[PathLike_],
    format: str = "text",
    output: PathLike_ | None = None,
    *,
    by: str | None = None,
    bins: Sequence[float] = (),
    least: int = slicing.LEAST,
    everything: bool = False,
    correction: Correction = "holm",
) -> str:
    """The numbers of runs as a document: text, markdown, csv, json, latex, model-index, tensorboard, gap or gap-svg.

    `output` is a file to write it to as well; for tensorboard the folder of the event files, and the document lists
    them. With `by`, the document shows the numbers of slices, with the options of `slices`, as text, markdown, csv,
    json or latex. Raises `BadInput` for another format. Nothing is written into the runs.
    """
    file = None if output is None else Path(output)
    check_bounds(by, bins)
    if by is not None:
        made = slices(runs, by, bins=bins, least=least, everything=everything, correction=correction)
        return export_slices(made, format, file)
    directories = _directories(runs)
    return export(directories, [directory.results() for directory in directories], format, file)


def slices(
    runs: PathLike_ | Sequence[PathLike_],
    by: str,
    *,
    bins: Sequence[float] = (),
    least: int = slicing.LEAST,
    everything: bool = False,
    correction: Correction = "holm",
) -> SliceReport:
    """The numbers of runs by a column of their samples, each slice tested against the others.

    by          a field of a sample, such as `speaker` or `language`, a key of its `metadata`, or `length`
    bins        bounds at which a column of numbers is cut; default: its quartiles
    least       samples of a slice that is tested
    everything  all numbers instead of the headline numbers
    correction  of the p-values, over the numbers and slices of each task

    Raises `BadInput` where no task has the column, naming the columns there are. Nothing is written into the runs.
    """
    directories = _directories(runs)
    results = [directory.results() for directory in directories]
    return slicing.slices(
        directories, results, by, bins=bins, least=least, everything=everything, correction=correction
    )


def _directories(runs: PathLike_ | Sequence[PathLike_]) -> list[RunDirectory]:
    return [RunDirectory(run) for run in ([runs] if isinstance(runs, str | PathLike) else runs)]


def score_records(
    metric: str,
    path: PathLike_,
    *,
    language: str | None = None,
    judge: str | None = None,
    plugin: Iterable[PathLike_] = (),
) -> dict[str, Any]:
    """Score records of a JSON lines file (`id`, `hypothesis`, `reference`, `language`, …) with one metric.

    `language` is that of records that state none; `judge` is asked where a record holds no votes. Returns `metric`,
    `n`, the `samples`, the `aggregate` as `strict` and `compat` number by name, and `notes` on what was assumed and
    what misleads. Raises `UnknownName` for the metric, `BadInput` naming file and line for a record.
    """
    load_plugins(plugin)
    with judges.using(judge):
        return records_file.evaluate(metric, Path(path), language)

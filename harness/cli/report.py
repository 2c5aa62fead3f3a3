"""`speech-eval report`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speech_eval.cli.common import Bins, By, Correct, Json, Least, Plugins, Runs, numbers

if TYPE_CHECKING:
    from speech_eval.analysis.slices import SliceReport
    from speech_eval.api.run import Run


def report(
    runs: Runs,
    format: Annotated[
        str, typer.Option(help="text, markdown, csv, json, latex, model-index, tensorboard, gap or gap-svg.")
    ] = "text",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; for tensorboard the log folder.")
    ] = None,
    by: By = None,
    bins: Bins = None,
    least: Least = 20,
    correction: Correct = "holm",
    all_: Annotated[bool, typer.Option("--all", help="With --by: also the numbers that are not headlines.")] = False,
    plugin: Plugins = None,
    json: Json = False,
) -> None:
    """Write results.json again from stored scores and print the numbers, or export them; --by cuts them into slices."""
    from speech_eval.analysis.columns import check_bounds
    from speech_eval.api.scoring import refresh, slices
    from speech_eval.api.scoring import report as report_runs
    from speech_eval.cli.console import document
    from speech_eval.registry import load_plugins

    bounds = numbers(bins)
    check_bounds(by, bounds)
    load_plugins(plugin)
    found = refresh(runs)
    if by is not None:
        sliced = slices(found, by, bins=bounds, least=least, everything=all_, correction=correction)
        return _show_slices(sliced, format, output, json)
    if json or (format == "text" and output is None):
        return show(found, json)
    text = report_runs(found, format, output)
    if output is None or format == "tensorboard":
        document(text)


def show(runs: Sequence[Run], json: bool) -> None:
    """Print the results of runs as a table, or as JSON."""
    from speech_eval.analysis.report import table
    from speech_eval.cli.console import emit, out

    results = [run.results for run in runs]
    if json:
        return emit({"runs": [result.model_dump(mode="json") for result in results]})
    out.print(table(results))
    show_parts(runs)


def show_parts(runs: Sequence[Run]) -> None:
    """Print the numbers within subsets of the data, what models lose by hearing, where runs asked in several ways, and
    what conditions change."""
    from speech_eval.analysis import modality_gap, robustness, subsets
    from speech_eval.cli.console import line
    from speech_eval.cli.console import table as plain_table

    if parts := subsets.rows([run.results for run in runs]):
        line("the primary number within each set of the data")
        plain_table(parts)
    for run in runs:
        if found := run.gaps():
            line(f"modality gap of {run.results.name}: the number so asked minus the number as speech, paired by item")
            plain_table(modality_gap.rows(found))
        if changed := run.changes():
            line(f"{run.results.name} under conditions: the number minus that on clean recordings, paired by sample")
            plain_table(robustness.rows(changed))


def _show_slices(found: SliceReport, format: str, output: Path | None, json: bool) -> None:
    from speech_eval.analysis.exports.slices import export_slices, tables
    from speech_eval.cli.console import document, emit, line, out

    if json:
        return emit(found.to_dict())
    if format != "text" or output is not None:
        text = export_slices(found, format, output)
        return document(text) if output is None else None
    for table in tables(found):
        out.print(table)
    line(found.caption())

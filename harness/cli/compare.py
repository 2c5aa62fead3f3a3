"""`speech-eval compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speech_eval.cli.common import Bins, By, Correct, Json, Least, Plugins, numbers

if TYPE_CHECKING:
    from speech_eval.analysis.compare import Changed


def compare(
    a: Annotated[Path, typer.Argument(help="Run directory A.", metavar="A")],
    b: Annotated[Path, typer.Argument(help="Run directory B.", metavar="B")],
    force: Annotated[bool, typer.Option("--force", help="Compare incomparable runs, and mark the result.")] = False,
    correction: Correct = "holm",
    all_: Annotated[bool, typer.Option("--all", help="Also show the numbers that are not headlines.")] = False,
    by: By = None,
    bins: Bins = None,
    least: Least = 20,
    plugin: Plugins = None,
    json: Json = False,
) -> None:
    """Compare two runs sample by sample: differences, intervals, p-values, and the samples that changed most."""
    from speech_eval.analysis.compare_table import tables
    from speech_eval.api.judging import compare as compare_runs
    from speech_eval.cli.console import emit, line, out, say
    from speech_eval.registry import load_plugins

    load_plugins(plugin)
    found = compare_runs(
        a, b, force=force, everything=all_, correction=correction, by=by, bins=numbers(bins), least=least
    )
    if json:
        return emit(found.to_dict())
    for reason in found.forced:
        say(f"NOT COMPARABLE: {reason}")
    line(f"A: {found.a}")
    line(f"B: {found.b}")
    if found.by:
        lacking = f" Without this column: {', '.join(found.without)}." if found.without else ""
        line(f"By {found.by}: slices of fewer than {found.least} samples are not tested.{lacking}")
    for table in tables(found):
        out.print(table)
    for changed in found.changed:
        _show(changed)


def _show(changed: Changed) -> None:
    from speech_eval.cli.console import line

    size = "infinite" if changed.change is None else f"{changed.change:+.4g}"
    line(f"{changed.task} {changed.id}: {changed.metric.split('/')[-1]} {size}")
    named = [("reference", changed.reference, changed.reference_audio)]
    sides = (("A", changed.a), ("B", changed.b))
    named += [(label, side.text or side.error or side.status, side.audio) for label, side in sides]
    for label, text, audio in named:
        line(f"  {label:9} {text or ''}" + (f"  [{as_typed(audio)}]" if audio else ""))


def as_typed(path: str) -> str:
    """A path below the current folder without that folder."""
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else path

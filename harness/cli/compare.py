"""`speech-eval compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speech_eval.cli.common import Json, Plugins, load_plugins, table

if TYPE_CHECKING:
    from speech_eval.analysis.compare import Changed, Comparison


def compare(
    a: Annotated[Path, typer.Argument(help="Run directory A.")],
    b: Annotated[Path, typer.Argument(help="Run directory B.")],
    force: Annotated[bool, typer.Option("--force", help="Compare incomparable runs, and mark the result.")] = False,
    all_: Annotated[bool, typer.Option("--all", help="Also show the numbers that are not headlines.")] = False,
    plugin: Plugins = None,
    json: Json = False,
) -> None:
    """Compare two runs sample by sample: differences, intervals, p-values, and the samples that changed most."""
    from speech_eval.analysis.compare import compare as compare_runs
    from speech_eval.cli.console import emit
    from speech_eval.engine.run_directory import RunDirectory

    load_plugins(plugin)
    comparison = compare_runs(RunDirectory(a), RunDirectory(b), force=force)
    if json:
        return emit(comparison.model_dump(mode="json"))
    _show_comparison(comparison, all_)


def _show_comparison(comparison: Comparison, everything: bool) -> None:
    from speech_eval.analysis.report import number, quantity
    from speech_eval.cli.console import out, say

    for reason in comparison.forced:
        say(f"NOT COMPARABLE: {reason}")
    out.print(f"A: {comparison.a}\nB: {comparison.b}", markup=False, soft_wrap=True)
    table(
        [
            {
                "task": d.task,
                "metric": f"{d.metric}/{d.name}",
                "A": quantity(d.a, d.unit),
                "B": quantity(d.b, d.unit),
                "A - B": quantity(d.difference, d.unit),
                "p (Holm)": "" if d.adjusted is None else f"{d.adjusted:.4f}",
                "effect": "" if d.effect_size is None else f"{d.effect_size:.2f}",
                "detectable": "" if d.detectable is None else f"{number(d.detectable, 3)} {d.unit}".strip(),
                "n": d.n if d.n == d.units else f"{d.n} in {d.units}",
            }
            for d in comparison.differences
            if everything or d.headline or d.primary
        ]
    )
    for changed in comparison.changed:
        _show_changed(changed)


def _show_changed(changed: Changed) -> None:
    from speech_eval.analysis.report import plain
    from speech_eval.cli.console import out

    size = "infinite" if changed.change is None else f"{changed.change:+.4g}"
    lines = [f"{changed.task} {changed.id}: {changed.metric.split('/')[-1]} {size}"]
    named = [("reference", changed.reference, changed.reference_audio)]
    sides = (("A", changed.a), ("B", changed.b))
    named += [(label, side.text or side.error or side.status, side.audio) for label, side in sides]
    lines += [f"  {label:9} {text or ''}" + (f"  [{audio}]" if audio else "") for label, text, audio in named]
    out.print("\n".join(plain(line) for line in lines), markup=False, soft_wrap=True)

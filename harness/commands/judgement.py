"""`speech-eval compare` and `speech-eval gate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.commands.common import Json, Plugins, load_plugins, table


def compare(
    a: Annotated[Path, typer.Argument(help="Run directory A.")],
    b: Annotated[Path, typer.Argument(help="Run directory B.")],
    force: Annotated[bool, typer.Option("--force", help="Compare incomparable runs, and mark the result.")] = False,
    plugin: Plugins = None,
    json: Json = False,
) -> None:
    """Compare two runs sample by sample: differences, intervals, p-values with Holm's correction."""
    from harness.compare import compare as compare_runs
    from harness.console import emit, out, say
    from harness.report import quantity
    from harness.store import RunDirectory

    load_plugins(plugin)
    comparison = compare_runs(RunDirectory(a), RunDirectory(b), force=force)
    if json:
        return emit(comparison.model_dump(mode="json"))
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
                "n": d.n,
            }
            for d in comparison.differences
        ]
    )


def gate(
    path: Annotated[Path, typer.Argument(help="Run directory to judge.", metavar="RUN")],
    rules: Annotated[Path, typer.Option("--rules", help="YAML file of rules.")],
    baseline: Annotated[Path | None, typer.Option(help="Run directory of the baseline.")] = None,
    plugin: Plugins = None,
    json: Json = False,
) -> None:
    """Judge a run by rules: exit 0 pass, 1 regression, 2 could not judge."""
    from harness.console import emit, out
    from harness.gate import judge, load_rules
    from harness.store import RunDirectory

    load_plugins(plugin)
    verdict = judge(RunDirectory(path), None if baseline is None else RunDirectory(baseline), load_rules(rules))
    if json:
        emit({**verdict.model_dump(mode="json"), "exit_code": verdict.exit_code})
    else:
        for item in verdict.judgements:
            what = item.rule.metric or "failures"
            out.print(f"{item.outcome}: {item.rule.task} {what}: {item.reason}", markup=False, soft_wrap=True)
        out.print(f"verdict: {verdict.outcome}", markup=False)
    raise typer.Exit(verdict.exit_code)

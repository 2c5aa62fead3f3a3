"""`speech-eval gate`, with its subcommands `calibrate`, `selftest` and `baseline`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from speech_eval.cli.common import Json, Plugins, Run, Runs

if TYPE_CHECKING:
    from speech_eval.gate.baseline import Baseline


class GateGroup(TyperGroup):
    """`gate RUN …` judges; other commands are those below, and `./calibrate` is a run of that name."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in self.get_help_option_names(ctx):
            args = ["judge", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=GateGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Judge a run by rules: gate RUN --rules FILE [--baseline RUN0]; its options: gate judge --help.",
)
stored = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="The baseline that a repository keeps: save, show or update it."
)
app.add_typer(stored, name="baseline")
Name = Annotated[str, typer.Option(help="Name of the baseline.")]
Folder = Annotated[Path, typer.Option(help="Folder of the repository's baselines.")]
Alpha = Annotated[float, typer.Option(min=0.0001, max=0.4999, help="Probability of a false alarm.")]


@app.command("judge", hidden=True)
def judge(
    path: Run,
    rules: Annotated[list[Path], typer.Option("--rules", help="YAML file of rules; repeatable.")],
    baseline: Annotated[Path | None, typer.Option(help="Run directory of the baseline.")] = None,
    junit: Annotated[Path | None, typer.Option(help="Write the verdict to this file as JUnit XML.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Append the verdict to this file as Markdown.")] = None,
    record: Annotated[
        bool, typer.Option("--record", help="Store the verdict in the run, for the leaderboard.")
    ] = False,
    plugin: Plugins = None,
    json: Json = False,
) -> None:
    """Judge a run by rules: exit 0 pass, 1 regression, 2 could not judge."""
    from speech_eval.api.judging import gate
    from speech_eval.cli.console import emit, line
    from speech_eval.gate.output import text
    from speech_eval.registry import load_plugins

    load_plugins(plugin)
    verdict = gate(path, rules, baseline=baseline, junit=junit, markdown=markdown, record=record)
    if json:
        emit(verdict.to_dict())
    else:
        for said in text(verdict).splitlines():
            line(said)
    raise typer.Exit(verdict.exit_code)


@app.command()
def calibrate(
    runs: Runs,
    alpha: Alpha = 0.05,
    power: Annotated[float, typer.Option(min=0.5, max=0.999, help="Probability of finding a regression.")] = 0.8,
    detect: Annotated[
        float | None,
        typer.Option(min=0.0, help="Regression to plan for, in the metric's unit (default: 0.5 %, or 5 % of it)."),
    ] = None,
    rules: Annotated[Path | None, typer.Option("--rules", help="Write the proposed rules to this file.")] = None,
    plugin: Plugins = None,
    json: Json = False,
) -> None:
    """Measure the noise of every number from repeated runs, and propose margins."""
    from speech_eval.api.judging import calibrate as calibrate_runs
    from speech_eval.cli.console import emit, line, table
    from speech_eval.registry import load_plugins

    load_plugins(plugin)
    found = calibrate_runs(runs, alpha=alpha, power=power, detect=detect, rules=rules)
    if json:
        return emit(found.to_dict())
    table(found.rows())
    line(found.caption())


@app.command()
def selftest(
    path: Run,
    rules: Annotated[
        list[Path] | None, typer.Option("--rules", help="Rules to test (default: no worsening at all); repeatable.")
    ] = None,
    pairs: Annotated[int, typer.Option(min=100, help="Simulated identical pairs per rule.")] = 1000,
    plugin: Plugins = None,
    json: Json = False,
) -> None:
    """Plant known regressions in copies of a run: exit 0 if the gate blocks each and passes an identical copy."""
    from speech_eval.api.judging import selftest as test_gate
    from speech_eval.cli.console import bars, emit, line

    with bars() as progress:
        found = test_gate(path, rules or (), pairs=pairs, plugin=plugin or (), progress=progress)
    if json:
        emit(found.to_dict())
    else:
        for row in found.rows():
            line(f"{row['result']}: {row['test']}: {row['reason']}")
    raise typer.Exit(found.exit_code)


@stored.command("save")
def save(
    path: Run, name: Name = "main", folder: Folder = Path("baselines"), plugin: Plugins = None, json: Json = False
) -> None:
    """Keep a run, without its audio, as a new baseline: commit the folder, and give it to gate as --baseline."""
    from speech_eval.api.judging import save_baseline
    from speech_eval.registry import load_plugins

    load_plugins(plugin)
    _print_baseline(save_baseline(path, name=name, folder=folder), json)


@stored.command("show")
def show(name: Name = "main", folder: Folder = Path("baselines"), plugin: Plugins = None, json: Json = False) -> None:
    """Print when the baseline was saved, from which run, and its numbers."""
    from speech_eval.api.judging import show_baseline
    from speech_eval.registry import load_plugins

    load_plugins(plugin)
    _print_baseline(show_baseline(name=name, folder=folder), json)


@stored.command("update")
def update(
    path: Run,
    rules: Annotated[
        list[Path], typer.Option("--rules", help="YAML file of rules that the run must pass; repeatable.")
    ],
    name: Name = "main",
    folder: Folder = Path("baselines"),
    force: Annotated[bool, typer.Option("--force", help="Replace the baseline even if the run does not pass.")] = False,
    plugin: Plugins = None,
    json: Json = False,
) -> None:
    """Replace the baseline by a run that passes the rules against it; exits as gate does."""
    from speech_eval.api.judging import update_baseline
    from speech_eval.cli.console import emit, line
    from speech_eval.gate.output import text
    from speech_eval.registry import load_plugins

    load_plugins(plugin)
    now, verdict = update_baseline(path, rules, name=name, folder=folder, force=force)
    if json:
        emit({"baseline": now.to_dict(), "verdict": verdict.to_dict()})
    else:
        for said in (*text(verdict).splitlines(), now.caption()):
            line(said)
    raise typer.Exit(0 if force else verdict.exit_code)


def _print_baseline(found: Baseline, json: bool) -> None:
    from speech_eval.analysis.report import table
    from speech_eval.cli.console import emit, line, out

    if json:
        return emit(found.to_dict())
    line(found.caption())
    out.print(table([found.results]))

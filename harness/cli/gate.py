"""`speech-eval gate`, with its subcommands `calibrate` and `selftest`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from speech_eval.cli.common import Json, Plugins, Runs, load_plugins, table

if TYPE_CHECKING:
    from speech_eval.gate.calibrate import Noise


class GateGroup(TyperGroup):
    """`gate RUN …` judges; `calibrate` and `selftest` are commands, and `./calibrate` is a run of that name."""

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
Alpha = Annotated[float, typer.Option(min=0.0001, max=0.4999, help="Probability of a false alarm.")]


@app.command("judge", hidden=True)
def judge(
    path: Annotated[Path, typer.Argument(help="Run directory to judge.", metavar="RUN")],
    rules: Annotated[Path, typer.Option("--rules", help="YAML file of rules.")],
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
    from speech_eval.cli.console import emit, out
    from speech_eval.engine.run_directory import RunDirectory
    from speech_eval.gate import output as gate_output
    from speech_eval.gate.decisions import judge as judge_run
    from speech_eval.gate.rules import load_rules

    load_plugins(plugin)
    verdict = judge_run(RunDirectory(path), load_rules(rules), None if baseline is None else RunDirectory(baseline))
    gate_output.write(verdict, junit_file=junit, markdown_file=markdown, record=record)
    if json:
        emit({**verdict.model_dump(mode="json"), "exit_code": verdict.exit_code})
    else:
        out.print(gate_output.text(verdict), markup=False, soft_wrap=True)
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
    from speech_eval.analysis.report import number
    from speech_eval.cli.console import emit, out
    from speech_eval.engine.run_directory import RunDirectory
    from speech_eval.gate.calibrate import calibrate as calibrate_runs
    from speech_eval.gate.calibrate import write_rules

    load_plugins(plugin)
    found = calibrate_runs([RunDirectory(path) for path in runs], alpha=alpha, power=power, detect=detect)
    if rules is not None:
        write_rules(found, rules)
    if json:
        return emit(found.model_dump(mode="json"))
    table(
        [
            {
                "number": f"{noise.task} {noise.metric}/{noise.name}",
                "value": f"{number(noise.value, 3)} {noise.unit}".strip(),
                "SE": number(noise.standard_error, 4),
                "detectable": number(noise.detectable, 4),
                "n": noise.n if noise.n == noise.units else f"{noise.n} in {noise.units}",
                "n for": _needed(noise),
                "margin": noise.margin,
            }
            for noise in found.noise
        ]
    )
    says = "SE: standard error of the difference of two runs; detectable: least regression found at this n; "
    says += "n for: samples that a regression of that size takes"
    out.print(f"{says}. One-sided alpha {alpha:g}, power {power:g}, {len(runs)} runs.", markup=False, soft_wrap=True)


def _needed(noise: Noise) -> str:
    if noise.drift:
        return "(runs drift)"
    return "" if noise.needed_n is None else f"{noise.target:g}: {noise.needed_n}"


@app.command()
def selftest(
    path: Annotated[Path, typer.Argument(help="Run directory.", metavar="RUN")],
    rules: Annotated[Path | None, typer.Option("--rules", help="Rules to test (default: no worsening at all).")] = None,
    pairs: Annotated[int, typer.Option(min=100, help="Simulated identical pairs per rule.")] = 1000,
    plugin: Plugins = None,
    json: Json = False,
) -> None:
    """Plant known regressions in copies of a run: exit 0 if the gate blocks each and passes an identical copy."""
    from speech_eval.cli.console import bars, emit, out
    from speech_eval.engine.run_directory import RunDirectory
    from speech_eval.gate.rules import load_rules
    from speech_eval.gate.selftest import selftest as try_gate

    plugins = load_plugins(plugin)
    with bars() as progress:
        chosen = [] if rules is None else load_rules(rules)
        found = try_gate(RunDirectory(path), chosen, pairs=pairs, plugins=plugins, progress=progress)
    if json:
        emit({**found.model_dump(mode="json"), "exit_code": found.exit_code})
    else:
        for trial in found.trials:
            said = {True: "held", False: "FAILED", None: "not tried"}[trial.held]
            line = f"{said}: {trial.task}, {trial.injection}: {trial.outcome or 'no verdict'} ({trial.reason})"
            out.print(line, markup=False, soft_wrap=True)
        for alarms in found.false_alarms:
            said = "held" if alarms.held else "FAILED"
            rate = f"{alarms.alarms} of {alarms.pairs} identical pairs accused, at most {alarms.allowed} by chance"
            out.print(f"{said}: {alarms.rule.title}, alpha {alarms.rule.alpha:g}: {rate}", markup=False, soft_wrap=True)
    raise typer.Exit(found.exit_code)

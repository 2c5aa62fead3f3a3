"""`speech-eval compare`, and `speech-eval gate` with its subcommands `calibrate` and `selftest`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from speech_eval.cli.common import Json, Plugins, Runs, load_plugins, table

if TYPE_CHECKING:
    from speech_eval.analysis.compare import Changed, Comparison
    from speech_eval.gate.calibrate import Noise


class GateGroup(TyperGroup):
    """`gate RUN …` judges; `calibrate` and `selftest` are commands, and `./calibrate` is a run of that name."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in self.get_help_option_names(ctx):
            args = ["judge", *args]
        return super().parse_args(ctx, args)


gate_app = typer.Typer(
    cls=GateGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Judge a run by rules: gate RUN --rules FILE [--baseline RUN0]; its options: gate judge --help.",
)
Alpha = Annotated[float, typer.Option(min=0.0001, max=0.4999, help="Risk of a false alarm.")]


def compare(
    a: Annotated[Path, typer.Argument(help="Run directory A.")],
    b: Annotated[Path, typer.Argument(help="Run directory B.")],
    force: Annotated[bool, typer.Option("--force", help="Compare incomparable runs, and mark the result.")] = False,
    all_: Annotated[bool, typer.Option("--all", help="Also numbers that are not headlines.")] = False,
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
    named += [(label, side.text or side.error or side.status, side.audio) for label, side in _sides(changed)]
    lines += [f"  {label:9} {text or ''}" + (f"  [{audio}]" if audio else "") for label, text, audio in named]
    out.print("\n".join(plain(line) for line in lines), markup=False, soft_wrap=True)


def _sides(changed: Changed) -> list[tuple[str, Any]]:
    return [("A", changed.a), ("B", changed.b)]


@gate_app.command("judge", hidden=True)
def judge(
    path: Annotated[Path, typer.Argument(help="Run directory to judge.", metavar="RUN")],
    rules: Annotated[Path, typer.Option("--rules", help="YAML file of rules.")],
    baseline: Annotated[Path | None, typer.Option(help="Run directory of the baseline.")] = None,
    junit: Annotated[Path | None, typer.Option(help="Write the verdict as JUnit XML.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Add the verdict to this file, as for a job summary.")] = None,
    record: Annotated[bool, typer.Option("--record", help="Keep it in the run, for the leaderboard.")] = False,
    plugin: Plugins = None,
    json: Json = False,
) -> None:
    """Judge a run by rules: exit 0 pass, 1 regression, 2 could not judge."""
    from speech_eval.cli.console import emit, out
    from speech_eval.engine.run_directory import RunDirectory
    from speech_eval.gate import output as gate_output
    from speech_eval.gate.rules import judge as judge_run
    from speech_eval.gate.rules import load_rules

    load_plugins(plugin)
    verdict = judge_run(RunDirectory(path), None if baseline is None else RunDirectory(baseline), load_rules(rules))
    gate_output.write(verdict, junit_file=junit, markdown_file=markdown, record=record)
    if json:
        emit({**verdict.model_dump(mode="json"), "exit_code": verdict.exit_code})
    else:
        out.print(gate_output.text(verdict), markup=False, soft_wrap=True)
    raise typer.Exit(verdict.exit_code)


@gate_app.command()
def calibrate(
    runs: Runs,
    alpha: Alpha = 0.05,
    power: Annotated[float, typer.Option(min=0.5, max=0.999, help="Chance to find a regression.")] = 0.8,
    detect: Annotated[
        float | None, typer.Option(min=0.0, help="Regression to plan for, in the metric's unit (0.5 %, or 5 % of it).")
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
                "seen": number(noise.detectable, 4),
                "n": noise.n if noise.n == noise.units else f"{noise.n} in {noise.units}",
                "n for": _needed(noise),
                "margin": noise.margin,
            }
            for noise in found.noise
        ]
    )
    says = "SE: of the difference of two runs; seen: the least regression found at this n; n for: what another takes"
    out.print(f"{says}. One-sided alpha {alpha:g}, power {power:g}, {len(runs)} runs.", markup=False, soft_wrap=True)


def _needed(noise: Noise) -> str:
    if noise.drift:
        return "(runs drift)"
    return "" if noise.needed_n is None else f"{noise.target:g}: {noise.needed_n}"


@gate_app.command()
def selftest(
    path: Annotated[Path, typer.Argument(help="Run directory.", metavar="RUN")],
    rules: Annotated[Path | None, typer.Option("--rules", help="Rules to try (default: no worsening at all).")] = None,
    pairs: Annotated[int, typer.Option(min=100, help="Simulated identical pairs a rule.")] = 1000,
    plugin: Plugins = None,
    json: Json = False,
) -> None:
    """Put known regressions into copies of a run: exit 0 if the gate blocks each and passes an identical copy."""
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

"""The command line: reads the words, draws progress, sets the exit code. It holds no logic.

Exit codes: 0 done · 1 the gate found a regression · 2 bad words or bad input, or the gate could not judge ·
3 done, with more failed samples than --max-failures · 130 interrupted.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from speech_eval import __version__
from speech_eval.cli import best_of, data, gate, leaderboard
from speech_eval.cli import compare as comparison
from speech_eval.cli import train as reproduce
from speech_eval.cli.common import (
    Executor,
    Json,
    Metrics,
    Plugins,
    RayAddress,
    Recognizer,
    Runs,
    Workers,
    failures_of,
    load_plugins,
    settings_of,
    show_failures,
    split,
    table,
)
from speech_eval.errors import BadInput, SpeechEvalError

app = typer.Typer(
    name="speech-eval",
    help="Evaluate speech models: codecs, TTS, ASR, audio LLMs and spoken dialogue, through one adapter interface.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main() -> None:
    """Console entry point: errors raised on purpose become one line and an exit code."""
    try:
        app()
    except SpeechEvalError as error:
        from speech_eval.cli.console import say

        say(f"error: {error}")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        from speech_eval.cli.console import say

        say("interrupted; give the same command again to go on from here")
        sys.exit(130)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"speech-eval {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
) -> None:
    pass


# --------------------------------------------------------------------------------------------------- run


@app.command()
def run(
    model: Annotated[list[str], typer.Option("--model", "-m", help="Model spec; may be given several times.")],
    tasks: Annotated[str, typer.Option("--tasks", "-t", help="Comma-separated task names.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Run directory (default: runs/MODEL).")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="A stable subset; not leaderboard-grade.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="How often timed tasks ask; several models take turns.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed of the run; every sample derives its own.")] = 0,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Requests the model gets at once.")] = None,
    workers: Workers = None,
    executor: Executor = "local",
    ray_address: RayAddress = None,
    data: Annotated[str | None, typer.Option(help="Dataset name or path instead of the task's own.")] = None,
    metrics: Metrics = None,
    recognizer: Recognizer = None,
    max_failures: Annotated[int, typer.Option(min=0, help="Failed samples that are still exit code 0.")] = 0,
    retry_failed: Annotated[bool, typer.Option(help="Ask again for samples that failed before.")] = False,
    trust_remote_code: Annotated[bool, typer.Option(help="Let a checkpoint run its own code.")] = False,
    plugin: Plugins = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would run; load and fetch nothing.")] = False,
    json: Json = False,
) -> None:
    """Evaluate one or several models on one or several tasks. Stopped runs go on where they stopped."""
    from speech_eval.cli.console import bars, emit, out, say
    from speech_eval.engine import session as runner

    settings = settings_of(
        seed=seed,
        limit=limit,
        rounds=rounds,
        executor=executor,
        ray_address=ray_address,
        batch_size=batch_size,
        workers=workers,
        data=data,
        metrics=split(metrics),
        recognizer=recognizer,
        retry_failed=retry_failed,
        trust_remote_code=trust_remote_code,
        plugins=load_plugins(plugin),
    )
    jobs = _jobs(model, split(tasks), output, settings)
    for job in jobs:
        for line in job["skipped"]:
            say(f"skipped: {line}")
    if dry_run:
        plans = [{k: v for k, v in job.items() if k != "spec"} for job in jobs]
        return emit({"dry_run": plans}) if json else _show_plans(plans)
    finished = []
    with bars() as progress:
        calls = [(job["spec"], [str(task["task"]) for task in job["tasks"]], Path(job["output"])) for job in jobs]
        if rounds > 1:
            finished = runner.run_in_turns(calls, settings, progress, say)
        for job, call in zip(jobs, calls if rounds == 1 else [], strict=False):
            progress.prefix = f"{job['model']} · " if len(jobs) > 1 else ""
            finished.append(runner.run(*call, settings, progress, say))
    failed = sum(t.counts.failed + t.counts.empty + t.counts.missing for result in finished for t in result.tasks)
    code = 3 if failed > max_failures else 0
    paths = [job["output"] for job in jobs]
    if json:
        runs = [
            {"path": p, "results": r.model_dump(mode="json"), "failures": failures_of(p, r)}
            for p, r in zip(paths, finished, strict=True)
        ]
        emit({"runs": runs, "failed": failed, "exit_code": code})
    else:
        from speech_eval.analysis.report import table

        out.print(table(finished))
        for path, result in zip(paths, finished, strict=True):
            show_failures(path, result)
            out.print(f"run directory: {path}", markup=False, soft_wrap=True)
    if failed > max_failures:
        say(f"{failed} samples failed or were empty, {max_failures} allowed (--max-failures)")
    raise typer.Exit(code)


def _jobs(models: list[str], tasks: tuple[str, ...], output: Path | None, settings: Any) -> list[dict[str, Any]]:
    """One job a model: its plan and its run directory. Every task must fit a model, and every model a task."""
    from speech_eval.adapters import spec as modelspec
    from speech_eval.engine.plan import plan

    if not tasks:
        raise BadInput("--tasks names no task.", "See: speech-eval list tasks")
    specs = [modelspec.parse(text) for text in dict.fromkeys(models)]
    base = output or Path("runs")
    jobs: list[dict[str, Any]] = []
    for spec in specs:
        planned, skipped = plan(spec, tasks, settings)
        if not planned:
            raise BadInput(f"No task fits the model: {'; '.join(skipped)}.", "See: speech-eval list tasks")
        folder = output if output is not None and len(specs) == 1 else base / spec.slug
        jobs.append(
            {
                "model": modelspec.redact(spec.text),
                "spec": spec,
                "output": str(folder),
                "tasks": [
                    {"task": item.task.name, **item.record(settings).model_dump(mode="json")} for item in planned
                ],
                "skipped": skipped,
            }
        )
    covered = {task["task"] for job in jobs for task in job["tasks"]}
    orphans = [name for name in tasks if name not in covered]
    if orphans:
        raise BadInput(f"No model given can do: {', '.join(orphans)}.", "Leave the task out or add a model for it.")
    folders = [job["output"] for job in jobs]
    if len(set(folders)) != len(folders):
        raise BadInput("Two models would share a run directory.", "Run them with separate --output folders.")
    return jobs


def _show_plans(plans: list[dict[str, Any]]) -> None:
    from speech_eval.cli.console import out

    for plan in plans:
        for task in plan["tasks"]:
            out.print(
                f"{plan['model']}: {task['task']} on {task['dataset']['name']} ({task['samples']} samples), "
                f"{', '.join(task['metrics'])} -> {plan['output']}",
                markup=False,
                soft_wrap=True,
            )


# ------------------------------------------------------------------------------------------ score, report


@app.command()
def score(
    path: Annotated[Path, typer.Argument(help="Run directory.", metavar="RUN")],
    metrics: Metrics = None,
    recognizer: Recognizer = None,
    workers: Workers = None,
    executor: Executor = "local",
    ray_address: RayAddress = None,
    plugin: Plugins = None,
    json: Json = False,
) -> None:
    """Score a run's stored outputs again, without the model."""
    from speech_eval.cli.console import bars
    from speech_eval.engine import session as runner

    settings = settings_of(
        metrics=split(metrics),
        recognizer=recognizer,
        workers=workers,
        executor=executor,
        ray_address=ray_address,
        plugins=load_plugins(plugin),
    )
    with bars() as progress:
        results = runner.rescore(path, settings, progress)
    _show([results], json)


@app.command()
def report(
    runs: Runs,
    format: Annotated[str, typer.Option(help="text, markdown, csv, json, latex, model-index or tensorboard.")] = "text",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write to this file; tensorboard: folder.")
    ] = None,
    plugin: Plugins = None,
    json: Json = False,
) -> None:
    """Compute results.json again from stored scores and print the numbers, or export them."""
    from speech_eval.analysis.exports import export
    from speech_eval.engine import session as runner
    from speech_eval.engine.run_directory import RunDirectory

    load_plugins(plugin)
    results = [runner.report(path) for path in runs]
    if json or (format == "text" and output is None):
        return _show(results, json)
    text = export([RunDirectory(path) for path in runs], results, format, output)
    if output is None or format == "tensorboard":
        typer.echo(text, nl=False)


def _show(results: list[Any], json: bool) -> None:
    from speech_eval.cli.console import emit, out

    if json:
        return emit({"runs": [result.model_dump(mode="json") for result in results]})
    from speech_eval.analysis.report import table

    out.print(table(results))


@app.command()
def verify(
    path: Annotated[Path, typer.Argument(help="Run directory.", metavar="RUN")],
    workers: Workers = None,
    plugin: Plugins = None,
    json: Json = False,
) -> None:
    """Prove that a run's numbers follow from its stored outputs; exit 1 where one does not."""
    from speech_eval.cli.console import bars, emit, out
    from speech_eval.engine.verify import verify as verify_run

    with bars() as progress:
        found = verify_run(path, settings_of(workers=workers, plugins=load_plugins(plugin)), progress)
    if json:
        emit({**found.model_dump(mode="json"), "exit_code": found.exit_code})
    else:
        for line in found.differences:
            out.print(line, markup=False, soft_wrap=True)
        verdict = "verified" if not found.differences else f"{len(found.differences)} differences"
        out.print(f"{found.run}: {found.numbers} numbers recomputed from stored outputs, {verdict}", markup=False)
    raise typer.Exit(found.exit_code)


@app.command()
def metric(
    metric_id: Annotated[str, typer.Argument(help="Metric id, such as 'wer[seed-tts-eval@2024-06]'.")],
    input: Annotated[Path, typer.Option("--input", "-i", help="JSON lines: id, hypothesis, reference, language, …")],
    plugin: Plugins = None,
    json: Json = False,
) -> None:
    """Run one metric over records of your own."""
    from speech_eval.cli.console import emit, out
    from speech_eval.metrics.records_file import evaluate

    load_plugins(plugin)
    found = evaluate(metric_id, input)
    if json:
        return emit(found)
    aggregate = found["aggregate"]
    table(
        [
            {"number": name, "strict": aggregate["strict"][name], "compat": aggregate["compat"][name], "unit": unit}
            for name, unit in aggregate["units"].items()
        ]
    )
    out.print(f"{found['metric']}: {found['n']} records", markup=False)


# ------------------------------------------------------------------------------------------ list, doctor


@app.command("list")
def list_(
    kind: Annotated[str, typer.Argument(help="tasks, models, metrics, data or recipes.")],
    plugin: Plugins = None,
    json: Json = False,
) -> None:
    """List what is registered; --json tells all of each."""
    from speech_eval.api import listing as catalog
    from speech_eval.cli.console import emit

    load_plugins(plugin)
    if kind == "recipes":
        return reproduce.list_recipes(json)
    if json or kind not in catalog.KINDS:
        return emit({kind: catalog.rows(kind)})
    table(catalog.short(kind))


@app.command()
def doctor(
    verify: Annotated[bool, typer.Option(help="Hash every fetched file again.")] = True, json: Json = False
) -> None:
    """Show what is installed, what each extra would add, and which offline weights are present and verified."""
    from speech_eval.api.doctor import examine
    from speech_eval.cli.console import emit, out

    found = examine(verify)
    if json:
        return emit(found)
    out.print(f"speech-eval {found['version']}, Python {found['environment']['python']}", markup=False)
    for extra, state in found["extras"].items():
        missing = [name for name, version in state["packages"].items() if version is None]
        text = "installed" if state["complete"] else f"missing {', '.join(missing)}"
        out.print(f"  extra {extra}: {text}", markup=False, soft_wrap=True)
    out.print(f"offline weights and recordings in {found['cache']}", markup=False, soft_wrap=True)
    table([{k: a[k] for k in ("name", "role", "present", "verified", "license")} for a in found["assets"]])
    for asset in found["assets"]:
        for problem in asset["problems"]:
            out.print(f"  {asset['name']}: {problem}", markup=False, soft_wrap=True)


app.command()(comparison.compare)
app.add_typer(gate.app, name="gate")
app.add_typer(data.app, name="data")
app.command()(reproduce.train_command())
app.command()(reproduce.reproduce)
app.add_typer(reproduce.recipe_app, name="recipe")
app.command()(best_of.best_of)
app.add_typer(leaderboard.app, name="leaderboard")

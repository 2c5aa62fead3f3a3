"""`speech-eval run`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speech_eval.cli.common import Executor, Json, Judge, Language, Metrics, Plugins, RayAddress, Recognizer, Workers
from speech_eval.cli.config import Config
from speech_eval.cli.verbose import Verbose

if TYPE_CHECKING:
    from speech_eval.api.run import Run


def limit_of(text: str) -> int | float:
    """`40` as a number of samples, `0.1` as a fraction of the dataset."""
    try:
        limit = float(text) if "." in text else int(text)
    except ValueError:
        limit = 0
    if limit <= 0 or (isinstance(limit, float) and limit >= 1):
        raise typer.BadParameter(f"{text!r} is neither a positive whole number nor a fraction between 0 and 1.")
    return limit


def run(
    model: Annotated[list[str], typer.Option("--model", "-m", help="Model spec; repeatable.")],
    tasks: Annotated[str, typer.Option("--tasks", "-t", help="Comma-separated names, groups or patterns: 'asr*'.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Run directory (default: runs/MODEL); with several models the folder around theirs."
        ),
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option("--label", help="What tables call the run; with several models one per model.")
    ] = None,
    limit: Annotated[
        float | None,
        typer.Option(
            parser=limit_of,
            metavar="N|FRACTION",
            help="Use only a fixed subset: 40 samples, or 0.1 of the dataset. Tables mark the run as a subset.",
        ),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Repetitions of timed tasks; several models take turns.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed of the run; every sample derives its own.")] = 0,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Requests the model gets at once.")] = None,
    device: Annotated[str | None, typer.Option(help="Device of the model, such as cpu or cuda:1.")] = None,
    dtype: Annotated[str | None, typer.Option(help="Number format of the model, such as bfloat16.")] = None,
    workers: Workers = None,
    executor: Executor = "local",
    ray_address: RayAddress = None,
    data: Annotated[str | None, typer.Option(help="Dataset name or path instead of the task's own.")] = None,
    language: Language = None,
    metrics: Metrics = None,
    recognizer: Recognizer = None,
    judge: Judge = None,
    ask: Annotated[
        str | None, typer.Option(help="How chat models are asked, comma-separated: speech, text, transcript.")
    ] = None,
    under: Annotated[
        str | None,
        typer.Option(
            help="Conditions of the recordings: clean, babble=10, noise=DB, room=0.6, opus=6, telephone, speed=1.2, "
            "level=-40; + joins, commas separate."
        ),
    ] = None,
    max_failures: Annotated[int, typer.Option(min=0, help="Failed samples that still give exit code 0.")] = 0,
    retry_failed: Annotated[bool, typer.Option(help="Ask again for samples that failed before.")] = False,
    regenerate: Annotated[
        bool,
        typer.Option(
            "--regenerate",
            help="Discard the run's answers and ask for all of them again, for a model that has changed.",
        ),
    ] = False,
    timeout: Annotated[
        float | None,
        typer.Option(min=0.001, metavar="SECONDS", help="Time a model has for one sample (default: the task's, 600)."),
    ] = None,
    trust_remote_code: Annotated[bool, typer.Option(help="Let a checkpoint run its own code.")] = False,
    plugin: Plugins = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the plan, the data and the time it takes; contact nothing.")
    ] = False,
    config: Config = None,
    verbose: Verbose = 0,
    json: Json = False,
) -> None:
    """Evaluate one or several models on one or several tasks. A run that was stopped continues where it stopped."""
    from speech_eval.api.evaluate import execute, plan
    from speech_eval.cli.console import bars, emit, line, say

    jobs = plan(
        model,
        tasks,
        output=output,
        labels=label or (),
        offline=dry_run,
        limit=limit,
        rounds=rounds,
        seed=seed,
        batch_size=batch_size,
        device=device,
        dtype=dtype,
        workers=workers,
        executor=executor,
        ray_address=ray_address,
        data=data,
        language=language,
        metrics=metrics,
        recognizer=recognizer,
        judge=judge,
        ask=ask,
        under=under,
        retry_failed=retry_failed,
        regenerate=regenerate,
        timeout=timeout,
        trust_remote_code=trust_remote_code,
        plugin=plugin or (),
    )
    for reason in (reason for job in jobs for reason in job.plan.skipped):
        say(f"skipped: {reason}")
    if dry_run:
        for note in dict.fromkeys(f"{i.task.name}: {i.note}" for job in jobs for i in job.plan.items if i.note):
            say(note)
        if json:
            return emit({"dry_run": [job.to_dict() for job in jobs]})
        for text in (text for job in jobs for text in job.lines()):
            line(text)
        return
    with bars() as progress:
        runs = execute(jobs, progress, say)
    failed = sum(done.failed for done in runs)
    code = 3 if failed > max_failures else 0
    if json:
        emit({"runs": [done.to_dict() for done in runs], "failed": failed, "exit_code": code})
    else:
        _show(runs)
    if code:
        say(f"{failed} samples failed or were empty, {max_failures} allowed (--max-failures)")
        say("ask again for failed samples, and show tracebacks: --retry-failed --verbose")
    raise typer.Exit(code)


def _show(runs: list[Run]) -> None:
    from speech_eval.analysis.report import failure_words, table
    from speech_eval.cli.console import line, out
    from speech_eval.cli.report import show_parts

    out.print(table([done.results for done in runs]))
    show_parts(runs)
    for done in runs:
        counts = {task.task: task.counts for task in done.results.tasks}
        for task, reasons in done.failures().items():
            line(f"{task}: {failure_words(counts[task])} without an answer")
            for reason in reasons:
                line(f"  {reason.line()}", highlight=False)
        for task, count in done.clipped().items():
            line(f"{task}: {count} of {counts[task].expected} answers were clipped: samples outside [-1, 1]")
        line(f"run directory: {done.path}")

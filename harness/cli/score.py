"""`speech-eval score`, `verify` and `metric`: scores without a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from speech_eval.cli.common import (
    Data,
    Executor,
    Json,
    Judge,
    Language,
    Metrics,
    Plugins,
    RayAddress,
    Recognizer,
    Run,
    Workers,
)
from speech_eval.cli.verbose import Verbose


def score(
    path: Run,
    metrics: Metrics = None,
    recognizer: Recognizer = None,
    judge: Judge = None,
    data: Data = None,
    workers: Workers = None,
    executor: Executor = "local",
    ray_address: RayAddress = None,
    plugin: Plugins = None,
    verbose: Verbose = 0,
    json: Json = False,
) -> None:
    """Score a run's stored outputs again, without the model."""
    from speech_eval.api.scoring import score as score_run
    from speech_eval.cli.console import bars
    from speech_eval.cli.report import show

    with bars() as progress:
        done = score_run(
            path,
            metrics=metrics,
            recognizer=recognizer,
            judge=judge,
            data=data,
            workers=workers,
            executor=executor,
            ray_address=ray_address,
            plugin=plugin or (),
            progress=progress,
        )
    show([done], json)


def verify(
    path: Run,
    recognizer: Recognizer = None,
    data: Data = None,
    workers: Workers = None,
    plugin: Plugins = None,
    verbose: Verbose = 0,
    json: Json = False,
) -> None:
    """Prove that a run's numbers follow from its stored outputs; exit 1 where one does not."""
    from speech_eval.api.scoring import verify as verify_run
    from speech_eval.cli.console import bars, emit, line

    with bars() as progress:
        found = verify_run(
            path, recognizer=recognizer, data=data, workers=workers, plugin=plugin or (), progress=progress
        )
    if json:
        emit({**found.model_dump(mode="json"), "exit_code": found.exit_code})
    else:
        for difference in found.differences:
            line(difference)
        verdict = "verified" if not found.differences else f"{len(found.differences)} differences"
        line(f"{found.run}: {found.numbers} numbers recomputed from stored outputs, {verdict}")
    raise typer.Exit(found.exit_code)


def metric(
    metric_id: Annotated[
        str, typer.Argument(help="Metric id, such as 'wer[seed-tts-eval@2024-06]'.", metavar="METRIC")
    ],
    input: Annotated[Path, typer.Option("--input", "-i", help="JSON lines: id, hypothesis, reference, language, …")],
    language: Language = None,
    judge: Judge = None,
    plugin: Plugins = None,
    json: Json = False,
) -> None:
    """Run one metric over records of your own."""
    from speech_eval.api.scoring import score_records
    from speech_eval.cli.console import emit, line, say, table

    found = score_records(metric_id, input, language=language, judge=judge, plugin=plugin or ())
    for note in found["notes"]:
        say(note)
    if json:
        return emit(found)
    aggregate = found["aggregate"]
    table(
        [
            {"number": name, "strict": aggregate["strict"][name], "compat": aggregate["compat"][name], "unit": unit}
            for name, unit in aggregate["units"].items()
        ]
    )
    line(f"{found['metric']}: {found['n']} records")

"""`speech-eval listen …`: listening tests with people."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from speech_eval.cli.common import Json, Runs

app = typer.Typer(help="Listening tests: build, serve, read what people said.", no_args_is_help=True)

_Test = Annotated[Path, typer.Argument(help="Folder of a built test.", metavar="TEST")]
_Answers = Annotated[
    list[Path] | None, typer.Option(help="File of answers, or a folder of them, beside those in TEST; repeatable.")
]
_Screening = Annotated[bool, typer.Option(help="Exclude careless raters by the stated rules.")]
_Headphones = Annotated[bool, typer.Option("--headphones", help="Exclude raters who failed the headphone check.")]


@app.command("build")
def listen_build(
    runs: Runs,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the test.")] = Path("test"),
    kind: Annotated[
        str,
        typer.Option(help="What is asked, with commas: mos, smos, cmos, ab, abx, mushra, same-words, text."),
    ] = "mos",
    task: Annotated[str | None, typer.Option(help="Task whose outputs are heard.")] = None,
    samples: Annotated[int, typer.Option(min=1, help="Samples of the test.")] = 12,
    per_rater: Annotated[int | None, typer.Option(min=1, help="Samples that each rater hears (default: all).")] = None,
    reference: Annotated[
        bool, typer.Option("--reference", help="Also ask about the dataset's recordings, without telling.")
    ] = False,
    mid_anchor: Annotated[bool, typer.Option("--mid-anchor", help="MUSHRA with the 7 kHz anchor too.")] = False,
    align: Annotated[bool, typer.Option(help="Make all sounds equally loud (ITU-R BS.1770).")] = True,
    recordings: Annotated[
        str,
        typer.Option(
            help="Recordings of datasets that may be used: 'auto' (your own data, and datasets whose license allows "
            "redistribution), 'all' or 'none'."
        ),
    ] = "auto",
    title: Annotated[str, typer.Option(help="What raters see as the title.")] = "Listening test",
    seed: Annotated[
        int, typer.Option(help="Seed of the orders, of the choice of samples and of the names of files.")
    ] = 0,
    json: Json = False,
) -> None:
    """Make a listening test from stored outputs. Its folder `page` opens from disk; `key.json` is not for raters."""
    from speech_eval.api.listening import build_listening_test
    from speech_eval.cli.console import emit, line, say

    made = build_listening_test(
        runs,
        output,
        kinds=kind,
        task=task,
        samples=samples,
        per_rater=per_rater,
        reference=reference,
        mid_anchor=mid_anchor,
        align=align,
        recordings=recordings,
        title=title,
        seed=seed,
    )
    for reason, count in made.left_out.items():
        say(f"left out {count} samples: {reason}")
    for note in made.notes:
        say(f"note: {note}")
    if json:
        systems = [system.label for system in made.key.systems]
        facts = {"test": made.key.test, "systems": systems, "loudness": made.key.loudness, "left_out": made.left_out}
        return emit({"page": str(made.page), "samples": made.samples, "trials": made.trials, **facts})
    line(f"{made.samples} samples, {made.trials} trials for each rater: {made.page.resolve().as_uri()}")


@app.command("serve")
def listen_serve(
    test: _Test = Path("test"),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes any free one.")] = 8018,
    json: Json = False,
) -> None:
    """Serve a test until interrupted and keep each rater's answers. It accepts connections from this machine only."""
    from speech_eval.api.listening import serve_listening_test
    from speech_eval.cli.console import emit, line

    def ready(address: str) -> None:
        if json:
            emit({"address": address})
        else:
            line(f"listening test: {address} (press Ctrl-C to stop)")

    serve_listening_test(test, port=port, ready=ready)


@app.command("report")
def listen_report(
    test: _Test,
    answers: _Answers = None,
    screening: _Screening = True,
    headphones: _Headphones = False,
    json: Json = False,
) -> None:
    """Show what raters said: numbers, tests between systems, agreement. Nothing is written."""
    from speech_eval.api.listening import listening_report

    _show(listening_report(test, answers or (), screening=screening, headphones=headphones), json)


@app.command("import")
def listen_import(
    test: _Test,
    runs: Runs,
    answers: _Answers = None,
    screening: _Screening = True,
    headphones: _Headphones = False,
    json: Json = False,
) -> None:
    """Add what raters said to the runs that they heard, as metrics such as mos[human-acr@1]."""
    from speech_eval.api.listening import import_answers

    _show(import_answers(test, runs, answers or (), screening=screening, headphones=headphones), json)


@app.command("power")
def listen_power(
    test: Annotated[
        Path | None, typer.Argument(help="Test with answers that tell how votes vary.", metavar="TEST")
    ] = None,
    difference: Annotated[float, typer.Option(help="The difference to find, such as 0.2 MOS.")] = 0.2,
    samples: Annotated[int | None, typer.Option(help="Samples of the planned test (default: those of TEST).")] = None,
    answers: _Answers = None,
    vote_deviation: Annotated[
        float | None, typer.Option(help="Without TEST: standard deviation of one rater's difference on one sample.")
    ] = None,
    rater_deviation: Annotated[float, typer.Option(help="Without TEST: that between raters.")] = 0.0,
    sample_deviation: Annotated[float, typer.Option(help="Without TEST: that between samples.")] = 0.0,
    alpha: Annotated[float, typer.Option(help="Probability of finding a difference where there is none.")] = 0.05,
    power: Annotated[float, typer.Option(help="Probability of finding the difference.")] = 0.8,
    json: Json = False,
) -> None:
    """How many raters it takes to find a difference between two systems."""
    from speech_eval.api.listening import rater_power
    from speech_eval.cli.console import emit, line, table

    found = rater_power(
        test,
        answers or (),
        difference=difference,
        samples=samples,
        vote_deviation=vote_deviation,
        rater_deviation=rater_deviation,
        sample_deviation=sample_deviation,
        alpha=alpha,
        power=power,
    )
    if json:
        return emit(found.to_dict())
    line(found.caption())
    table(found.rows())


def _show(found: Any, json: bool) -> None:
    from speech_eval.cli.console import emit, line, say, table

    for problem in found.unread:
        say(f"left out: {problem}")
    if json:
        return emit(found.to_dict())
    line(found.caption())
    for rater, reason in found.excluded.items():
        line(f"not counted: {rater}: {reason}")
    for rows in (found.rows(), found.contrast_rows(), found.strength_rows()):
        if rows:
            table(rows)
    if found.strengths_prior:
        line(f"Strengths with a prior of {found.strengths_prior:g} wins and losses between every two systems.")
    if found.remarks:
        table([remark.model_dump() for remark in found.remarks])

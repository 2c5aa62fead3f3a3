"""`speech-eval leaderboard …`: a static site from run directories."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.commands.common import Json, Runs

app = typer.Typer(help="A static leaderboard from run directories.", no_args_is_help=True)


@app.command("build")
def leaderboard_build(
    runs: Runs,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the site.")] = Path("site"),
    audio: Annotated[bool, typer.Option(help="Include audio players.")] = True,
    json: Json = False,
) -> None:
    """Build a static site from run directories; it opens from disk, with no server and no network."""
    from harness.console import bars, emit, out
    from harness.registry import load_attr

    with bars() as progress:
        index = load_attr("leaderboard.build:build")(runs, output, audio=audio, progress=progress)
    if json:
        return emit({"index": str(index)})
    out.print(f"leaderboard: {Path(index).resolve().as_uri()}", markup=False, soft_wrap=True)

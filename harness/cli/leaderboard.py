"""`speech-eval leaderboard …`: a static site from run directories."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from speech_eval.cli.common import Json, Runs

app = typer.Typer(help="Build and preview a static leaderboard from run directories.", no_args_is_help=True)


@app.command("build")
def leaderboard_build(
    runs: Runs,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the site.")] = Path("site"),
    audio: Annotated[bool, typer.Option(help="Include audio players.")] = True,
    recordings: Annotated[
        str,
        typer.Option(
            help="Prompts, originals and questions to play: 'auto' (your own data, and datasets whose license allows "
            "redistribution), 'all' or 'none'."
        ),
    ] = "auto",
    samples: Annotated[int, typer.Option(min=0, help="Samples per task on a run's page.")] = 20,
    json: Json = False,
) -> None:
    """Build a static site from run directories. It opens from disk and needs no server and no network."""
    from speech_eval.api.leaderboard import build_leaderboard
    from speech_eval.cli.console import bars, emit, line, say

    with bars() as progress:
        made = build_leaderboard(runs, output, audio=audio, recordings=recordings, samples=samples, progress=progress)
    for item in made.skipped:
        say(f"left out: {item.path}: {item.reason}")
    if own := made.own_recordings:
        say(
            f"The site includes {own} recording{'' if own == 1 else 's'} of your own data. Before publishing it, check "
            "that you may share them, or build with --recordings none."
        )
    if json:
        skipped = [{"path": item.path, "reason": item.reason} for item in made.skipped]
        return emit(
            {
                "index": str(made.index),
                "runs": made.runs,
                "boards": made.boards,
                "own_recordings": made.own_recordings,
                "skipped": skipped,
            }
        )
    line(f"leaderboard: {made.index.resolve().as_uri()}")


@app.command("serve")
def leaderboard_serve(
    site: Annotated[Path, typer.Argument(help="Folder of a built site.", metavar="SITE")] = Path("site"),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes any free one.")] = 8017,
    json: Json = False,
) -> None:
    """Preview a built site until interrupted. The server accepts connections from this machine only."""
    from speech_eval.api.leaderboard import serve_leaderboard
    from speech_eval.cli.console import emit, line

    def ready(address: str) -> None:
        if json:
            emit({"address": address})
        else:
            line(f"leaderboard: {address} (press Ctrl-C to stop)")

    serve_leaderboard(site, port=port, ready=ready)

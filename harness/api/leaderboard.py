"""The leaderboard: a static site from run directories."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from speech_eval.api.evaluate import PathLike_
from speech_eval.progress import Progress, drawn
from speech_eval.registry import load_attr


def build_leaderboard(
    runs: Iterable[PathLike_],
    output: PathLike_ = "site",
    *,
    audio: bool = True,
    recordings: str = "auto",
    samples: int = 20,
    progress: bool | Progress = False,
) -> Any:
    """Build a static site from run directories; it opens from disk and needs no server and no network.

    audio       include players
    recordings  prompts, originals and questions to play: `auto` (your own data, and datasets whose license allows
                redistribution), `all` or `none`
    samples     samples per task on a run's page

    Returns the site: `index` is its first page, `runs` and `boards` count what it shows, `skipped` names the folders
    left out and why, `own_recordings` counts the recordings of your own data in it. Raises `BadInput` for a path that
    is not a run, and where `output` holds other files.
    """
    build = load_attr("speech_eval.leaderboard.build:build")
    with drawn(progress) as shown:
        return build(
            [Path(run) for run in runs],
            Path(output),
            audio=audio,
            recordings=recordings,
            max_samples=samples,
            progress=shown,
        )


def serve_leaderboard(site: PathLike_ = "site", *, port: int = 8017, ready: Callable[[str], None] = print) -> None:
    """Serve a built site on 127.0.0.1 until interrupted; connections from this machine only.

    `port` 0 takes any free one. `ready` is called with the address once the server listens. Raises `BadInput` for a
    folder without a site, and for a port in use.
    """
    load_attr("speech_eval.leaderboard.serve:serve")(Path(site), port, ready)

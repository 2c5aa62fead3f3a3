"""Builds the site: plain files that open from a disk or any web server, and depend on no network."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import harness
from harness import report
from harness.errors import BadInput
from harness.progress import Progress, silent
from harness.store import disk_errors
from leaderboard.boards import Board, Row, boards
from leaderboard.details import manifest_json, run_facts, task_view
from leaderboard.media import AudioShelf
from leaderboard.runs import Run, Skipped, find, lines

SCHEMA_VERSION = 1
_HERE = Path(__file__).parent
_DATA = Path("data") / "leaderboard.json"


def build(
    runs: Sequence[Path],
    out: Path,
    *,
    audio: bool = True,
    max_samples: int = 20,
    progress: Progress | None = None,
) -> Path:
    """Write the site of `runs` (run directories, or folders of them) into `out`; returns its `index.html`.

    `audio=False` leaves players out; `max_samples` is how many samples a task shows on a run's page, worst first.
    The same runs give the same pages. Raises `BadInput` for a path that is no run, and where `out` holds other files.
    """
    progress = progress or silent
    out = Path(out)
    found, skipped = find(runs)
    _claim(out)
    shelf = AudioShelf(out, enabled=audio)
    templates = _templates()
    shown: list[Run] = []
    pages: set[str] = set()
    for index, run in enumerate(found):
        progress(f"Page of {report.plain(run.results.model)}", index, len(found))
        try:
            page = _run_page(templates, run, shelf, max_samples)
        except BadInput as error:
            if run.named:
                raise
            skipped.append(Skipped(run.path.name, error.problem.replace(f"{run.path.parent}/", "")))
            continue
        pages.add(f"{run.id}.html")
        _write(out / "runs" / f"{run.id}.html", page)
        shown.append(run)
    if not shown:
        reasons = " ".join(f"{item.path}: {item.reason}" for item in skipped)
        raise BadInput(f"No readable run was given. {reasons}", "Score the runs again: speech-eval score RUN")
    made = boards(shown)
    for file in sorted((_HERE / "static").iterdir()):
        _write(out / "static" / file.name, file.read_text("utf-8"))
    data = _data(made, shown, skipped)
    _write(out / _DATA, json.dumps(data, ensure_ascii=False, indent=1, allow_nan=False) + "\n")
    context = {"boards": made, "runs": shown, "skipped": skipped, "models": len({r.results.model for r in shown})}
    _write(out / "index.html", templates.get_template("index.html").render(root="", **context))
    _sweep(out, pages, shelf)
    progress("Site", len(found), len(found))
    return out / "index.html"


def _claim(out: Path) -> None:
    """Write only into a new or empty folder, or over an earlier site: old pages are removed there."""
    if out.exists() and not out.is_dir():
        raise BadInput(f"{out} is a file.", "Choose a folder for the site.")
    if out.is_dir() and any(out.iterdir()) and not (out / _DATA).is_file():
        raise BadInput(f"{out} holds files that are not a leaderboard.", "Choose an empty folder for the site.")
    # claimed at once, so that a build that was stopped can be given again
    if not (out / _DATA).is_file():
        _write(out / _DATA, "{}\n")


def _sweep(out: Path, pages: set[str], shelf: AudioShelf) -> None:
    for file in (out / "runs").glob("*.html"):
        if file.name not in pages:
            file.unlink()
    shelf.sweep()


def _templates() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["version"] = harness.__version__
    environment.globals["report"] = report
    return environment


def _run_page(templates: Any, run: Run, shelf: AudioShelf, max_samples: int) -> str:
    views = [task_view(run, result, lines(run, result), shelf, max_samples) for result in run.results.tasks]
    context = {"run": run, "tasks": views, "facts": run_facts(run), "manifest": manifest_json(run)}
    page: str = templates.get_template("run.html").render(root="../", **context)
    return page


def _write(path: Path, text: str) -> None:
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # text from models may hold half a surrogate pair, which no file can
        path.write_bytes(text.encode("utf-8", errors="replace"))


def _data(made: Sequence[Board], shown: Sequence[Run], skipped: Sequence[Skipped]) -> dict[str, Any]:
    """`data/leaderboard.json`: what the pages show, for programs. docs/leaderboard.md describes it."""
    return {
        "schema_version": SCHEMA_VERSION,
        "harness_version": harness.__version__,
        "boards": [
            {
                "task": board.task,
                "anchor": board.anchor,
                "facts": board.facts,
                "columns": [
                    {k: v for k, v in asdict(column).items() if k not in ("places", "low", "high", "title")}
                    for column in board.columns
                ],
                "rows": [_data_row(row) for row in board.rows],
            }
            for board in made
        ],
        "runs": [
            {
                "id": run.id,
                "page": f"runs/{run.id}.html",
                "model": run.manifest.model.model_dump(mode="json"),
                "results": run.results.model_dump(mode="json"),
            }
            for run in shown
        ],
        "skipped": [asdict(item) for item in skipped],
    }


def _data_row(row: Row) -> dict[str, Any]:
    return {
        "run": row.run.id,
        "model": row.run.results.model,
        "rank": row.rank,
        "rank_shared": row.tied,
        "failures": row.failures,
        "expected": row.result.counts.expected,
        "leaderboard_grade": row.result.leaderboard_grade,
        "marks": row.marks,
        "metrics": [metric.model_dump(mode="json") for metric in report.ordered(row.result.metrics)],
    }

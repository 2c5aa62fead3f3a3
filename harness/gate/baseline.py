"""The baseline that a repository keeps: a run without its audio in a folder under version control, such as
`baselines/main`. Whoever may merge changes of that folder may change the baseline.

    baselines/NAME/baseline.json     when it was saved, from which run, and what it was judged by
    baselines/NAME/manifest.json …   the run: everything that `gate` and `compare` read
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from speech_eval.analysis import report
from speech_eval.analysis.shown import Shown
from speech_eval.engine.run_directory import RunDirectory, read_json, safe_name, write_json
from speech_eval.errors import BadInput
from speech_eval.gate.decisions import Verdict, judge
from speech_eval.gate.rules import Rule
from speech_eval.records import Record, Results

FOLDER, NAME = Path("baselines"), "main"
_RECORD = "baseline.json"


class Saved(Record):
    """`baseline.json`: the folder's name of the run that was saved, the time (ISO 8601), and the outcome of the gate
    against the baseline before it: empty for the first one, `forced` where the user insisted."""

    schema_version: int = 1
    run: str
    at: str
    outcome: str = ""


class Baseline(Shown):
    """A stored baseline: its path, how it was saved, and its results."""

    path: str
    saved: Saved
    results: Results

    def caption(self) -> str:
        judged = f", gate: {self.saved.outcome}" if self.saved.outcome else ""
        return f"{self.path}: {self.results.name}, seed {self.results.seed}, saved {self.saved.at}{judged}"

    def rows(self) -> list[dict[str, Any]]:
        """One row per headline number."""
        names = ("task", "model", "metric", "scorer", "value [95 % interval]", "compat", "n", "failures")
        rows = (row for row in report.rows([self.results]) if row.shown)
        return [dict(zip(names, row.cells(report.label(row.metric)), strict=True)) for row in rows]


def show(name: str = NAME, folder: Path = FOLDER) -> Baseline:
    """A stored baseline. Raises `BadInput` where there is none of that name."""
    path = _path(name, folder)
    if not (path / _RECORD).is_file():
        raise BadInput(f"{path}: no such baseline.", "Save one with: speech-eval gate baseline save RUN")
    return Baseline(path=str(path), saved=read_json(path, _RECORD, Saved), results=RunDirectory(path).results())


def save(run: RunDirectory, name: str = NAME, folder: Path = FOLDER) -> Baseline:
    """Save a finished run as a new baseline. Raises `BadInput` where one of that name exists."""
    path = _path(name, folder)
    if path.exists():
        raise BadInput(
            f"{path} exists already.",
            "Replace it with: speech-eval gate baseline update RUN --rules FILE, or choose another --name.",
        )
    return _write(run, path, "")


def update(
    run: RunDirectory, rules: Sequence[Rule], name: str = NAME, folder: Path = FOLDER, *, force: bool = False
) -> tuple[Baseline, Verdict]:
    """Replace a baseline by a run that passes the gate against it; the answer holds the verdict. A run that does not
    pass leaves the baseline as it is, unless `force`."""
    before = show(name, folder)
    verdict = judge(run, rules, RunDirectory(before.path))
    if verdict.outcome != "pass" and not force:
        return before, verdict
    outcome = verdict.outcome if verdict.outcome == "pass" else f"forced, {verdict.outcome}"
    return _write(run, Path(before.path), outcome), verdict


def _write(run: RunDirectory, path: Path, outcome: str) -> Baseline:
    """Copy what comparisons read next to its place, then move it there, so that a stop leaves the old or the new."""
    results = run.results()
    if run.path.resolve().is_relative_to(path.resolve()):
        raise BadInput(f"{run.path} is the baseline itself.", "Give the new run.")
    fresh = path.with_name(f".{path.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    copy = RunDirectory(fresh)
    run.copy_to(copy)
    saved = Saved(run=run.path.name, at=datetime.now(UTC).isoformat(timespec="seconds"), outcome=outcome)
    write_json(fresh / _RECORD, saved)
    if path.exists():
        old = path.with_name(f".{path.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        path.rename(old)
        fresh.rename(path)
        shutil.rmtree(old)
    else:
        fresh.rename(path)
    return Baseline(path=str(path), saved=saved, results=results)


def _path(name: str, folder: Path) -> Path:
    if safe_name(name) != name:
        raise BadInput(f"'{name}' is not a name of a baseline.", "Use letters, digits, '.', '_' and '-'.")
    return folder / name

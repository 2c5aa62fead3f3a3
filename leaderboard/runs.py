"""Finds run directories and reads what stands in them. Nothing here writes, and no path leads out of a run."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import BadInput
from harness.store import RunDirectory
from harness.types import Manifest, Output, Results, Sample, Score, TaskResult, Transcript


@dataclass(frozen=True)
class Run:
    """A run that can be shown. `id` names its page: the model's name as a slug and a digest of its numbers."""

    id: str
    path: Path
    results: Results
    manifest: Manifest
    named: bool  # given by the caller itself, not found inside a folder of runs

    def record(self, task: str) -> dict[str, Any]:
        """What the manifest says of a task; empty where it says nothing."""
        return self.manifest.tasks.get(task, {})

    def dataset(self, task: str) -> dict[str, Any]:
        """What the manifest says of a task's dataset: name, version, licence, source, attribution."""
        found = self.record(task).get("dataset", {})
        return found if isinstance(found, dict) else {}


@dataclass(frozen=True)
class Skipped:
    """A folder that is shown as left out, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class TaskLines:
    """The stored lines of one task of a run."""

    samples: list[Sample]
    outputs: dict[str, Output]
    transcripts: dict[str, Transcript]
    scores: dict[str, list[Score]] = field(default_factory=dict)


def find(paths: Sequence[Path]) -> tuple[list[Run], list[Skipped]]:
    """The runs at `paths`, each a run directory or a folder of them, and the folders that had to be left out.

    Raises `BadInput` for a path that is neither, for a named run that cannot be read, and where nothing is left.
    """
    runs: dict[str, Run] = {}
    skipped: list[Skipped] = []
    for path, named in _candidates(paths):
        try:
            run = _read(path, named)
        except BadInput as error:
            if named:
                raise
            skipped.append(Skipped(path.name, error.problem.replace(f"{path.parent}/", "")))
            continue
        if run.id in runs:
            skipped.append(Skipped(path.name, f"The same numbers of the same model as {runs[run.id].path.name}."))
            continue
        runs[run.id] = run
    if not runs:
        reasons = " ".join(f"{item.path}: {item.reason}" for item in skipped)
        raise BadInput(f"No readable run was given. {reasons}".strip(), "Make one with: speech-eval run")
    return list(runs.values()), skipped


def _candidates(paths: Sequence[Path]) -> Iterator[tuple[Path, bool]]:
    for path in map(Path, paths):
        if (path / "results.json").is_file():
            yield path, True
            continue
        inside = sorted(file.parent for file in path.glob("*/results.json")) if path.is_dir() else []
        if not inside:
            raise BadInput(
                f"{path / 'results.json'}: no such file, and no run directory lies in {path}.",
                "Give a run directory made by `speech-eval run`, or a folder of them.",
            )
        yield from ((folder, False) for folder in inside)


def _read(path: Path, named: bool) -> Run:
    directory = RunDirectory(path)
    results, manifest = directory.results(), directory.manifest()
    identity = json.dumps([results.line(), manifest.model.line()])
    digest = hashlib.sha256(identity.encode()).hexdigest()[:10]
    return Run(f"{slug(results.model)}-{digest}", path, results, manifest, named)


def slug(text: str) -> str:
    """Letters, digits and `-` only, at most 48: safe as a file name and in an address."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-").lower()[:48].strip("-") or "run"


def lines(run: Run, task: TaskResult) -> TaskLines:
    """The stored lines of a task. Raises `BadInput` naming file and line where one cannot be read."""
    directory = RunDirectory(run.path)
    scores: dict[str, list[Score]] = {}
    for (sample, _), score in directory.scores(task.task).items():
        scores.setdefault(sample, []).append(score)
    return TaskLines(
        samples=directory.samples(task.task),
        outputs=directory.outputs(task.task),
        transcripts=directory.transcripts(task.task),
        scores=scores,
    )

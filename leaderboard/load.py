"""Finds run directories and reads them. Nothing here writes, and no path leads out of a run."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from speech_eval.analysis.derived import with_derived
from speech_eval.analysis.human_baseline import GROUND_TRUTH
from speech_eval.engine import run_files
from speech_eval.engine.run_directory import MANIFEST, RESULTS, Parts, RunDirectory, charged_to_runs
from speech_eval.engine.run_files import brief
from speech_eval.errors import BadInput
from speech_eval.records import (
    DatasetRecord,
    Manifest,
    Output,
    Results,
    Sample,
    Score,
    TaskRecord,
    TaskResult,
    Transcript,
)
from speech_eval.text.files import LARGEST_RECORD

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_OUTCOMES = ("pass", "regression", "could not judge")
_REASONS = 5
_DEPTH = 3  # folders below a given one in which runs are looked for


@dataclass(frozen=True)
class Verdict:
    """A gate's verdict on the run: `outcome`, the baseline's folder name, and the reasons of all its rules."""

    outcome: str
    baseline: str
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Run:
    """A readable run. `id` names its page: the model's name as a slug and a digest of its numbers."""

    id: str
    path: Path
    results: Results
    manifest: Manifest
    verdicts: tuple[Verdict, ...] = ()

    @property
    def human(self) -> bool:
        """Whether the run scores the human recordings of the dataset instead of a model."""
        return self.results.model.split(",")[0] == GROUND_TRUTH

    @property
    def at(self) -> str:
        """Time of the run's last event, ISO 8601; empty where none is recorded."""
        return max((event.at for event in self.manifest.events if _TIME.fullmatch(event.at)), default="")

    def record(self, task: str) -> TaskRecord | None:
        """The manifest's record of a task; None where it has none."""
        return self.manifest.tasks.get(task)

    def dataset(self, task: str) -> DatasetRecord | None:
        """The manifest's record of a task's data; None where it has none."""
        record = self.record(task)
        return record.dataset if record else None


@dataclass(frozen=True)
class Skipped:
    """A folder that was left out, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Answered:
    """How a sample was answered: the status of its output, and the error of one that failed."""

    status: str
    error: str


@dataclass(frozen=True)
class Whole:
    """The whole stored lines of a few samples; scores by sample."""

    outputs: dict[str, Output] = field(default_factory=dict)
    transcripts: dict[str, Transcript] = field(default_factory=dict)
    scores: dict[str, list[Score]] = field(default_factory=dict)


@dataclass(frozen=True)
class TaskLines:
    """The stored lines of one task of a run, of most samples only what a page counts and sorts by. `scores` are by
    sample and metric, with the detail of those without a value."""

    directory: RunDirectory
    task: str
    samples: list[Sample]
    outputs: dict[str, Answered]
    scores: dict[tuple[str, str], Parts]
    metrics: tuple[str, ...]

    def of(self, sample: str) -> list[tuple[str, Parts]]:
        """The scores of a sample, by metric."""
        return [(name, self.scores[sample, name]) for name in self.metrics if (sample, name) in self.scores]

    def whole(self, samples: Collection[str]) -> Whole:
        """Read the whole lines of some samples."""
        scores = {(s.id, s.metric): s for s in self.directory.each_score(self.task) if s.id in samples}
        by_sample: dict[str, list[Score]] = {}
        for (sample, _), score in scores.items():
            by_sample.setdefault(sample, []).append(score)
        return Whole(
            outputs={o.id: o for o in self.directory.each_output(self.task) if o.id in samples},
            transcripts={t.id: t for t in self.directory.each_transcript(self.task) if t.id in samples},
            scores=by_sample,
        )


def find(paths: Sequence[Path]) -> tuple[list[Run], list[Skipped]]:
    """The runs at `paths`, each a run directory or a folder of them, and the folders that were left out.

    A run that cannot be read is left out with the reason; it never stops the others. Raises `BadInput` for a path where
    no folder of runs is, and where no run is readable.
    """
    runs: dict[str, Run] = {}
    skipped: list[Skipped] = []
    problems: list[BadInput] = []
    for path in _candidates(paths):
        try:
            run = read(path)
        except BadInput as error:
            skipped.append(left_out(path, error))
            problems.append(error)
            continue
        if run.id in runs:
            same = runs[run.id].path.name
            skipped.append(Skipped(shown_name(path), f"It has the same numbers of the same model as {same}."))
            continue
        runs[run.id] = run
    if not runs:
        if len(problems) == 1:
            raise problems[0]
        raise BadInput(f"No readable run was given. {reasons(skipped)}".strip(), "Make one with: speech-eval run")
    return list(runs.values()), skipped


def _candidates(paths: Sequence[Path]) -> Iterator[Path]:
    for path in (Path(given).absolute() for given in paths):
        inside = [path] if _is_run(path) else sorted(_runs_in(path, _DEPTH))
        if not inside:
            raise BadInput(
                f"{path / RESULTS}: no such file, and no run directory lies in {path}.",
                "Give a run directory made by `speech-eval run` (a half-written one needs the same command again), "
                "or a folder of them.",
            )
        yield from inside


def _is_run(folder: Path) -> bool:
    return any(os.path.lexists(folder / name) for name in (RESULTS, MANIFEST))


def _runs_in(folder: Path, depth: int) -> Iterator[Path]:
    """Run directories up to `depth` folders below. A folder inside a run, such as its audio, is not a run, and links
    are not followed."""
    try:
        entries = [Path(entry.path) for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return
    for path in entries:
        if _is_run(path):
            yield path
        elif depth > 1:
            yield from _runs_in(path, depth - 1)


def left_out(path: Path, error: BadInput) -> Skipped:
    """A run that was left out for an error, in a line that does not tell where the folder of runs is."""
    return Skipped(shown_name(path), _text(brief(error.problem.replace(f"{path.parent}{os.sep}", ""), 500)))


def shown_name(path: Path) -> str:
    """The name of a folder as text."""
    return _text(path.name)


def _text(path: str) -> str:
    """Text with a path in it, in which the bytes of names that are not UTF-8 are replaced."""
    return path.encode("utf-8", errors="surrogateescape").decode("utf-8", errors="replace")


def reasons(skipped: Sequence[Skipped]) -> str:
    """Why folders were left out, in one line: the first few reasons and the number of others."""
    more = [f"And {len(skipped) - _REASONS} more."] if len(skipped) > _REASONS else []
    return " ".join([f"{item.path}: {item.reason}" for item in skipped[:_REASONS]] + more)


def read(path: Path) -> Run:
    """The run at `path`. Raises `BadInput` where it is half-written, of another schema version, or damaged."""
    return _read(RunDirectory(path))


@charged_to_runs
def _read(directory: RunDirectory) -> Run:
    path = directory.path
    if not directory.has_results():
        raise BadInput(f"{path / RESULTS}: no such file; the run is half-written.", "Give its command again.")
    results, manifest = directory.results(), directory.manifest()
    identity = f"{results.model_dump_json()}\n{manifest.model.model_dump_json()}"
    digest = hashlib.sha256(identity.encode()).hexdigest()[:10]
    (shown, *_) = with_derived([results])
    return Run(f"{slug(results.model)}-{digest}", path, shown, manifest, tuple(_verdicts(path)))


def _verdicts(path: Path) -> Iterator[Verdict]:
    """Verdict files of the gate inside the run (`gate*.json`); other JSON files are ignored."""
    for file in sorted(path.glob("gate*.json")):
        data = _object(path, file.name)
        outcome = data.get("outcome")
        if outcome in _OUTCOMES:
            rules = data.get("judgments")
            reasons = (
                [str(rule.get("reason", "")) for rule in rules if isinstance(rule, dict)]
                if isinstance(rules, list)
                else []
            )
            yield Verdict(str(outcome), Path(str(data.get("baseline") or "")).name, tuple(reasons))


def _object(folder: Path, name: str) -> dict[str, Any]:
    """The JSON object of a file of unknown origin; empty where it holds none."""
    try:
        data = json.loads(run_files.read(folder, name, LARGEST_RECORD))
    except (BadInput, OSError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def slug(text: str) -> str:
    """Letters, digits and `-` only, at most 48: safe as a file name and in an address."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-").lower()[:48].strip("-") or "run"


def lines(run: Run, task: TaskResult) -> TaskLines:
    """The stored lines of a task. Raises `BadInput` naming file and line where one cannot be read."""
    directory = RunDirectory(run.path)
    first = next((metric for metric in task.metrics if metric.primary), None)
    by_parts = first is not None and first.formula is not None and first.formula.estimator != "function"
    # without a value per sample, pages sort by the texts that were compared
    scores = directory.parts(task.task, () if by_parts else {metric.metric for metric in task.metrics})
    return TaskLines(
        directory=directory,
        task=task.task,
        samples=directory.samples(task.task),
        outputs={o.id: Answered(o.status, o.error or "") for o in directory.each_output(task.task)},
        scores=scores,
        metrics=tuple(dict.fromkeys(metric for _, metric in scores)),
    )

"""A run as Python sees it: its numbers, its samples, and how a notebook shows it. Reading only."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speech_eval.analysis import report
from speech_eval.analysis.modality_gap import Gap, gaps
from speech_eval.analysis.robustness import Change, changes
from speech_eval.analysis.shown import html_table
from speech_eval.engine.failures import Reason, failure_reasons
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.records import Manifest, Record, Results

if TYPE_CHECKING:
    import pandas


class Run:
    """A run directory, for reading: nothing here writes, executes or contacts anything, and each property reads the
    files again. Wherever a function takes a run, it takes its path as well.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.directory = RunDirectory(path)

    @property
    def path(self) -> Path:
        return self.directory.path

    @property
    def manifest(self) -> Manifest:
        """The record of `manifest.json`. Raises `BadInput` where it is missing or not of this version."""
        return self.directory.manifest()

    @property
    def results(self) -> Results:
        """The record of `results.json`. Raises `BadInput` where it is missing: the run has not finished."""
        return self.directory.results()

    @property
    def failed(self) -> int:
        """How many samples have no usable answer: failed, empty or missing, over all tasks."""
        return sum(report.failures(task.counts) for task in self.results.tasks)

    def failures(self) -> dict[str, list[Reason]]:
        """Why samples failed, most frequent reason first, by task. Tasks without a failure are left out."""
        found = {task.task: failure_reasons(self.directory, task.task) for task in self.results.tasks}
        return {task: reasons for task, reasons in found.items() if reasons}

    def clipped(self) -> dict[str, int]:
        """How many spoken answers had samples outside [-1, 1], which are stored clipped, by task. Tasks without one are
        left out."""
        names = [task.task for task in self.results.tasks]
        found = {name: sum(self._clipped(name).values()) for name in names}
        return {name: count for name, count in found.items() if count}

    def _clipped(self, task: str) -> dict[str, bool]:
        outputs = self.directory.each_output(task)
        return {output.id: output.audio is not None and output.audio.peak > 1.0 for output in outputs}

    def gaps(self) -> list[Gap]:
        """What a conversation model loses by hearing instead of reading, per task that was asked in several ways."""
        return gaps(self.directory)

    def changes(self) -> list[Change]:
        """What each condition changes against clean recordings, per task that was asked about both."""
        return changes(self.directory)

    def to_dict(self) -> dict[str, Any]:
        """The path, the results, the failures, the numbers of clipped answers, the gaps and the changes under
        conditions as plain data, as `speech-eval run --json` prints them."""
        failures = {task: [reason.record() for reason in reasons] for task, reasons in self.failures().items()}
        results = self.results.model_dump(mode="json")
        about = {"path": str(self.path), "results": results, "failures": failures, "clipped": self.clipped()}
        paired: dict[str, Sequence[Record]] = {"gaps": self.gaps(), "changes": self.changes()}
        return about | {name: [one.model_dump(mode="json") for one in found] for name, found in paired.items()}

    def frame(self) -> pandas.DataFrame:
        """All numbers, one row per task and number. Needs the extra `pandas`."""
        from speech_eval.analysis.frame import results_frame

        return results_frame([self.results])

    def samples(self, task: str | None = None) -> pandas.DataFrame:
        """Inputs, outputs and scores, one row per sample of `task`, or of every task. Needs the extra `pandas`."""
        from speech_eval.analysis.frame import samples_frame

        return samples_frame(self.directory, task)

    def rows(self) -> list[dict[str, Any]]:
        """The headline numbers as the command line shows them, one row per number."""
        names = ("task", "model", "metric", "scorer", "value [95 % interval]", "compat", "n", "failures")
        return [
            dict(zip(names, row.cells(report.short(row.metric, row.task)), strict=True))
            for row in report.rows([self.results])
            if row.shown
        ]

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    def _repr_html_(self) -> str:
        return html_table(self.rows(), f"{self.results.name} · {self.path}")


def load_run(path: str | os.PathLike[str]) -> Run:
    """Open a run directory for reading. Raises `BadInput` for a folder without the manifest of a run."""
    run = Run(path)
    run.directory.manifest()
    return run

"""What a run's page shows of tasks that ask about the same samples: the modality gap, and what conditions cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from speech_eval.analysis import modality_gap, robustness
from speech_eval.analysis.gap_chart import svg
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.errors import SpeechEvalError
from speech_eval.leaderboard.load import Run


@dataclass(frozen=True)
class PairedView:
    """The gaps and the changes as rows of tables, and the gaps as an SVG `picture`; each may be empty."""

    gaps: list[dict[str, Any]] = field(default_factory=list)
    picture: str = ""
    changes: list[dict[str, Any]] = field(default_factory=list)


def paired_view(run: Run) -> PairedView:
    """Nothing for a run that asked in one way only, or that does not hold its scores."""
    if all(record.ask == "speech" and not record.under for record in run.manifest.tasks.values()):
        return PairedView()
    directory = RunDirectory(run.path)
    try:
        gaps, changes = modality_gap.gaps(directory), robustness.changes(directory)
    except SpeechEvalError:
        return PairedView()
    picture = svg(gaps, f"Modality gap of {run.results.name}") if gaps else ""
    return PairedView(modality_gap.rows(gaps), picture, robustness.rows(changes))

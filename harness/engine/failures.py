"""How many samples of a run have no answer or no value, and why: each reason once, with its count and samples."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from speech_eval.engine.run_directory import RunDirectory

SHOWN = 3  # samples that a line names
NO_OUTPUT = "no output is stored"
# What begins the reason of a sample that is not counted, by status.
NOT_THE_MODELS = {"invalid": "not counted, defective data: ", "unscored": "not counted, the scorer broke: "}


@dataclass(frozen=True)
class Reason:
    """Why `samples` failed. `text` is the first one's message; `metric` is set where there is an answer without a value
    of that metric."""

    text: str
    samples: tuple[str, ...]
    metric: str | None = None

    @property
    def count(self) -> int:
        return len(self.samples)

    def record(self) -> dict[str, Any]:
        """As plain data."""
        return {"reason": self.text, "count": self.count, "samples": list(self.samples), "metric": self.metric}

    def line(self) -> str:
        """`2 × BadAudio: s1.wav: … (s1, s7)`."""
        named = ", ".join(self.samples[:SHOWN]) + (", …" if self.count > SHOWN else "")
        unscored = "" if self.metric is None else f"no {self.metric}: "
        return f"{self.count} × {unscored}{self.text} ({named})"


def failure_reasons(run: RunDirectory, task: str) -> list[Reason]:
    """The reasons of a task, most frequent first: missing, failed or empty answers, then metrics without a value."""
    lost: dict[tuple[str, str], list[tuple[str, str]]] = {}
    answered, unscored = _answered(run, task), _unscored(run, task)
    for sample in sorted(sample.id for sample in run.each_sample(task)):
        if text := answered.get(sample, NO_OUTPUT):
            lost.setdefault(("", _kind(text, sample)), []).append((sample, text))
            continue
        for name, text in sorted(unscored.get(sample, ())):
            lost.setdefault((name, _kind(text, sample)), []).append((sample, text))
    found = [
        Reason(" ".join(items[0][1].split()), tuple(sample for sample, _ in items), metric or None)
        for (metric, _), items in lost.items()
    ]
    return sorted(
        found, key=lambda reason: (reason.metric is not None, -reason.count, reason.metric or "", reason.text)
    )


def _answered(run: RunDirectory, task: str) -> dict[str, str]:
    """Why a sample has no usable answer, by sample; empty text for a usable one."""
    return {
        output.id: ""
        if output.status == "ok"
        else NOT_THE_MODELS.get(output.status, "") + (output.error or "the answer was empty")
        for output in run.each_output(task)
    }


def _unscored(run: RunDirectory, task: str) -> dict[str, list[tuple[str, str]]]:
    """(metric, reason) of each score without a value, by sample."""
    lost: dict[tuple[str, str], str] = {}
    # The last key of a written line, so where all lines end so there is nothing to look for.
    if all(line.endswith(b',"status":"ok"}') for line in run.raw_lines("scores", task)):
        return {}
    for score in run.each_score(task):  # a later line replaces an earlier one
        if score.status != "ok":
            text = NOT_THE_MODELS.get(score.status, "") + str(score.detail.get("reason", "no value"))
            lost[score.id, score.metric] = text
        else:
            lost.pop((score.id, score.metric), None)
    found: dict[str, list[tuple[str, str]]] = {}
    for (sample, metric), reason in lost.items():
        found.setdefault(sample, []).append((metric, reason))
    return found


def _kind(text: str, sample: str) -> str:
    """The message without what differs between samples: names, paths and numbers."""
    text = re.sub(r"\S*[/\\]\S*", "PATH", text.replace(sample, "ID"))
    return re.sub(r"\d+(\.\d+)?(e[+-]?\d+)?", "N", text)

"""The modality gap of a run: what a conversation model loses on the same items when it hears them instead of reading
them.

`speech-eval run --ask speech,text,transcript` asks every item in each way. The gap is the number as text (or by a
transcript) minus the number as speech, paired item by item. What the transcript loses against the text is the
recognizer's doing; what speech loses against the transcript is the model's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from speech_eval.analysis.report import difference_unit, primary, quantity
from speech_eval.analysis.significance import adjusted, paired_tasks
from speech_eval.engine.run_directory import RunDirectory, charged_to_runs
from speech_eval.records import Ask, Estimate, Record, TaskResult

WAYS: tuple[Ask, ...] = ("text", "transcript")  # each against speech


class Gap(Record):
    """The primary number of a task asked in one way against the same as speech: `gap` = `other` - `speech`, in points
    for percentages. `p_value` is two-sided and paired by item; `adjusted` is Holm's correction over the gaps of the
    run."""

    task: str
    ask: Ask
    metric: str
    name: str
    unit: str
    direction: str
    n: int
    speech: Estimate
    other: Estimate
    gap: Estimate
    p_value: float | None = None
    adjusted: float | None = None


@charged_to_runs
def gaps(run: RunDirectory) -> list[Gap]:
    """Every gap of a run, in the order of its tasks; empty where it asked in one way only."""
    tasks = {task.task: task for task in run.results().tasks}
    found = [
        gap
        for name, task in tasks.items()
        for way in WAYS
        if f"{name}@{way}" in tasks and (gap := _gap(run, task, way)) is not None
    ]
    known = {(gap.task, gap.ask): gap.p_value for gap in found if gap.p_value is not None}
    corrected = adjusted(known)
    return [gap.model_copy(update={"adjusted": corrected.get((gap.task, gap.ask))}) for gap in found]


def _gap(run: RunDirectory, task: TaskResult, way: Ask) -> Gap | None:
    number = primary(task)
    if number is None:
        return None
    seed = f"gap/{task.task}/{way}/{number.metric}"
    found = paired_tasks(run, task.task, f"{task.task}@{way}", number.metric, number.name, seed)
    if found is None:
        return None
    test, n = found
    return Gap(
        task=task.task,
        ask=way,
        metric=number.metric,
        name=number.name,
        unit=number.unit,
        direction=number.direction,
        n=n,
        speech=test.b,
        other=test.a,
        gap=test.difference,
        p_value=test.p_value,
    )


def rows(found: Iterable[Gap]) -> list[dict[str, Any]]:
    """One row per gap, rounded to what its interval supports."""
    return [
        {
            "task": gap.task,
            "asked as": gap.ask,
            "number": f"{gap.metric}/{gap.name}",
            "as speech": quantity(gap.speech, gap.unit),
            "so asked": quantity(gap.other, gap.unit),
            "gap": quantity(gap.gap, difference_unit(gap.unit)),
            "p (Holm)": "" if gap.adjusted is None else f"{gap.adjusted:.4f}",
            "n": gap.n,
        }
        for gap in found
    ]


def table(found: Sequence[Gap]) -> str:
    """The gaps as a Markdown table; empty where there are none."""
    lines = rows(found)
    if not lines:
        return ""
    head = [f"| {' | '.join(lines[0])} |", f"|{'---|' * len(lines[0])}"]
    return "\n".join([*head, *(f"| {' | '.join(str(cell) for cell in line.values())} |" for line in lines)]) + "\n"

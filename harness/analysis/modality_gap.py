"""The modality gap of a run: what a conversation model loses on the same items when it hears them instead of reading
them.

`speech-eval run --ask speech,text,transcript` asks every item in each way. The gap is the number as text (or by a
transcript) minus the number as speech, paired item by item. What the transcript loses against the text is the
recognizer's doing; what speech loses against the transcript is the model's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from speech_eval.analysis.aligned import Aligned, across_tasks
from speech_eval.analysis.report import difference_unit, primary, quantity
from speech_eval.analysis.significance import adjusted
from speech_eval.analysis.subsets import within
from speech_eval.engine.run_directory import RunDirectory, charged_to_runs
from speech_eval.records import Ask, Estimate, Record, TaskResult
from speech_eval.statistics.paired import paired_test

WAYS: tuple[Ask, ...] = ("text", "transcript")  # each against speech


class Gap(Record):
    """A number of a task asked in one way against the same as speech: `gap` = `other` - `speech`, in points for
    percentages.

    The number is the task's primary one, or the same within one `subset` of its data. `p_value` is two-sided and paired
    by item; `adjusted` is Holm's correction over the gaps of the run.
    """

    task: str
    subset: str = ""
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

    @property
    def place(self) -> tuple[str, str]:
        """The task and the subset, which gaps of several ways share."""
        return self.task, self.subset


@charged_to_runs
def gaps(run: RunDirectory) -> list[Gap]:
    """Every gap of a run, in the order of its tasks; empty where it asked in one way only."""
    tasks = {task.task: task for task in run.results().tasks}
    asked = [(name, task, [way for way in WAYS if f"{name}@{way}" in tasks]) for name, task in tasks.items()]
    found = [gap for _, task, ways in asked for gap in _gaps(run, task, ways)]
    known = {(gap.place, gap.ask): gap.p_value for gap in found if gap.p_value is not None}
    corrected = adjusted(known)
    return [gap.model_copy(update={"adjusted": corrected.get((gap.place, gap.ask))}) for gap in found]


def _gaps(run: RunDirectory, task: TaskResult, ways: Sequence[Ask]) -> Iterator[Gap]:
    """The gaps of one task, subset by subset."""
    number = primary(task)
    if number is None or not ways:
        return
    pairs = {way: across_tasks(run, [task.task, f"{task.task}@{way}"], number.metric) for way in ways}
    names = {"": number.name} | {subset: metric.name for subset, metric in within(task, number).items()}
    for subset, name in names.items():
        for way in ways:
            if name in pairs[way]:
                yield _gap(task.task, subset, way, number.metric, pairs[way][name])


def _gap(task: str, subset: str, way: Ask, metric: str, pair: Aligned) -> Gap:
    speech, other = pair.sides
    seed = f"gap/{task}/{way}/{metric}" + (f"/{subset}" if subset else "")
    test = paired_test(pair.summary, other, speech, pair.groups, seed=seed)
    return Gap(
        task=task,
        subset=subset,
        ask=way,
        metric=metric,
        name=pair.summary.name,
        unit=pair.summary.unit,
        direction=pair.summary.direction,
        n=len(pair.ids),
        speech=test.b,
        other=test.a,
        gap=test.difference,
        p_value=test.p_value,
    )


def rows(found: Iterable[Gap]) -> list[dict[str, Any]]:
    """One row per gap, rounded to what its interval supports."""
    return [
        {
            "task": " ".join(filter(None, gap.place)),
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

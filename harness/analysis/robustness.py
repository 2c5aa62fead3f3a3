"""What conditions cost a model: the same samples in noise, in rooms and over lines, against the recordings as they are.

`speech-eval run --under clean,babble=10` asks for every sample under each condition. The change is the number under the
condition minus the number on clean recordings, paired sample by sample.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from speech_eval.analysis.aligned import across_tasks
from speech_eval.analysis.report import difference_unit, primary, quantity
from speech_eval.analysis.significance import adjusted
from speech_eval.engine.run_directory import RunDirectory, charged_to_runs
from speech_eval.records import Estimate, Record
from speech_eval.statistics.paired import paired_test


class Change(Record):
    """The primary number of a task under a condition against the same on clean recordings: `change` = `changed` -
    `clean`, in points for percentages. `p_value` is two-sided and paired by sample; `adjusted` is Holm's correction
    over the changes of the run."""

    task: str
    under: str
    metric: str
    name: str
    unit: str
    direction: str
    n: int
    clean: Estimate
    changed: Estimate
    change: Estimate
    p_value: float | None = None
    adjusted: float | None = None


@charged_to_runs
def changes(run: RunDirectory) -> list[Change]:
    """Every change of a run, in the order of its tasks; empty where it has no task both clean and under a condition."""
    tasks = {task.task: task for task in run.results().tasks}
    found = []
    for result in tasks.values():
        clean = tasks.get(result.sweep.task) if result.under and result.sweep else None
        number = primary(clean) if clean else None
        if clean is None or number is None:
            continue
        pair = across_tasks(run, [clean.task, result.task], number.metric).get(number.name)
        if pair is None:
            continue
        before, after = pair.sides
        test = paired_test(pair.summary, after, before, pair.groups, seed=f"under/{result.task}/{number.metric}")
        found.append(
            Change(
                task=clean.task,
                under=result.under,
                metric=number.metric,
                name=number.name,
                unit=number.unit,
                direction=number.direction,
                n=len(pair.ids),
                clean=test.b,
                changed=test.a,
                change=test.difference,
                p_value=test.p_value,
            )
        )
    known = {(change.task, change.under): change.p_value for change in found if change.p_value is not None}
    corrected = adjusted(known)
    return [one.model_copy(update={"adjusted": corrected.get((one.task, one.under))}) for one in found]


def rows(found: Iterable[Change]) -> list[dict[str, Any]]:
    """One row per change, rounded to what its interval supports."""
    return [
        {
            "task": change.task,
            "under": change.under,
            "number": f"{change.metric}/{change.name}",
            "clean": quantity(change.clean, change.unit),
            "so heard": quantity(change.changed, change.unit),
            "change": quantity(change.change, difference_unit(change.unit)),
            "p (Holm)": "" if change.adjusted is None else f"{change.adjusted:.4f}",
            "n": change.n,
        }
        for change in found
    ]

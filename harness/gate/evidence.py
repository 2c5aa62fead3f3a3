"""What a verdict shows beside its reason: the number in both runs, and the samples that speak most for a regression."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from speech_eval.analysis.aligned import Aligned, align
from speech_eval.analysis.compare import Answers, changed_samples
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.gate.findings import Outcome
from speech_eval.gate.rules import ON_A_NUMBER, Rule
from speech_eval.records import MetricResult, Output, Record, TaskResult
from speech_eval.statistics.summaries import finite, value

SHOWN = 3  # samples per rule


class Worst(Record):
    """A sample that speaks for a regression. `value` and `baseline_value` are the number's `part` in both runs, `text`
    and `baseline_text` the answers, their transcripts, or why there is none."""

    id: str
    part: str = ""
    value: float | None = None
    baseline_value: float | None = None
    reference: str | None = None
    text: str | None = None
    baseline_text: str | None = None

    def line(self) -> str:
        """`s12: errors 3, baseline 0: "the answer" for "the reference", baseline "its answer"`."""
        numbers = [f"{self.part} {self.value:g}"] if self.value is not None else []
        numbers += [f"baseline {self.baseline_value:g}"] if self.baseline_value is not None else []
        words = [repr(self.text)] if self.text is not None else []
        words += [f"for {self.reference!r}"] if self.reference else []
        words += [f"baseline {self.baseline_text!r}"] if self.baseline_text is not None else []
        return ": ".join(filter(None, [self.id, ", ".join(numbers), ", ".join(words)]))


def number_of(rule: Rule, task: TaskResult) -> MetricResult | None:
    """The number that a rule names; None where the task does not have it."""
    return next((m for m in task.metrics if rule.metric in (f"{m.metric}/{m.name}", m.metric)), None)


def evidence(
    run: RunDirectory,
    baseline: RunDirectory | None,
    rule: Rule,
    task: TaskResult,
    outcome: Outcome,
    within: Collection[str] | None = None,
) -> dict[str, Any]:
    """The fields `unit`, `run_value`, `baseline_value` and `worst` of a judgment; `within` are the ids of its slice."""
    if rule.kind not in ON_A_NUMBER:
        lost = [] if outcome == "pass" or rule.kind == "stop_rate" else _lost(run, rule.task)
        return {"worst": lost}
    found = number_of(rule, task)
    if found is None:
        return {}
    other = None if baseline is None else _same_number(baseline, rule.task, found)
    shown: dict[str, Any] = {"unit": found.unit, "run_value": found.strict.value}
    if other is not None:
        shown["baseline_value"] = other.strict.value
    other_run = baseline if other is not None else None
    if within is not None:
        for name, side in (("run_value", run), ("baseline_value", other_run)):
            pair = None if side is None else align([side], rule.task, found.metric, found.name, within)
            if pair is not None:
                shown[name] = finite(value(pair.summary, pair.sides[0]))
    if outcome != "pass":
        shown["worst"] = _worst(run, other_run, rule.task, found, within)
    return shown


def _same_number(run: RunDirectory, task: str, number: MetricResult) -> MetricResult | None:
    metrics = [metric for found in run.results().tasks if found.task == task for metric in found.metrics]
    return next((m for m in metrics if (m.metric, m.name) == (number.metric, number.name)), None)


def _worst(
    run: RunDirectory,
    baseline: RunDirectory | None,
    task: str,
    number: MetricResult,
    within: Collection[str] | None,
) -> list[Worst]:
    """Of two runs the samples that got worse, of one the worst."""
    pair = align([run, run if baseline is None else baseline], task, number.metric, number.name, within)
    if pair is None:
        return []
    if baseline is None:
        return _worst_of_one(run, task, pair)
    return [
        Worst(
            id=sample.id,
            part=sample.metric.rpartition("/")[2],
            value=sample.a.value,
            baseline_value=sample.b.value,
            reference=sample.reference,
            text=sample.a.text or sample.a.error or sample.a.status,
            baseline_text=sample.b.text or sample.b.error or sample.b.status,
        )
        for sample in changed_samples(run, baseline, task, pair, worse=True)[:SHOWN]
    ]


def _worst_of_one(run: RunDirectory, task: str, pair: Aligned) -> list[Worst]:
    part = pair.summary.parts[0]
    values = np.array([float(parts.get(part, np.inf)) for parts in pair.parts[0]])
    order = np.argsort(-values if pair.summary.direction == "lower" else values, kind="stable")[:SHOWN]
    answers, samples = Answers(run, task), {sample.id: sample for sample in run.samples(task)}
    found = []
    for index in order:
        key, side = pair.ids[index], answers.side(pair.ids[index], float(values[index]))
        reference = samples[key].text if key in samples else None
        text = side.text or side.error or side.status
        found.append(Worst(id=key, part=part, value=finite(values[index]), reference=reference, text=text))
    return found


def _lost(run: RunDirectory, task: str) -> list[Worst]:
    """Samples without a usable answer, and why."""
    outputs = run.outputs(task)
    lost = [sample for sample in run.samples(task) if sample.id not in outputs or outputs[sample.id].status != "ok"]
    return [Worst(id=s.id, reference=s.text, text=_why(outputs.get(s.id))) for s in lost[:SHOWN]]


def _why(output: Output | None) -> str:
    return "no output" if output is None else output.error or output.status

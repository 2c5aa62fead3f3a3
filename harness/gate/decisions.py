"""The gate's decision: rules applied to a run and its baseline give one verdict and one exit code.

A rule that cannot be judged never passes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from pydantic import Field

from speech_eval.analysis.aligned import Aligned, align, task_obstacles
from speech_eval.analysis.columns import Cut, cut, no_column
from speech_eval.analysis.report import failures
from speech_eval.analysis.shown import Shown
from speech_eval.engine.interleave import calls_of, round_of
from speech_eval.engine.run_directory import RunDirectory, charged_to_runs
from speech_eval.errors import nearest
from speech_eval.gate import findings
from speech_eval.gate.evidence import Worst, evidence, number_of
from speech_eval.gate.findings import Finding, Outcome
from speech_eval.gate.rules import Kind, Rule
from speech_eval.records import MetricResult, Record, TaskResult

_ORDER: tuple[Outcome, ...] = ("regression", "could not judge", "pass")
EXIT_CODES: dict[Outcome, int] = {"pass": 0, "regression": 1, "could not judge": 2}


class Judgment(Record):
    """The outcome of one rule, and its reason. `value` is what was judged (a number, a worsening, a ratio or a share),
    `bound` the end of its interval that decides, both in the unit of the rule; `n` counts independent units.

    `run_value` and `baseline_value` are the number in the two runs, in `unit`. `worst` are the samples that speak most
    for a regression, worst first; empty where the rule passed. `slice` is the worst slice of a rule by a column, whose
    numbers these are.
    """

    rule: Rule
    outcome: Outcome
    reason: str
    n: int | None = None
    value: float | None = None
    bound: float | None = None
    p_value: float | None = None
    unit: str = ""
    run_value: float | None = None
    baseline_value: float | None = None
    worst: list[Worst] = Field(default_factory=list)
    slice: str | None = None

    def values(self) -> str:
        """`run 9.8 %, baseline 7.1 %`; empty where the rule is not on a number."""
        sides = (("run", self.run_value), ("baseline", self.baseline_value))
        return ", ".join(f"{side} {value:.4g} {self.unit}".rstrip() for side, value in sides if value is not None)


class Verdict(Shown):
    """The gate's answer: the worst of its judgments. A regression is worse than a rule that could not be judged."""

    schema_version: int = 1
    run: str
    baseline: str | None
    outcome: Outcome
    judgments: list[Judgment]

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.outcome]

    def caption(self) -> str:
        against = f" against {self.baseline}" if self.baseline else ""
        return f"{self.run}{against}: {self.outcome}"

    def rows(self) -> list[dict[str, Any]]:
        """One row per rule: its title, its outcome, the number in both runs, and the reason."""
        return [
            {"rule": j.rule.title, "outcome": j.outcome, "values": j.values(), "reason": j.reason}
            for j in self.judgments
        ]

    def records(self) -> list[dict[str, Any]]:
        """One record per rule, with the number that was judged and the end of its interval that decides."""
        return [j.rule.model_dump() | j.model_dump(exclude={"rule", "worst"}) for j in self.judgments]

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "exit_code": self.exit_code}


@charged_to_runs
def judge(run: RunDirectory, rules: Sequence[Rule], baseline: RunDirectory | None = None) -> Verdict:
    """Judge a run by rules. `margin` and `factor` rules need the baseline; without it they cannot be judged."""
    results = {task.task: task for task in run.results().tasks}
    judgments = []
    shown: dict[str, Any]
    for rule in rules:
        task = results.get(rule.task)
        if task is None:
            finding, shown = _unjudged(f"the run has no task '{rule.task}'; it has {', '.join(results)}"), {}
        else:
            finding, shown = _judged(run, baseline, rule, task)
        judgments.append(Judgment(rule=rule, **finding.fields(), **shown))
    outcomes = {judgment.outcome for judgment in judgments}
    return Verdict(
        run=str(run.path),
        baseline=None if baseline is None else str(baseline.path),
        outcome=next((outcome for outcome in _ORDER if outcome in outcomes), "could not judge"),
        judgments=judgments,
    )


def _judged(
    run: RunDirectory, baseline: RunDirectory | None, rule: Rule, task: TaskResult
) -> tuple[Finding, dict[str, Any]]:
    """The finding of a rule, and the other fields of its judgment."""
    if rule.by:
        samples = run.samples(rule.task)
        parted = cut(samples, rule.by, rule.bins)
        if parted is None:
            return _unjudged(str(no_column(rule.by, samples))), {}
        if isinstance(number := _number(run, baseline, rule, task), Finding):
            return number, {}
        name, finding = _worst_slice(run, baseline, rule, number, parted)
        within = parted.ids.get(name)
        shown = evidence(run, baseline, rule, task, finding.outcome, within)
        return finding, {**shown, "slice": name}
    finding = _JUDGES[rule.kind](run, baseline, rule, task)
    return finding, evidence(run, baseline, rule, task, finding.outcome)


def _unjudged(reason: str) -> Finding:
    return Finding("could not judge", reason)


def _too_few(units: int, rule: Rule) -> Finding:
    return Finding("could not judge", f"{units} independent units, at least {rule.minimum_n} needed", units)


# ------------------------------------------------------------------------------------- facts of the run


def _failures(run: RunDirectory, baseline: RunDirectory | None, rule: Rule, task: TaskResult) -> Finding:
    failed = failures(task.counts)
    text = f"{failed} of {task.counts.expected} samples failed, {rule.limit:g} allowed"
    return Finding("pass" if failed <= rule.limit else "regression", text, task.counts.expected, failed, failed)


def _completeness(run: RunDirectory, baseline: RunDirectory | None, rule: Rule, task: TaskResult) -> Finding:
    there, expected = task.counts.expected - task.counts.missing, task.counts.expected
    if not expected:
        return _unjudged("the task has no samples")
    share = there / expected
    text = f"{there} of {expected} samples have an output, a share of {share:.4g}, at least {rule.limit:g} wanted"
    return Finding("pass" if share >= rule.limit else "regression", text, expected, share, share)


def _stop_rate(run: RunDirectory, baseline: RunDirectory | None, rule: Rule, task: TaskResult) -> Finding:
    """`metadata.stopped` of an output says whether the model ended its answer itself, before any limit of length. An
    expected sample without an answer counts as not ended."""
    outputs = run.outputs(rule.task)
    known = [outputs[s.id].metadata.get("stopped") for s in run.samples(rule.task) if s.id in outputs]
    if not any(isinstance(stopped, bool) for stopped in known):
        return _unjudged("no output says whether the model ended its answer itself (metadata.stopped)")
    if task.counts.expected < rule.minimum_n:
        return _too_few(task.counts.expected, rule)
    return findings.share(sum(stopped is True for stopped in known), task.counts.expected, rule.limit, rule.alpha)


# ------------------------------------------------------------------------------- numbers with a margin


def _absolute(run: RunDirectory, baseline: RunDirectory | None, rule: Rule, task: TaskResult) -> Finding:
    pair = _pair(run, run, rule, task)  # an absolute bound needs no other run
    return pair if isinstance(pair, Finding) else _bounded(pair, rule)


def _margin(run: RunDirectory, baseline: RunDirectory | None, rule: Rule, task: TaskResult) -> Finding:
    pair = _pair(run, baseline, rule, task)
    return pair if isinstance(pair, Finding) else _bounded(pair, rule)


def _bounded(pair: Aligned, rule: Rule, tests: int = 1) -> Finding:
    """The finding of a `max`, `min` or `margin` rule, one of `tests`."""
    seed, (own, other) = f"gate/{rule.task}/{pair.metric}/{pair.summary.name}", pair.sides
    options: dict[str, Any] = {"limit": rule.limit, "alpha": rule.alpha, "seed": seed, "tests": tests}
    if rule.kind == "margin":
        return findings.margin(pair.summary, own, other, pair.groups, **options)
    return findings.absolute(pair.summary, own, pair.groups, high=rule.kind == "max", **options)


def _worst_slice(
    run: RunDirectory, baseline: RunDirectory | None, rule: Rule, number: MetricResult, parted: Cut
) -> tuple[str, Finding]:
    """The slice that decides, and its finding: a regression before what could not be judged before a pass, of equal
    outcomes the one nearest to the limit or farthest beyond it. Slices of fewer than `minimum_n` units are not
    judged."""
    sides = [run, run if rule.kind != "margin" or baseline is None else baseline]
    pairs = {name: align(sides, rule.task, number.metric, number.name, ids) for name, ids in parted.ids.items()}
    judged = {name: p for name, p in pairs.items() if p is not None and len(set(p.clusters)) >= rule.minimum_n}
    if not judged:
        return "", _unjudged(f"no slice by {rule.by} has {rule.minimum_n} independent units with this number")
    found = {name: _bounded(pair, rule, len(judged)) for name, pair in judged.items()}
    sign = -1.0 if rule.kind == "min" else 1.0
    deciding = min(
        found, key=lambda name: (_ORDER.index(found[name].outcome), -sign * (found[name].bound or 0.0), name)
    )
    held = sum(finding.outcome == "pass" for finding in found.values())
    left = len(parted.ids) - len(judged)
    small = f"; {left} with fewer than {rule.minimum_n} independent units not judged" if left else ""
    said = f"worst slice {deciding}: {found[deciding].reason}; {held} of {len(found)} slices pass{small}"
    return deciding, replace(found[deciding], reason=said)


def _factor(run: RunDirectory, baseline: RunDirectory | None, rule: Rule, task: TaskResult) -> Finding:
    """The rank test of latency rules, over the rounds in which the two runs took turns."""
    pair = _pair(run, baseline, rule, task)
    if isinstance(pair, Finding):
        return pair
    assert baseline is not None
    samples = {sample.id: sample for sample in run.samples(rule.task)}
    if any(samples[key].round is None for key in pair.ids):
        return _unjudged("the samples were timed once; run both models in one call with --rounds")
    if len(pair.ids) < rule.minimum_n:
        return _too_few(len(pair.ids), rule)
    rounds = np.array([round_of(samples[key]) for key in pair.ids])
    ones, others = (calls_of(side.manifest(), rule.task) for side in (run, baseline))
    numbers = [int(number) for number in np.unique(rounds)]
    if apart := [number for number in numbers if not ones.get(number) or ones.get(number) != others.get(number)]:
        return _unjudged(
            f"nothing says that the two runs took turns in {len(apart)} of {len(numbers)} rounds; "
            "run both models in one call with --rounds"
        )
    a, b = pair.sides
    return findings.factor(pair.summary, a, b, rounds, limit=rule.limit, alpha=rule.alpha)


def _number(run: RunDirectory, baseline: RunDirectory | None, rule: Rule, task: TaskResult) -> MetricResult | Finding:
    """The number that a rule names, or why it cannot be judged."""
    if task.counts.missing:
        return _unjudged(f"{task.counts.missing} of {task.counts.expected} samples are missing")
    found = number_of(rule, task)
    if found is None:
        has = [f"{m.metric}/{m.name}" for m in task.metrics if m.headline or m.primary]
        return _unjudged(
            f"the run has no number '{rule.metric}' in task '{rule.task}'. {nearest(rule.metric or '', has)}"
        )
    if rule.kind in ("max", "min"):
        return found
    if baseline is None:
        return _unjudged(f"a {rule.kind} needs --baseline")
    reason = "" if baseline is run else _incomparable(run, baseline, rule, found)
    return _unjudged(reason) if reason else found


def _pair(run: RunDirectory, baseline: RunDirectory | None, rule: Rule, task: TaskResult) -> Aligned | Finding:
    """The rule's number in both runs, or why it cannot be judged."""
    found = _number(run, baseline, rule, task)
    if isinstance(found, Finding):
        return found
    assert baseline is not None
    pair = align([run, baseline], rule.task, found.metric, found.name)
    if pair is None:
        return _unjudged(f"the baseline has no '{found.metric}/{found.name}'")
    if rule.kind != "factor" and (units := len(set(pair.clusters))) < rule.minimum_n:
        return _too_few(units, rule)
    return pair


def _incomparable(run: RunDirectory, baseline: RunDirectory, rule: Rule, found: MetricResult) -> str:
    held = baseline.manifest().tasks.get(rule.task)
    if held is None or found.metric not in held.metrics:
        return f"the baseline has no '{found.metric}' for task '{rule.task}'"
    return "; ".join(task_obstacles(run, baseline, rule.task))


_Judge = Callable[[RunDirectory, RunDirectory | None, Rule, TaskResult], Finding]
_JUDGES: dict[Kind, _Judge] = {
    "max": _absolute,
    "min": _absolute,
    "margin": _margin,
    "factor": _factor,
    "failures": _failures,
    "completeness": _completeness,
    "stop_rate": _stop_rate,
}

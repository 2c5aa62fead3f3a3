"""The gate: rules over a run and its baseline, one verdict, one exit code. What cannot be judged never passes.

docs/gate.md explains each kind of rule. Rules are a YAML list:

    - {task: asr, metric: 'wer[whisper-normalizer]/wer', max: 10}              an absolute bound
    - {task: asr, metric: 'wer[whisper-normalizer]/wer', margin: 0.5}          not worse than the baseline by more
    - {task: latency, metric: 'ttfa[first-audible@1]/ttfa-p50', factor: 1.2}   not slower than the baseline by more
    - {task: asr, failures: 0}                                                 at most so many samples without an answer
    - {task: asr, completeness: 1}                                             least share of samples asked for at all
    - {task: seed-tts, stop_rate: 0.98}                                        least share of answers ended by the model
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import yaml
from pydantic import ConfigDict, Field, ValidationError, model_validator

from speech_eval.analysis.compare import Pair, pair_up, task_obstacles
from speech_eval.engine.interleave import calls_of, round_of
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.errors import BadInput
from speech_eval.gate import decisions as gate_tests
from speech_eval.gate.decisions import Finding, Outcome
from speech_eval.metrics.base import Metric
from speech_eval.metrics.catalog import METRICS
from speech_eval.records import Record, TaskResult

EXIT_CODES: dict[Outcome, int] = {"pass": 0, "regression": 1, "could not judge": 2}
Kind = Literal["max", "min", "margin", "factor", "failures", "completeness", "stop_rate"]
KINDS: tuple[Kind, ...] = ("max", "min", "margin", "factor", "failures", "completeness", "stop_rate")
_ON_A_NUMBER = ("max", "min", "margin", "factor")


class Rule(Record):
    """One line of the rules file; exactly one of `KINDS`, in the metric's unit, or a share for the last two.

    `alpha` is the risk of each of the rule's two one-sided tests, `minimum_n` the least number of independent units.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str
    metric: str = ""
    max: float | None = None
    min: float | None = None
    margin: float | None = Field(default=None, ge=0)
    factor: float | None = Field(default=None, gt=1)
    failures: int | None = Field(default=None, ge=0)
    completeness: float | None = Field(default=None, ge=0, le=1)
    stop_rate: float | None = Field(default=None, ge=0, le=1)
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    minimum_n: int = Field(default=20, ge=2)

    @model_validator(mode="after")
    def _one_bound(self) -> Rule:
        bounds = [name for name in KINDS if getattr(self, name) is not None]
        if len(bounds) != 1:
            raise ValueError(f"a rule has exactly one of {', '.join(KINDS)}")
        if bounds[0] in _ON_A_NUMBER and not self.metric:
            raise ValueError("a rule on a number names its metric, such as 'wer[whisper-normalizer]/wer'")
        return self

    @property
    def kind(self) -> Kind:
        return next(name for name in KINDS if getattr(self, name) is not None)

    @property
    def limit(self) -> float:
        return float(getattr(self, self.kind))

    @property
    def title(self) -> str:
        """`asr wer[whisper-normalizer]/wer: margin 0.5`."""
        return f"{self.task} {self.metric}".strip() + f": {self.kind.replace('_', ' ')} {self.limit:g}"


class Judgment(Record):
    """What one rule came to, and why. `value` is what was judged (a number, a worsening, a ratio, a share), `bound` the
    end of its interval that decides, both in the unit of the rule; `n` counts independent units."""

    rule: Rule
    outcome: Outcome
    reason: str
    n: int | None = None
    value: float | None = None
    bound: float | None = None
    p_value: float | None = None


class Verdict(Record):
    """The gate's answer: the worst of its judgments, with a regression worse than not being able to judge."""

    schema_version: int = 1
    run: str
    baseline: str | None
    outcome: Outcome
    judgments: list[Judgment]

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.outcome]


def load_rules(path: Path) -> list[Rule]:
    """Read a rules file. Raises `BadInput` naming the rule that is wrong."""
    if not path.is_file():
        raise BadInput(f"{path}: no such rules file.", "Write one; docs/gate.md shows how.")
    try:
        data = yaml.safe_load(path.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: not YAML ({error}).", "Mend the file.") from error
    if not isinstance(data, list) or not data:
        raise BadInput(f"{path}: rules are a non-empty YAML list.", "Start each rule with '- '.")
    rules = []
    for number, item in enumerate(data, 1):
        try:
            rules.append(Rule.model_validate(item))
        except ValidationError as error:
            raise BadInput(f"{path}: rule {number}: {error.errors()[0]['msg']}.", "Mend that rule.") from error
    return rules


def judge(run: RunDirectory, baseline: RunDirectory | None, rules: Sequence[Rule]) -> Verdict:
    """Hold a run against the rules."""
    results = {task.task: task for task in run.results().tasks}
    judgments = []
    for rule in rules:
        task = results.get(rule.task)
        if task is None:
            finding = _unjudged(f"the run has no task '{rule.task}'")
        else:
            finding = _JUDGES[rule.kind](run, baseline, rule, task)
        judgments.append(Judgment(rule=rule, **finding.fields()))
    outcomes = {judgment.outcome for judgment in judgments}
    order: tuple[Outcome, ...] = ("regression", "could not judge", "pass")
    return Verdict(
        run=str(run.path),
        baseline=None if baseline is None else str(baseline.path),
        outcome=next((outcome for outcome in order if outcome in outcomes), "could not judge"),
        judgments=judgments,
    )


def _unjudged(reason: str) -> Finding:
    return Finding("could not judge", reason)


# ------------------------------------------------------------------------------------- facts of the run


def _failures(run: RunDirectory, baseline: RunDirectory | None, rule: Rule, task: TaskResult) -> Finding:
    failed = task.counts.failed + task.counts.missing + task.counts.empty
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
    expected sample without an answer did not."""
    outputs = run.outputs(rule.task)
    known = [outputs[s.id].metadata.get("stopped") for s in run.samples(rule.task) if s.id in outputs]
    if not any(isinstance(stopped, bool) for stopped in known):
        return _unjudged("no output says whether the model ended its answer itself (metadata.stopped)")
    if task.counts.expected < rule.minimum_n:
        return _too_few(task.counts.expected, rule)
    return gate_tests.share(sum(stopped is True for stopped in known), task.counts.expected, rule.limit, rule.alpha)


# ------------------------------------------------------------------------------- numbers with a margin


def _number(run: RunDirectory, baseline: RunDirectory | None, rule: Rule, task: TaskResult) -> Finding:
    """Rules on a metric: refuse what cannot be tested, then test."""
    if task.counts.missing:
        return _unjudged(f"{task.counts.missing} of {task.counts.expected} samples are missing")
    found = next((m for m in task.metrics if rule.metric in (f"{m.metric}/{m.name}", m.metric)), None)
    if found is None:
        return _unjudged(f"the run has no value for '{rule.metric}'")
    against: RunDirectory | None = run  # an absolute bound needs no other run
    if rule.kind in ("margin", "factor"):
        against = baseline
        if baseline is None:
            return _unjudged(f"a {rule.kind} needs --baseline")
        held = baseline.manifest().tasks.get(rule.task)
        if held is None or found.metric not in held["metrics"]:
            return _unjudged(f"the baseline has no '{found.metric}' for task '{rule.task}'")
        if reasons := task_obstacles(run, baseline, rule.task):
            return _unjudged("; ".join(reasons))
    assert against is not None
    metric: Metric = METRICS.get(found.metric)()
    pair = pair_up(run, against, rule.task, metric, found.name)
    if pair is None:
        return _unjudged(f"the baseline has no '{found.metric}/{found.name}'")
    summary = pair.summary
    seed = f"gate/{rule.task}/{found.metric}/{found.name}"
    if rule.kind == "factor":
        assert baseline is not None
        return _slower(run, baseline, pair, rule)
    units = len(set(pair.clusters))
    if units < rule.minimum_n:
        return _too_few(units, rule)
    a, b = pair.sides
    if rule.kind == "margin":
        return gate_tests.margin(summary, a, b, pair.groups, limit=rule.limit, alpha=rule.alpha, seed=seed)
    high = rule.kind == "max"
    return gate_tests.absolute(summary, a, pair.groups, high=high, limit=rule.limit, alpha=rule.alpha, seed=seed)


def _too_few(units: int, rule: Rule) -> Finding:
    return Finding("could not judge", f"{units} independent units, at least {rule.minimum_n} needed", units)


def _slower(run: RunDirectory, baseline: RunDirectory, pair: Pair, rule: Rule) -> Finding:
    """The rank test of latency rules, over the rounds in which the two runs took turns."""
    samples = {sample.id: sample for sample in run.samples(rule.task)}
    if any("round" not in samples[key].metadata for key in pair.ids):
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
    return gate_tests.factor(pair.summary, *pair.sides, rounds, limit=rule.limit, alpha=rule.alpha)


_Judge = Callable[[RunDirectory, RunDirectory | None, Rule, TaskResult], Finding]
_JUDGES: dict[Kind, _Judge] = {
    "max": _number,
    "min": _number,
    "margin": _number,
    "factor": _number,
    "failures": _failures,
    "completeness": _completeness,
    "stop_rate": _stop_rate,
}

"""The gate: rules over a run and its baseline, one verdict, one exit code. What cannot be judged never passes.

Rules are a YAML list:

    - {task: asr, metric: 'wer[whisper-normalizer]/wer', max: 10}               an absolute bound
    - {task: asr, metric: 'wer[whisper-normalizer]/wer', margin: 0.5, alpha: 0.05}   not worse than baseline by margin
    - {task: asr, failures: 0}                                             at most so many failed samples
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import yaml
from pydantic import ConfigDict, Field, ValidationError, model_validator

from harness import registry
from harness.compare import obstacles, pair_up
from harness.errors import BadInput
from harness.metrics.base import Metric
from harness.statistics import group, paired_bootstrap, rows
from harness.store import RunDirectory
from harness.types import Record, TaskResult

Outcome = Literal["pass", "regression", "could not judge"]
EXIT_CODES: dict[Outcome, int] = {"pass": 0, "regression": 1, "could not judge": 2}
RESAMPLES = 10_000


class Rule(Record):
    """One line of the rules file; exactly one of `max`, `min`, `margin`, `failures`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str
    metric: str = ""
    max: float | None = None
    min: float | None = None
    margin: float | None = Field(default=None, ge=0)
    failures: int | None = Field(default=None, ge=0)
    alpha: float = Field(default=0.05, gt=0, lt=1)
    minimum_n: int = Field(default=20, ge=2)

    @model_validator(mode="after")
    def _one_bound(self) -> Rule:
        bounds = [name for name in ("max", "min", "margin", "failures") if getattr(self, name) is not None]
        if len(bounds) != 1:
            raise ValueError("a rule has exactly one of max, min, margin, failures")
        if bounds != ["failures"] and not self.metric:
            raise ValueError("a rule on a number names its metric, such as 'wer[whisper-normalizer]/wer'")
        return self


class Judgement(Record):
    """What one rule came to, and why."""

    rule: Rule
    outcome: Outcome
    reason: str


class Verdict(Record):
    """The gate's answer: the worst of its judgements, with a regression worse than not being able to judge."""

    schema_version: int = 1
    run: str
    baseline: str | None
    outcome: Outcome
    judgements: list[Judgement]

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


def judge(run: RunDirectory, baseline: RunDirectory | None, rules: list[Rule]) -> Verdict:
    """Hold a run against the rules."""
    results = {task.task: task for task in run.results().tasks}
    judgements = [_judge(run, baseline, rule, results.get(rule.task)) for rule in rules]
    outcomes = {judgement.outcome for judgement in judgements}
    order: tuple[Outcome, ...] = ("regression", "could not judge", "pass")
    return Verdict(
        run=str(run.path),
        baseline=None if baseline is None else str(baseline.path),
        outcome=next(outcome for outcome in order if outcome in outcomes),
        judgements=judgements,
    )


def _judge(run: RunDirectory, baseline: RunDirectory | None, rule: Rule, task: TaskResult | None) -> Judgement:
    def say(outcome: Outcome, reason: str) -> Judgement:
        return Judgement(rule=rule, outcome=outcome, reason=reason)

    if task is None:
        return say("could not judge", f"the run has no task '{rule.task}'")
    if rule.failures is not None:
        failed = task.counts.failed + task.counts.missing + task.counts.empty
        outcome: Outcome = "pass" if failed <= rule.failures else "regression"
        return say(outcome, f"{failed} of {task.counts.expected} samples failed, {rule.failures} allowed")
    if task.counts.missing:
        return say("could not judge", f"{task.counts.missing} of {task.counts.expected} samples are missing")
    found = [m for m in task.metrics if rule.metric in (f"{m.metric}/{m.name}", m.metric)]
    if not found or found[0].strict.value is None:
        return say("could not judge", f"the run has no value for '{rule.metric}'")
    metric = found[0]
    if metric.strict.n < rule.minimum_n:
        return say("could not judge", f"{metric.strict.n} samples, at least {rule.minimum_n} needed")
    value = metric.strict.value
    assert value is not None
    if rule.max is not None:
        return say("pass" if value <= rule.max else "regression", f"{value:.4g} against at most {rule.max:g}")
    if rule.min is not None:
        return say("pass" if value >= rule.min else "regression", f"{value:.4g} against at least {rule.min:g}")
    return say(*_not_inferior(run, baseline, rule, metric.metric, metric.name))


def _not_inferior(
    run: RunDirectory, baseline: RunDirectory | None, rule: Rule, metric_id: str, name: str
) -> tuple[Outcome, str]:
    """Non-inferiority: pass only if the whole one-sided 1 - alpha interval of the worsening is below the margin."""
    if baseline is None:
        return "could not judge", "a margin needs --baseline"
    reasons = [reason for reason in obstacles(run, baseline) if reason.startswith(f"{rule.task}:")]
    if reasons:
        return "could not judge", "; ".join(reasons)
    held = baseline.manifest().tasks.get(rule.task)
    if held is None or metric_id not in held["metrics"]:
        return "could not judge", f"the baseline has no '{metric_id}' for task '{rule.task}'"
    metric: Metric = registry.metrics.get(metric_id)()
    summary = next(summary for summary in metric.summaries if summary.name == name)
    samples = sorted(run.samples(rule.task), key=lambda sample: sample.id)
    pair = pair_up(run, baseline, rule.task, metric, summary, samples)
    clusters = group(pair.clusters)
    seed = f"gate/{rule.task}/{metric_id}/{name}"
    a, b = rows(summary, pair.a), rows(summary, pair.b)
    observed, replicates = paired_bootstrap(summary, a, b, clusters, seed=seed, resamples=RESAMPLES)
    if not np.isfinite(observed):
        return "could not judge", "the difference is not finite"
    sign = summary.scale * (1.0 if summary.direction == "lower" else -1.0)  # positive: the run is worse
    point, worsening = observed * sign, replicates * sign
    bound = float(np.quantile(worsening, 1 - rule.alpha))
    assert rule.margin is not None
    text = f"worse by {point:.4g} {summary.unit}, {1 - rule.alpha:.0%} bound {bound:.4g}, margin {rule.margin:g}"
    if bound <= rule.margin:
        return "pass", text
    lower = float(np.quantile(worsening, rule.alpha))
    return ("regression", text) if lower > rule.margin or point > rule.margin else ("could not judge", text)

"""Test a gate: it must block known regressions planted in copies of a stored run and pass an identical copy, and it may
call a regression in pairs of runs that differ by chance alone no more often than alpha."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from speech_eval.analysis.aligned import align
from speech_eval.analysis.shown import Shown
from speech_eval.engine.aggregate import aggregate
from speech_eval.engine.manifest import names_of
from speech_eval.engine.run_directory import RunDirectory, charged_to_runs
from speech_eval.engine.score import score
from speech_eval.engine.settings import Settings
from speech_eval.engine.stored_plan import stored_plan
from speech_eval.errors import BadInput, SpeechEvalError
from speech_eval.gate.decisions import judge
from speech_eval.gate.findings import Outcome, margin
from speech_eval.gate.regressions import INJECTIONS, Injection
from speech_eval.gate.rules import Rule
from speech_eval.metrics.catalog import METRICS
from speech_eval.progress import Progress, silent
from speech_eval.records import Record
from speech_eval.statistics.bootstrap import generator
from speech_eval.statistics.power import LEAST_UNITS
from speech_eval.statistics.summaries import Groups, Rows, Summary, cluster_sums, clusters, linear

PAIRS = 1000
FACTOR = 1.1  # of the latency rules made here, where a run has rounds
_RESAMPLES = 1000  # per simulated pair


class Trial(Record):
    """The gate's verdict on one copy of the run. `held`: whether the verdict is right; null where the run has nothing
    that the defect could change, or where the copy could not be scored."""

    task: str
    injection: str
    outcome: Outcome | None
    held: bool | None
    reason: str


class FalseAlarms(Record):
    """How often pairs that differ by chance alone were called a regression; `allowed` is the 99.9 % point of the
    binomial distribution at alpha."""

    rule: Rule
    pairs: int
    alarms: int
    allowed: int

    @property
    def held(self) -> bool:
        return self.alarms <= self.allowed


class Selftest(Shown):
    """All trials. The self-test fails where one trial fails, and cannot judge where no defect could be planted."""

    schema_version: int = 1
    run: str
    trials: list[Trial]
    false_alarms: list[FalseAlarms]

    @property
    def exit_code(self) -> int:
        if any(trial.held is False for trial in self.trials) or any(not found.held for found in self.false_alarms):
            return 1
        return 0 if any(trial.held and trial.injection in INJECTIONS for trial in self.trials) else 2

    def rows(self) -> list[dict[str, Any]]:
        """One row per trial: what was tested, whether the gate held, and why."""
        words = {True: "held", False: "FAILED", None: "not tried"}
        found = [
            {
                "test": f"{trial.task}, {trial.injection}",
                "result": words[trial.held],
                "reason": f"{trial.outcome or 'no verdict'} ({trial.reason})",
            }
            for trial in self.trials
        ]
        for alarms in self.false_alarms:
            rate = f"{alarms.alarms} of {alarms.pairs} identical pairs accused, at most {alarms.allowed} by chance"
            found.append(
                {
                    "test": f"{alarms.rule.title}, alpha {alarms.rule.alpha:g}",
                    "result": words[alarms.held],
                    "reason": rate,
                }
            )
        return found

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "exit_code": self.exit_code}


@charged_to_runs
def selftest(
    run: RunDirectory,
    rules: Sequence[Rule] = (),
    *,
    pairs: int = PAIRS,
    plugins: Sequence[str] = (),
    progress: Progress = silent,
) -> Selftest:
    """Test the gate on `run` with `rules`, or with the strictest rules that the run itself passes.

    Raises `BadInput` where a rule names a task that the run does not have.
    """
    with names_of(run) as manifest:
        for metric in (metric for record in manifest.tasks.values() for metric in record.metrics):
            METRICS.get(metric)
    if strangers := {rule.task for rule in rules} - set(manifest.tasks):
        raise BadInput(
            f"{run.path} has no task {', '.join(sorted(strangers))}.", "Give a run of these tasks, or other --rules."
        )
    chosen = list(rules) or strictest(run)
    trials, alarms = [], []
    for number, task in enumerate(names := list(dict.fromkeys(rule.task for rule in chosen))):
        progress("gate selftest: regressions", number, len(names))
        own = [rule for rule in chosen if rule.task == task]
        trials.append(_identical(run, task, own))
        trials += [_try(run, task, own, name, inject, plugins) for name, inject in INJECTIONS.items()]
    progress("gate selftest: regressions", len(names), len(names))
    tested = [rule for rule in chosen if rule.kind == "margin" and not rule.by and (rules or _primary(run, rule))]
    for number, rule in enumerate(tested):
        progress("gate selftest: false alarms", number, len(tested))
        alarms += _false_alarms(run, rule, pairs)
    progress("gate selftest: false alarms", len(tested), len(tested))
    return Selftest(run=str(run.path), trials=trials, false_alarms=alarms)


def strictest(run: RunDirectory) -> list[Rule]:
    """The strictest rules: no worsening of any headline number with enough samples, no new failure, no lost sample."""
    rules = []
    for task in run.results().tasks:
        counts = task.counts
        rules.append(Rule(task=task.task, failures=counts.failed + counts.empty + counts.missing))
        rules.append(Rule(task=task.task, completeness=(counts.expected - counts.missing) / max(counts.expected, 1)))
        samples = run.samples(task.task)
        rounds = any(sample.round is not None for sample in samples)
        units = len(set(clusters(samples)))
        for metric in task.metrics:
            if not (metric.headline or metric.primary) or metric.strict.value is None:
                continue
            name = f"{metric.metric}/{metric.name}"
            timed = "timing" in METRICS.get(metric.metric).needs
            if rounds and timed and metric.strict.value > 0:
                rules.append(Rule(task=task.task, metric=name, factor=FACTOR))
            elif units >= LEAST_UNITS:
                rules.append(Rule(task=task.task, metric=name, margin=0.0))
    return rules


# -------------------------------------------------------------------------------------------- injections


def _identical(run: RunDirectory, task: str, rules: list[Rule]) -> Trial:
    judged = [rule for rule in rules if rule.kind in ("margin", "factor", "failures", "completeness")]
    verdict = judge(run, judged or rules, run)
    wrong = [f"{item.rule.title}: {item.reason}" for item in verdict.judgments if item.outcome != "pass"]
    held = verdict.outcome == "pass"
    return Trial(
        task=task,
        injection="none, an identical copy",
        outcome=verdict.outcome,
        held=held,
        reason="; ".join(wrong) or f"{len(verdict.judgments)} rules pass",
    )


def _try(
    run: RunDirectory, task: str, rules: list[Rule], name: str, inject: Injection, plugins: Sequence[str]
) -> Trial:
    """Plant the defect in a copy, score what it changes again, and judge the copy by the rules on those numbers."""
    with tempfile.TemporaryDirectory() as folder:
        copy = RunDirectory(Path(folder) / "run")
        run.copy_to(copy, audio=True)
        affected = inject(copy, task)
        if affected is None:
            return Trial(
                task=task, injection=name, outcome=None, held=None, reason="the run has nothing that it could change"
            )
        try:
            _score_again(copy, task, affected, plugins)
        except SpeechEvalError as error:
            return Trial(task=task, injection=name, outcome=None, held=None, reason=f"cannot be scored: {error}")
        covering = [rule for rule in rules if _covers(rule, affected)]
        if not covering:
            return Trial(task=task, injection=name, outcome=None, held=False, reason="no rule covers these numbers")
        verdict = judge(copy, covering, run)
    worst = [item for item in verdict.judgments if item.outcome == verdict.outcome]
    held = verdict.outcome == "regression" if affected else verdict.outcome != "pass"
    reason = f"{worst[0].rule.title}: {worst[0].reason}"
    return Trial(task=task, injection=name, outcome=verdict.outcome, held=held, reason=reason)


def _covers(rule: Rule, affected: tuple[str, ...]) -> bool:
    """Whether a rule is about what a defect changed: every number for lost samples, else the metrics scored again."""
    return not affected or any(rule.metric in (name, f"{name}/{rule.metric.partition('/')[2]}") for name in affected)


def _score_again(copy: RunDirectory, task: str, affected: tuple[str, ...], plugins: Sequence[str]) -> None:
    """Reduce the copy to one task and to the metrics that the defect changed (all metrics where it names none), and
    score them again."""
    manifest = copy.manifest()
    record = manifest.tasks[task]
    if affected:
        record = record.model_copy(update={"metrics": list(affected)})
        item = stored_plan(copy, task, record, Settings(metrics=affected))
        if item.needs & {"prompt", "reference"}:
            item.dataset.ensure_audio()
        copy.replace("scores", task, [])
        score(
            copy,
            item.task,
            item.metrics,
            item.dataset,
            recognizer=item.recognizer,
            workers=1,
            plugins=plugins,
            progress=silent,
        )
    copy.write_manifest(manifest.model_copy(update={"tasks": {task: record}}))
    copy.write_results(aggregate(copy))


# ------------------------------------------------------------------------------------------ false alarms


def _primary(run: RunDirectory, rule: Rule) -> bool:
    """Whether the rule is about the task's primary number."""
    primary = run.manifest().tasks[rule.task].primary
    if "/" not in primary:
        primary += f"/{METRICS.get(primary)().summaries[0].name}"
    return rule.metric == primary


def _false_alarms(run: RunDirectory, rule: Rule, pairs: int) -> list[FalseAlarms]:
    """Draw both sides of each pair independently from the run's own samples (or clusters), and count regressions. Empty
    for a number that the run does not have."""
    from scipy.stats import binom

    metric_id, _, name = rule.metric.partition("/")
    pair = align([run], rule.task, metric_id, name or METRICS.get(metric_id).summaries[0].name)
    if pair is None:
        return []
    summary, data = _independent(pair.summary, pair.sides[0], pair.groups)
    rng = generator(f"false alarms/{rule.title}")
    groups = np.arange(data.n)
    alarms = 0
    for number in range(pairs):
        a, b = (_drawn(data, rng.integers(0, data.n, data.n)) for _ in range(2))
        found = margin(
            summary, a, b, groups, limit=rule.limit, alpha=rule.alpha, seed=f"pair {number}", resamples=_RESAMPLES
        )
        alarms += found.outcome == "regression"
    allowed = int(binom.ppf(0.999, pairs, rule.alpha))
    return [FalseAlarms(rule=rule, pairs=pairs, alarms=alarms, allowed=allowed)]


def _independent(summary: Summary, data: Rows, groups: Groups) -> tuple[Summary, Rows]:
    """One row per cluster where the summary is a quotient of sums, else one row per sample."""
    if not linear(summary):
        return summary, data
    sums = cluster_sums(summary, data, groups)
    quotient = dataclasses.replace(summary, estimator="ratio", parts=("numerator", "denominator"))
    return quotient, Rows({"numerator": sums[:, 0], "denominator": sums[:, 1]}, len(sums))


def _drawn(data: Rows, index: Groups) -> Rows:
    return Rows({name: column[index] for name, column in data.columns.items()}, data.n)

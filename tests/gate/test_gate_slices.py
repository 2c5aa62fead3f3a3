"""Rules on the worst slice of a column."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import sliced_runs
from support.sliced_runs import WER, heard

from speech_eval.engine.run_directory import RunDirectory
from speech_eval.errors import BadInput
from speech_eval.gate import output
from speech_eval.gate.decisions import Judgment, judge
from speech_eval.gate.findings import margin
from speech_eval.gate.rules import Rule, load_rules
from speech_eval.gate.selftest import selftest
from speech_eval.statistics.summaries import Rows, Summary

NUMBER = f"{WER}/wer"


def good(row: dict[str, Any]) -> str:
    return heard(row, 0.04)


def worse_in_the_north(row: dict[str, Any]) -> str:
    return heard(row, 0.25 if row["metadata"]["accent"] == "north" else 0.04)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunDirectory]:
    folder = tmp_path_factory.mktemp("gate-slices")
    data = [
        {**row, "speaker": None} | {"metadata": {**row["metadata"], "accent": ("north", *["south"] * 3)[i % 4]}}
        for i, row in enumerate(sliced_runs.rows(12, 10))
    ]
    data[0]["metadata"]["accent"] = "elsewhere"
    data = [{name: value for name, value in row.items() if value is not None} for row in data]
    return {
        name: sliced_runs.run(folder, data, answer, name=name)
        for name, answer in (("good", good), ("bad", worse_in_the_north))
    }


def judged(run: RunDirectory, baseline: RunDirectory | None = None, **given: Any) -> Judgment:
    rule = Rule.model_validate({"task": "asr", "metric": NUMBER, "by": "accent", **given})
    return judge(run, [rule], baseline).judgments[0]


def test_the_worst_slice_decides_although_the_whole_is_within_the_bound(runs: dict[str, RunDirectory]) -> None:
    assert judged(runs["bad"], by="", max=15).outcome == "pass"
    found = judged(runs["bad"], max=15)
    assert found.outcome == "regression" and found.slice == "north" and "worst slice north" in found.reason
    assert "1 of 2 slices pass" in found.reason and "1 with fewer than 20 independent units not judged" in found.reason
    assert found.run_value is not None and found.run_value > 20
    north = {s.id for s in runs["bad"].samples("asr") if s.metadata["accent"] == "north"}
    assert found.worst and {sample.id for sample in found.worst} <= north
    assert judged(runs["good"], max=15).outcome == "pass"


def test_a_margin_holds_in_every_slice(runs: dict[str, RunDirectory]) -> None:
    found = judged(runs["bad"], runs["good"], margin=5)
    assert (found.outcome, found.slice) == ("regression", "north")
    assert found.baseline_value is not None and found.baseline_value < 10
    assert judged(runs["good"], runs["good"], margin=0).outcome == "pass"
    assert judged(runs["bad"], margin=5).reason == "a margin needs --baseline"


def test_slices_that_are_too_small_or_not_there_are_not_judged(runs: dict[str, RunDirectory]) -> None:
    small = judged(runs["good"], max=15, minimum_n=100)
    assert small.outcome == "could not judge" and "no slice by accent has 100 independent units" in small.reason
    absent = judged(runs["good"], max=15, by="dialect")
    assert absent.outcome == "could not judge" and "'dialect'" in absent.reason and "accent, snr" in absent.reason


def test_a_column_of_numbers_is_cut_at_bins(runs: dict[str, RunDirectory]) -> None:
    found = judged(runs["bad"], by="snr", bins=[15], max=30)
    assert found.outcome == "pass" and found.slice in ("< 15", "≥ 15") and "2 of 2 slices pass" in found.reason


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{task: asr, failures: 0, by: accent}", "a rule by a column has one of max, min, margin"),
        (f"{{task: asr, metric: '{NUMBER}', max: 1, bins: [3]}}", "bins cut a column"),
    ],
)
def test_a_rule_that_cannot_be_by_a_column_is_refused(tmp_path: Path, line: str, problem: str) -> None:
    (tmp_path / "rules.yaml").write_text(f"- {line}\n")
    with pytest.raises(BadInput, match=problem):
        load_rules(tmp_path / "rules.yaml")


def test_the_verdict_names_column_and_slice_wherever_it_goes(runs: dict[str, RunDirectory]) -> None:
    rule = Rule(task="asr", metric=NUMBER, by="accent", max=15)
    verdict = judge(runs["bad"], [rule])
    for text in (output.text(verdict), output.markdown(verdict), output.junit(verdict)):
        assert "by accent" in text and "worst slice north" in text


def test_equal_runs_are_called_a_regression_in_some_slice_at_alpha_at_most() -> None:
    summary, rng, alarms, trials = (
        Summary("wer", "ratio", ("e", "w"), "%", "lower", 100.0),
        np.random.default_rng(3),
        0,
        150,
    )
    for trial in range(trials):
        outcomes = []
        for part in range(5):
            words = rng.integers(3, 20, 25).astype(float)
            sides = [Rows({"e": rng.poisson(0.1 * words).astype(float), "w": words}, 25) for _ in "ab"]
            found = margin(
                summary, *sides, np.arange(25), limit=0.0, alpha=0.05, seed=f"{trial}/{part}", resamples=500, tests=5
            )
            outcomes.append(found.outcome)
        alarms += "regression" in outcomes
    assert alarms <= 17  # the 99.9 % point of the binomial distribution at 5 %


def test_the_selftest_takes_rules_by_a_column(runs: dict[str, RunDirectory]) -> None:
    found = selftest(runs["good"], [Rule(task="asr", metric=NUMBER, by="accent", margin=0.0)], pairs=100)
    held = {trial.injection: trial.held for trial in found.trials}
    assert held["none, an identical copy"] and False not in held.values() and found.false_alarms == []

"""Ties on the boards: runs on the same samples are told apart by a paired test, others by their intervals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ttest_rel
from support.run_fixture import ASR, write_run

from speech_eval.engine.run_directory import RunDirectory
from speech_eval.leaderboard.build import build
from speech_eval.leaderboard.ranks import OVERLAP, PAIRED, ranked
from speech_eval.metrics.base import Summary
from speech_eval.records import Formula, MetricResult, Sample
from speech_eval.statistics.bootstrap import estimate
from speech_eval.statistics.ranking import Shares, ahead, shares

MEAN = Summary("m", "mean", ("x",), "", "lower")
FORMULA = Formula(estimator="mean", parts=["x"])
N = 60


def samples(count: int = N, speakers: int = 0) -> list[Sample]:
    return [Sample(id=f"s{i:03d}", speaker=f"p{i % speakers}" if speakers else None) for i in range(count)]


def a_run(values: np.ndarray, own: list[Sample] | None = None) -> tuple[MetricResult, Shares]:  # type: ignore[type-arg]
    parts = [{"x": float(value)} for value in values]
    found = estimate(MEAN, parts, seed="s")
    metric = MetricResult(metric="m[x]", name="m", unit="", direction="lower", primary=True, strict=found, compat=found)
    asked = own or samples(len(values))
    held = shares(FORMULA, found.value, asked, {s.id: p for s, p in zip(asked, parts, strict=True)})
    assert held is not None
    return metric, held


@pytest.fixture(scope="module")
def hard() -> np.ndarray:  # type: ignore[type-arg]
    """How hard the samples are, which every model feels."""
    return np.random.default_rng(0).normal(10, 4, N)


def noise(seed: int) -> np.ndarray:  # type: ignore[type-arg]
    return np.random.default_rng(seed).normal(0, 0.3, N)


def test_the_test_is_the_paired_t_test_where_each_sample_counts_once(hard: np.ndarray) -> None:  # type: ignore[type-arg]
    for shift in (0.02, 0.05, 0.08, 0.2, -0.2):
        a, b = hard + noise(1), hard + shift + noise(2)
        significant = ttest_rel(a, b).pvalue <= 0.05
        told = ahead([a_run(a)[1], a_run(b)[1]], lower_is_better=True)
        better, worse = significant and b.mean() < a.mean(), significant and a.mean() < b.mean()
        assert told.tolist() == [[False, better], [worse, False]]


def test_models_whose_intervals_overlap_are_told_apart_on_the_same_samples(hard: np.ndarray) -> None:  # type: ignore[type-arg]
    runs = [a_run(hard + shift + noise(seed)) for seed, shift in ((1, 0.0), (2, 0.0), (3, 1.0))]
    metrics = [metric for metric, _ in runs]
    assert ranked(metrics, [held for _, held in runs]) == ([(1, True), (1, True), (3, False)], {PAIRED})
    assert ranked(metrics, [None] * 3) == ([(1, True)] * 3, {OVERLAP})


def test_runs_on_other_samples_are_held_by_their_intervals(hard: np.ndarray) -> None:  # type: ignore[type-arg]
    others = [sample.model_copy(update={"id": f"x{sample.id}"}) for sample in samples()]
    runs = [a_run(hard + noise(1)), a_run(hard + 1 + noise(2)), a_run(hard + 1 + noise(3), others)]
    ranks, how = ranked([metric for metric, _ in runs], [held for _, held in runs])
    assert ranks == [(1, True), (2, False), (1, True)] and how == {PAIRED, OVERLAP}


def test_equal_runs_are_a_tie(hard: np.ndarray) -> None:  # type: ignore[type-arg]
    same = a_run(hard)
    assert ranked([same[0]] * 3, [same[1]] * 3)[0] == [(1, True)] * 3


def test_equal_models_are_ranked_apart_no_more_often_than_alpha() -> None:
    apart = 0
    for trial in range(300):
        rng = np.random.default_rng(trial)
        shared = rng.exponential(5, N)
        held = [Shares("same", np.stack([shared + rng.normal(0, 1, N), np.ones(N)], axis=1)) for _ in range(6)]
        apart += bool(ahead(held, lower_is_better=True).any())
    assert apart / 300 <= 0.05 + 2.6 * np.sqrt(0.05 * 0.95 / 300)


def test_clusters_count_once() -> None:
    values = {sample.id: {"x": 1.0, "n": 2.0} for sample in samples(24)}
    ratio = Formula(estimator="ratio", parts=["x", "n"], scale=100.0)
    held = shares(ratio, 50.0, samples(24, speakers=8), values)
    assert held is not None and held.sums.tolist() == [[3.0, 6.0]] * 8


@pytest.mark.parametrize("kind", ["another value", "a missing sample", "a quantile", "few speakers", "no formula"])
def test_what_does_not_give_the_stored_number_is_not_tested(kind: str) -> None:
    parts = {sample.id: {"x": 1.0} for sample in samples(12)}
    formula: Formula | None = FORMULA
    asked = samples(12, speakers=3 if kind == "few speakers" else 0)
    if kind == "a missing sample":
        del parts["s003"]
    if kind == "a quantile":
        formula = Formula(estimator="quantile", parts=["x"])
    if kind == "no formula":
        formula = None
    assert shares(formula, 1.5 if kind == "another value" else 1.0, asked, parts) is None


def test_the_page_says_which_of_the_two_it_is(tmp_path: Path) -> None:
    paths = [
        write_run(tmp_path / "runs", model, tasks=[ASR], error_rate=rate, failed=1, samples=24)
        for model, rate in (("good", 0.02), ("bad", 0.3), ("other", 0.3))
    ]
    assert "overlap of intervals</span>" in build([tmp_path / "runs"], tmp_path / "site").index.read_text("utf-8")
    for path in paths:  # as the harness writes them, and with a speaker for each sample
        run = RunDirectory(path)
        (task,) = run.results().tasks
        formula = Formula(estimator="ratio", parts=["errors", "words"], scale=100.0)
        metrics = [task.metrics[0].model_copy(update={"formula": formula}), *task.metrics[1:]]
        run.write_results(run.results().model_copy(update={"tasks": [task.model_copy(update={"metrics": metrics})]}))
        run.replace("samples", ASR, [s.model_copy(update={"speaker": None}) for s in run.samples(ASR)])
    site = build([tmp_path / "runs"], tmp_path / "site").index
    (board,) = (site.parent / "data" / "boards").glob("*.json")
    assert "paired test</span>" in site.read_text("utf-8")
    assert [row["rank"] for row in json.loads(board.read_text("utf-8"))["rows"]] == [1, 2, 2]

"""Intervals: seeded, right on cases with known answers, honest where there is nothing to say."""

from __future__ import annotations

import numpy as np
import pytest

from harness.metrics.base import Summary
from harness.statistics import estimate, group, paired_bootstrap, rows

MEAN = Summary("m", "mean", ("x",), "", "higher")
RATIO = Summary("r", "ratio", ("e", "w"), "%", "lower", scale=100.0)
MEDIAN = Summary("p50", "quantile", ("x",), "s", "lower", q=0.5)


def normal(n: int, seed: int = 0) -> list[dict[str, float]]:
    return [{"x": float(x)} for x in np.random.default_rng(seed).normal(size=n)]


def test_mean_interval_matches_the_normal_approximation() -> None:
    parts = normal(400)
    x = np.array([p["x"] for p in parts])
    got = estimate(MEAN, parts, seed="s", resamples=4000)
    half = 1.96 * x.std() / 20
    assert got.value == pytest.approx(x.mean(), abs=1e-6)
    assert (got.low, got.high) == (pytest.approx(x.mean() - half, abs=0.015), pytest.approx(x.mean() + half, abs=0.015))


def test_interval_covers_the_truth_about_95_times_in_100() -> None:
    hits = 0
    for trial in range(300):
        got = estimate(MEAN, normal(60, seed=trial), seed=f"c{trial}", resamples=500)
        assert got.low is not None and got.high is not None
        hits += got.low <= 0.0 <= got.high
    assert 0.90 <= hits / 300 <= 0.98


def test_same_seed_same_interval_other_seed_other_interval() -> None:
    parts = normal(50)
    assert estimate(MEAN, parts, seed="a") == estimate(MEAN, parts, seed="a")
    assert estimate(MEAN, parts, seed="a") != estimate(MEAN, parts, seed="b")


def test_ratio_is_corpus_level_not_a_mean_of_ratios() -> None:
    got = estimate(RATIO, [{"e": 1, "w": 2}, {"e": 0, "w": 98}], seed="s")
    assert got.value == 1.0


def test_median_counts_failures_as_infinitely_slow() -> None:
    answered = [{"x": 1.0}, {"x": 2.0}, {"x": 3.0}]
    assert estimate(MEDIAN, answered, seed="s").value == 2.0
    assert estimate(MEDIAN, [*answered, {}, {}], seed="s").value == 3.0
    assert estimate(MEDIAN, [*answered, {}, {}, {}, {}], seed="s").value is None


def test_clusters_widen_the_interval_of_dependent_samples() -> None:
    parts = [{"x": value["x"]} for value in normal(20) for _ in range(10)]
    alone = estimate(MEAN, parts, seed="s")
    together = estimate(MEAN, parts, seed="s", clusters=[i // 10 for i in range(200)])
    assert alone.low is not None and alone.high is not None
    assert together.low is not None and together.high is not None
    assert together.high - together.low > 2 * (alone.high - alone.low)


def test_nothing_is_made_up_for_nothing() -> None:
    none = estimate(MEAN, [], seed="s")
    one = estimate(MEAN, [{"x": 3.0}], seed="s")
    assert (none.value, none.n) == (None, 0)
    assert (one.value, one.low, one.high) == (3.0, None, None)
    assert estimate(RATIO, [{"e": 1, "w": 0}, {"e": 0, "w": 0}], seed="s").value is None


def test_paired_interval_sees_through_shared_difficulty() -> None:
    rng = np.random.default_rng(0)
    hard = rng.normal(0, 10, 200)
    a = [{"x": float(h + 0.5 + e)} for h, e in zip(hard, rng.normal(0, 0.5, 200), strict=True)]
    b = [{"x": float(h)} for h in hard]
    observed, replicates = paired_bootstrap(
        MEAN, rows(MEAN, a), rows(MEAN, b), group(range(200)), seed="s", resamples=1000
    )
    assert observed == pytest.approx(0.5, abs=0.1)
    assert np.quantile(replicates, 0.025) > 0.3

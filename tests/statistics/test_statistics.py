"""Intervals and paired tests: equal to SciPy's on the same data, right on cases with known answers, seeded, honest
where there is nothing to say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from speech_eval.records import Sample
from speech_eval.statistics.bootstrap import EXACT_UNITS, bootstrap, bound, drawn_weights, estimate, generator
from speech_eval.statistics.multiple import benjamini_hochberg, holm
from speech_eval.statistics.paired import paired_bootstrap, paired_permutation, paired_test, permutation_p
from speech_eval.statistics.power import detectable_errors, samples_needed
from speech_eval.statistics.summaries import Rows, Summary, clusters, group, rows, statistic

MEAN = Summary("m", "mean", ("x",), "", "higher")
RATIO = Summary("r", "ratio", ("e", "w"), "%", "lower", scale=100.0)
MEDIAN = Summary("p50", "quantile", ("x",), "s", "lower", q=0.5)


def normal(n: int, seed: int = 0) -> list[dict[str, float]]:
    return [{"x": float(x)} for x in np.random.default_rng(seed).normal(size=n)]


def utterances(n: int, seed: int = 0) -> list[dict[str, float]]:
    """Errors and words of utterances as recognizers make them: most utterances right, some hopeless."""
    rng = np.random.default_rng(seed)
    words = rng.integers(3, 30, n)
    return [
        {"e": float(e), "w": float(w)} for e, w in zip(rng.binomial(words, rng.beta(0.3, 4, n)), words, strict=True)
    ]


# ------------------------------------------------------------------------------------------ against SciPy


@pytest.mark.parametrize("n", [40, 400])
def test_corpus_wer_interval_is_that_of_scipys_bootstrap(n: int) -> None:
    data = rows(RATIO, utterances(n))
    errors, words = data.columns["e"], data.columns["w"]
    theirs = stats.bootstrap(
        (errors, words),
        lambda e, w, axis: 100 * e.sum(axis) / w.sum(axis),
        paired=True,
        vectorized=True,
        method="percentile",
        n_resamples=20_000,
        rng=np.random.default_rng(1),
    )
    ours = 100 * bootstrap(RATIO, data, np.arange(n), seed="s", resamples=20_000)
    spread = theirs.standard_error
    assert ours.std() == pytest.approx(spread, rel=0.03)
    assert np.quantile(ours, 0.025) == pytest.approx(theirs.confidence_interval.low, abs=0.08 * spread)
    assert np.quantile(ours, 0.975) == pytest.approx(theirs.confidence_interval.high, abs=0.08 * spread)


def test_a_medians_replicates_are_distributed_as_scipys() -> None:
    x = np.random.default_rng(3).lognormal(size=61)
    theirs = stats.bootstrap(
        (x,),
        lambda v, axis: np.quantile(v, 0.5, axis=axis, method="inverted_cdf"),
        vectorized=True,
        n_resamples=20_000,
        method="percentile",
        rng=np.random.default_rng(2),
    ).bootstrap_distribution
    ours = bootstrap(MEDIAN, Rows({"x": x}, 61), np.arange(61), seed="s", resamples=20_000)
    assert stats.ks_2samp(ours, theirs).pvalue > 0.01


@pytest.mark.parametrize("n", [9, 60])
@pytest.mark.parametrize("alternative", ["two-sided", "greater"])
def test_paired_permutation_p_is_that_of_scipy(n: int, alternative: str) -> None:
    one, other = utterances(n, 1), utterances(n, 2)
    a = [{"x": p["e"] + 0.4} for p in one]
    b = [{"x": p["e"]} for p in other]
    x, y = (np.array([p["x"] for p in side]) for side in (a, b))
    theirs = stats.permutation_test(
        (x, y),
        lambda u, v, axis: u.mean(axis) - v.mean(axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=20_000,
        alternative=alternative,
        rng=np.random.default_rng(5),
    ).pvalue
    observed, swapped = paired_permutation(MEAN, rows(MEAN, a), rows(MEAN, b), np.arange(n), seed="s", resamples=20_000)
    ours = permutation_p(observed, swapped, n, two_sided=alternative == "two-sided")
    assert ours == pytest.approx(theirs, abs=1e-12 if n == 9 else 0.012)  # all 2^9 swaps are listed by both


def test_holm_is_that_of_its_definition() -> None:
    # Holm 1979: the smallest times 4, the next times 3, …, made monotonic.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]).tolist() == [1.0, 1.0]
    assert holm([]).tolist() == []


def test_benjamini_hochberg_is_that_of_its_definition_and_of_scipy() -> None:
    # Benjamini and Hochberg 1995: the smallest of 4 times 4/1, the next times 4/2, …, made monotonic from the largest.
    assert benjamini_hochberg([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.02, 0.04, 0.04, 0.02])
    assert benjamini_hochberg([]).tolist() == []
    p = np.random.default_rng(0).uniform(size=30) ** 3
    assert benjamini_hochberg(p) == pytest.approx(stats.false_discovery_control(p))
    assert (benjamini_hochberg(p) <= holm(p)).all()


# ------------------------------------------------------------------------------------------- known answers


def test_mean_interval_matches_the_normal_approximation() -> None:
    parts = normal(400)
    x = np.array([p["x"] for p in parts])
    got = estimate(MEAN, parts, seed="s")
    half = 1.96 * x.std() / 20
    assert got.value == pytest.approx(x.mean(), abs=1e-6)
    assert (got.low, got.high) == (pytest.approx(x.mean() - half, abs=0.01), pytest.approx(x.mean() + half, abs=0.01))


@pytest.mark.parametrize("n", [8, 60])
def test_interval_covers_the_truth_about_95_times_in_100(n: int) -> None:
    hits = 0
    for trial in range(400):
        got = estimate(MEAN, normal(n, seed=trial), seed=f"c{trial}", resamples=500)
        assert got.low is not None and got.high is not None
        hits += got.low <= 0.0 <= got.high
    assert 0.925 <= hits / 400 <= 0.975


def test_many_units_get_weights_with_the_moments_of_the_multinomial() -> None:
    units = EXACT_UNITS + 1
    weights = np.concatenate(list(drawn_weights(units, generator("w"), 4000)))
    assert weights.mean() == pytest.approx(1, abs=0.003)
    assert weights.var() == pytest.approx(1, abs=0.005)
    assert ((weights - 1) ** 3).mean() == pytest.approx(1, abs=0.03)
    assert abs(np.corrcoef(weights[:, 0], weights[:, 1])[0, 1]) < 0.05


def test_few_units_are_drawn_with_replacement_exactly() -> None:
    weights = np.concatenate(list(drawn_weights(5, generator("w"), 20_000)))
    assert (weights.sum(axis=1) == 5).all()
    counts = np.bincount(weights[:, 0].astype(int), minlength=6)
    assert stats.chisquare(counts, 20_000 * stats.binom.pmf(np.arange(6), 5, 0.2)).pvalue > 0.001


def test_both_kinds_of_weights_give_the_same_interval() -> None:
    data = rows(RATIO, utterances(EXACT_UNITS + 200))
    ours = bootstrap(RATIO, data, np.arange(data.n), seed="s", resamples=10_000)
    rng = np.random.default_rng(0)
    exact = statistic(RATIO, data, rng.multinomial(data.n, np.full(data.n, 1 / data.n), 4000).astype(float))
    assert np.quantile(ours, [0.025, 0.5, 0.975]) == pytest.approx(np.quantile(exact, [0.025, 0.5, 0.975]), rel=0.015)


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


# ----------------------------------------------------------------------------------------------- clusters


def test_clusters_widen_the_interval_of_dependent_samples() -> None:
    parts = [{"x": value["x"]} for value in normal(20) for _ in range(10)]
    alone = estimate(MEAN, parts, seed="s")
    together = estimate(MEAN, parts, seed="s", clusters=[i // 10 for i in range(200)])
    assert alone.low is not None and alone.high is not None
    assert together.low is not None and together.high is not None
    assert together.high - together.low > 2 * (alone.high - alone.low)


def test_few_clusters_widen_the_levels_as_students_t_does() -> None:
    replicates = np.random.default_rng(0).normal(size=100_000)
    assert bound(replicates, 10_000, 0.975) == pytest.approx(1.96, abs=0.03)
    assert bound(replicates, 5, 0.975) == pytest.approx(np.sqrt(5 / 4) * stats.t.ppf(0.975, 4), abs=0.15)


def test_samples_cluster_by_conversation_else_by_speaker_else_alone() -> None:
    samples = [
        Sample(id="1", speaker="ann"),
        Sample(id="2", speaker="ann"),
        Sample(id="3", speaker="ben", cluster="call 7"),
        Sample(id="4"),
    ]
    assert clusters(samples) == ["speaker ann", "speaker ann", "call 7", "sample 4"]


def test_the_only_speaker_of_a_dataset_does_not_make_one_cluster() -> None:
    assert clusters([Sample(id="1", speaker="ann"), Sample(id="2", speaker="ann")]) == ["sample 1", "sample 2"]


def test_nothing_is_made_up_for_nothing() -> None:
    none = estimate(MEAN, [], seed="s")
    one = estimate(MEAN, [{"x": 3.0}], seed="s")
    assert (none.value, none.n) == (None, 0)
    assert (one.value, one.low, one.high) == (3.0, None, None)
    assert estimate(RATIO, [{"e": 1, "w": 0}, {"e": 0, "w": 0}], seed="s").value is None


# -------------------------------------------------------------------------------------------------- pairs


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


def test_effect_size_and_detectable_difference_are_those_of_the_paired_t_test() -> None:
    rng = np.random.default_rng(4)
    d = rng.normal(0.3, 1.0, 150)
    a, b = Rows({"x": d}, 150), Rows({"x": np.zeros(150)}, 150)
    found = paired_test(MEAN, a, b, np.arange(150), seed="s")
    assert found.effect_size == pytest.approx(d.mean() / d.std(), rel=0.03)
    assert found.detectable == pytest.approx((1.96 + 0.8416) * d.std() / np.sqrt(150), rel=0.03)


def test_a_difference_of_the_detectable_size_is_found_four_times_in_five() -> None:
    found = 0
    for trial in range(200):
        rng = np.random.default_rng(trial)
        d = rng.normal((1.96 + 0.8416) / np.sqrt(80), 1.0, 80)
        one, other = Rows({"x": d}, 80), Rows({"x": np.zeros(80)}, 80)
        result = paired_test(MEAN, one, other, np.arange(80), seed="s", resamples=500)
        assert result.p_value is not None
        found += result.p_value < 0.05
    assert 0.72 <= found / 200 <= 0.88


def test_the_samples_needed_find_the_target_with_the_power_asked_for() -> None:
    n = samples_needed(100, variance=0.04, target=0.3, alpha=0.05, power=0.9)
    error = np.sqrt(0.04 * 100 / n)
    assert stats.norm.cdf(0.3 / error - stats.norm.ppf(0.95)) == pytest.approx(0.9, abs=0.005)
    assert detectable_errors(0.05, 0.9, two_sided=False) * error == pytest.approx(0.3, rel=0.005)

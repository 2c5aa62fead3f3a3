"""Statistics of people's votes: worked examples of the sources, and planted values found again."""

from __future__ import annotations

from collections.abc import Sequence
from math import log, sqrt

import numpy as np
import pytest

from speech_eval.errors import BadInput
from speech_eval.statistics.agreement import Scale, krippendorff_alpha
from speech_eval.statistics.bradley_terry import Comparison, Outcome, strengths
from speech_eval.statistics.contrast import contrasts, crossed_contrasts
from speech_eval.statistics.crossed import Components, clustered_difference, clustered_mean, components
from speech_eval.statistics.power import crossed_power, raters_needed
from speech_eval.statistics.summaries import Summary, rows

THREE_UNITS = [[1, 2], [3, 3], [4, 5]]
# Krippendorff 2011, section C: four observers, twelve units, missing values.
TWELVE_UNITS = [
    *([1, 1, 1], [2, 2, 3, 2], [3, 3, 3, 3], [3, 3, 3, 3], [2, 2, 2, 2], [1, 2, 3, 4]),
    *([4, 4, 4, 4], [1, 1, 2, 1], [2, 2, 2, 2], [5, 5, 5], [1, 1], [3]),
]


@pytest.mark.parametrize(
    ("units", "scale", "alpha"),
    [
        (THREE_UNITS, "nominal", 0.2857),
        (THREE_UNITS, "ordinal", 0.9020),
        (THREE_UNITS, "interval", 0.8333),
        (THREE_UNITS, "ratio", 0.6864),
        (TWELVE_UNITS, "nominal", 0.743),
        (TWELVE_UNITS, "ordinal", 0.815),
        (TWELVE_UNITS, "interval", 0.849),
        (TWELVE_UNITS, "ratio", 0.797),
    ],
)
def test_alpha_of_published_examples(units: list[list[float]], scale: Scale, alpha: float) -> None:
    assert krippendorff_alpha(units, scale) == pytest.approx(alpha, abs=6e-4)


@pytest.mark.parametrize("units", [[], [[3], [4]], [[2, 2], [2, 2]]], ids=["nothing", "one rater", "no variation"])
def test_alpha_is_undefined_without_pairs_or_variation(units: list[list[float]]) -> None:
    assert krippendorff_alpha(units, "interval") is None


def test_alpha_of_random_votes_is_about_zero() -> None:
    votes = np.random.default_rng(0).integers(1, 6, size=(400, 5)).tolist()
    assert krippendorff_alpha(votes, "ordinal") == pytest.approx(0, abs=0.05)


def votes_of(first: int, second: int, **counts: int) -> list[Comparison]:
    outcomes: dict[str, Outcome] = {"wins": "first", "losses": "second", "ties": "tie"}
    return [Comparison(first, second, outcomes[name]) for name, n in counts.items() for _ in range(n)]


def test_two_systems_have_the_log_odds_and_their_error() -> None:
    found = strengths(votes_of(0, 1, wins=7, losses=3), 2)
    assert found.difference(0, 1) == pytest.approx((log(7 / 3), sqrt(1 / 7 + 1 / 3)), abs=1e-6)
    assert found.values.sum() == pytest.approx(0)


def test_ties_after_davidson() -> None:
    found = strengths(votes_of(0, 1, wins=5, losses=1, ties=3), 2)
    assert found.difference(0, 1)[0] == pytest.approx(log(5), abs=1e-6)
    assert found.ties == pytest.approx(3 / sqrt(5), abs=1e-6)


@pytest.mark.parametrize(
    "votes",
    [
        votes_of(0, 1, wins=5),
        votes_of(0, 1, ties=4),
        [*votes_of(0, 1, wins=2, losses=2), *votes_of(2, 3, wins=2, losses=2)],
        [*votes_of(0, 1, wins=2, losses=2), *votes_of(2, 0, wins=3), *votes_of(2, 3, wins=1, losses=1)],
    ],
    ids=["no loss", "ties alone", "no common opponent", "one side always wins"],
)
def test_strengths_that_have_no_maximum_are_an_error_or_take_a_prior(votes: Sequence[Comparison]) -> None:
    systems = 1 + max(max(vote.first, vote.second) for vote in votes)
    with pytest.raises(BadInput, match="not defined"):
        strengths(votes, systems)
    assert np.isfinite(strengths(votes, systems, prior=0.5).values).all()


def test_planted_strengths_are_found_again_and_raters_widen_the_errors() -> None:
    rng = np.random.default_rng(1)
    planted = np.array([0.8, 0.1, -0.9])
    votes: list[Comparison] = []
    for rater in range(60):
        own = planted + rng.normal(0, 0.8, 3)
        for first, second in ((0, 1), (1, 2), (0, 2)) * 8:
            likely = 1 / (1 + np.exp(own[second] - own[first]))
            votes.append(Comparison(first, second, "first" if rng.random() < likely else "second", rater))
    found = strengths(votes, 3)
    assert (np.abs(found.values - planted * 0.9) < 3 * found.errors + 0.1).all()
    alone = strengths([Comparison(v.first, v.second, v.outcome) for v in votes], 3)
    assert (found.errors > 1.3 * alone.errors).all()


def crossed(
    raters: int, samples: int, sizes: tuple[float, float, float], rng: np.random.Generator, mean: float = 0.0
) -> tuple[list[float], list[int], list[int]]:
    """Votes of every rater on every sample with planted standard deviations of rater, sample and rest."""
    votes = mean + rng.normal(0, sizes[0], raters)[:, None] + rng.normal(0, sizes[1], samples)[None, :]
    votes = votes + rng.normal(0, sizes[2], (raters, samples))
    row, column = np.indices(votes.shape)
    return votes.ravel().tolist(), row.ravel().tolist(), column.ravel().tolist()


def test_planted_components_are_found_again() -> None:
    rng = np.random.default_rng(2)
    found = [components(*crossed(20, 30, (0.5, 0.3, 0.8), rng)) for _ in range(40)]
    assert np.mean([f.rater for f in found if f]) == pytest.approx(0.25, abs=0.04)
    assert np.mean([f.sample for f in found if f]) == pytest.approx(0.09, abs=0.02)
    assert np.mean([f.rest for f in found if f]) == pytest.approx(0.64, abs=0.02)


def test_clustering_matches_the_formula_by_hand() -> None:
    found = clustered_mean([1, 3, 2, 6], ["a", "a", "b", "b"], ["x", "y", "x", "y"])
    # mean 3, residuals -2 0 -1 3: raters (-2)² + 2² = 8, samples (-3)² + 3² = 18, cells 14; over 16, times 2/1
    assert found.error == pytest.approx(sqrt((8 + 18 - 14) / 16 * 2))
    assert clustered_mean([1, 2], ["a", "a"], ["x", "y"]).error is None


def test_equal_votes_say_nothing_about_others_and_intervals_end_with_the_scale() -> None:
    names = ["a", "a", "b", "b"], ["x", "y", "x", "y"]
    equal = clustered_mean([5, 5, 5, 5], *names)
    assert (equal.mean, equal.error, equal.p_value) == (5, None, None)
    wide = clustered_mean([1, 3, 2, 6], *names)
    assert wide.low is not None and wide.low < 1 and wide.within((1, 5)).low == 1 and wide.within((1, 5)).high == 5


@pytest.mark.parametrize("sizes", [(0.3, 0.2, 0.9), (0.0, 0.0, 0.8), (0.5, 0.4, 0.5)])
def test_a_planted_difference_is_found_with_the_power_that_was_promised(sizes: tuple[float, float, float]) -> None:
    variances = Components(*(size**2 for size in sizes))
    needed = raters_needed(variances, 40, 0.35, alpha=0.05, power=0.8)
    assert needed is not None
    assert crossed_power(variances, needed, 40, 0.35, alpha=0.05) >= 0.8
    rng = np.random.default_rng(3)
    p = [clustered_mean(*crossed(needed, 40, sizes, rng, 0.35)).p_value for _ in range(600)]
    null = [clustered_mean(*crossed(needed, 40, sizes, rng)).p_value for _ in range(600)]
    found, false = np.mean([x is not None and x < 0.05 for x in p]), np.mean([x is not None and x < 0.05 for x in null])
    assert found >= 0.75 and false <= 0.075


def test_more_raters_do_not_replace_samples() -> None:
    assert raters_needed(Components(0.1, 0.5, 0.5), 5, 0.2, alpha=0.05, power=0.8) is None


# ---------------------------------------------------------------------------------- a slice against the rest


def test_a_difference_of_slices_is_clustered_by_hand() -> None:
    votes, raters, samples = [5, 5, 1, 1, 3, 3, 3, 3], ["a"] * 4 + ["b"] * 4, ["x", "y", "u", "v"] * 2
    found = clustered_difference(votes, raters, samples, [True, True, False, False] * 2)
    # means 4 and 2; shares of a 1/4 each, of b -1/4: raters 1 + 1, samples 0, cells 8/16; times 2/1
    assert found.mean == 2 and found.error == pytest.approx(sqrt((2 + 0 - 0.5) * 2)) and found.freedom == 1
    assert clustered_difference(votes[:4], raters[:4], samples[:4], [True, True, False, False]).error is None


def test_raters_who_disagree_about_a_slice_widen_its_interval() -> None:
    """Ten raters find one half of forty samples better or worse, each in their own way, and on average neither."""
    summary = Summary("mos", "ratio", ("sum", "votes"), "MOS", "higher", crossed="by ")
    labels, groups = np.repeat([0, 1], 20), np.arange(40)
    rng, missed, before = np.random.default_rng(4), 0, 0
    for trial in range(100):
        votes = 3 + rng.normal(0, 0.5, 10)[:, None] * (labels == 0) + rng.normal(0, 0.5, (10, 40))
        parts = [
            {"sum": column.sum(), "votes": 10.0, **{f"by {i}": float(vote) for i, vote in enumerate(column)}}
            for column in votes.T
        ]
        known = crossed_contrasts(summary, parts, groups, labels)[0]
        missed += known.p_value is not None and known.p_value < 0.05
        alone = contrasts(summary, rows(summary, parts), groups, labels, seed=str(trial), resamples=200)[0]
        before += alone.p_value is not None and alone.p_value < 0.05
    assert missed <= 10 and before >= 30  # moving samples alone takes the ten raters for the population

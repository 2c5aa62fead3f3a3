"""Power: the planned samples find the difference as often as asked, and the command plans from runs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from typer.testing import CliRunner

from speech_eval import compare, power
from speech_eval.adapters import spec as modelspec
from speech_eval.cli.main import app
from speech_eval.engine import session
from speech_eval.engine.session import Settings
from speech_eval.errors import BadInput, NotComparable
from speech_eval.statistics.power import detectable_difference, pairs_needed


def test_eight_tenths_of_deviation_take_128_pairs_for_a_difference_of_two_tenths() -> None:
    """(1.960 + 0.842)² × 16 + 1.92."""
    assert pairs_needed(0.8, 0.2, alpha=0.05, power=0.8) == 128
    assert detectable_difference(0.8, 128, alpha=0.05, power=0.8) == pytest.approx(0.2, rel=0.005)


@pytest.mark.parametrize(("effect", "level"), [(0.25, 0.8), (0.6, 0.9), (1.0, 0.8)])
def test_the_planned_pairs_have_the_power_of_the_exact_t_test(effect: float, level: float) -> None:
    n = pairs_needed(1.0, effect, alpha=0.05, power=level)

    def exact(pairs: int) -> float:
        t = stats.t.ppf(0.975, pairs - 1)
        return float(stats.nct.sf(t, pairs - 1, effect * np.sqrt(pairs)))

    assert exact(n) >= level - 0.005
    assert exact(n - 2) < level


def test_too_few_pairs_detect_nothing() -> None:
    assert detectable_difference(1.0, 1, alpha=0.05, power=0.8) == np.inf


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("runs")
    made = []
    for name, rate in (("a", 0.1), ("b", 0.2)):
        spec = modelspec.parse(f"noisy,error_rate={rate}")
        session.run(spec, ["asr"], folder / name, Settings(workers=1, limit=60))
        made.append(folder / name)
    return made


def test_two_runs_plan_by_the_deviation_of_their_difference(runs: list[Path]) -> None:
    (wer, _) = power(runs, difference=2.0).numbers
    (other, _) = compare(*runs).differences[0], None
    assert other.detectable is not None and wer.detectable is not None and wer.needed is not None
    assert wer.detectable == pytest.approx(other.detectable, rel=0.05)
    assert wer.needed == pytest.approx(60 * (wer.detectable / 2.0) ** 2, rel=0.05)


def test_more_samples_detect_less(runs: list[Path]) -> None:
    few, many = (power(runs, samples=samples).numbers[0].detectable for samples in (60, 240))
    assert few is not None and many == pytest.approx(few / 2, rel=0.05)


def test_one_run_plans_as_if_both_were_independent(runs: list[Path]) -> None:
    one, both = power(runs[0]).numbers[0], power([runs[0], runs[0]]).numbers[0]
    assert one.deviation is not None and one.deviation > 0
    assert both.deviation is None and both.detectable is None  # the same answers differ by nothing


def test_the_command_prints_the_plan(runs: list[Path]) -> None:
    done = CliRunner().invoke(app, ["power", *map(str, runs), "--difference", "2", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["numbers"][0]["needed"] == power(runs, difference=2.0).numbers[0].needed
    shown = CliRunner().invoke(app, ["power", "--deviation", "0.8", "--difference", "0.2"]).output
    assert "samples for 0.2" in shown and "128" in shown


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({}, "runs, or a deviation"),
        ({"deviation": 1.0}, "difference or a number of samples"),
        ({"deviation": 1.0, "difference": 0.0}, "difference=0"),
        ({"deviation": 1.0, "difference": 1.0, "alpha": 1.0}, "alpha=1"),
    ],
)
def test_what_cannot_be_planned_is_named(options: dict[str, float], named: str) -> None:
    with pytest.raises(BadInput, match=named):
        power(**options)  # type: ignore[arg-type]


@pytest.mark.slow
def test_runs_without_a_common_task_are_refused(runs: list[Path], tmp_path: Path) -> None:
    session.run(modelspec.parse("oracle"), ["token-bill"], tmp_path / "c", Settings(workers=1, limit=2))
    with pytest.raises(NotComparable, match="in common"):
        power([runs[0], tmp_path / "c"])

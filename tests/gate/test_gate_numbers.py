"""What a rule of the gate may be about: numbers of a codec's levels, and latencies of models that took turns."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.tiny_codecs import save_tiny_codec

from speech_eval.adapters import spec as modelspec
from speech_eval.analysis.compare import compare
from speech_eval.engine import session as runner
from speech_eval.engine.plan import plan
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.engine.session import Settings
from speech_eval.gate.calibrate import calibrate
from speech_eval.gate.decisions import Judgment, judge
from speech_eval.gate.rules import Rule
from speech_eval.gate.selftest import selftest

TASK, CODES = "codec-reconstruction", "codebook[corpus@1]"
TTFA = Rule(task="latency", metric="ttfa[first-audible@2]/ttfa-p50", factor=1.2, minimum_n=5)


@pytest.fixture(scope="module")
def codecs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunDirectory]:
    """Codecs of four and of eight levels, with 32 codes in each."""
    base = tmp_path_factory.mktemp("codecs")
    for family in ("dac", "mimi"):
        spec = modelspec.parse(str(save_tiny_codec(family, base / family)))
        runner.run(spec, [TASK], base / f"{family}-run", Settings(limit=4, metrics=(CODES,), workers=1))
    return {family: RunDirectory(base / f"{family}-run") for family in ("dac", "mimi")}


def judged(run: RunDirectory, baseline: RunDirectory | None, name: str, **bound: float) -> Judgment:
    rule = Rule.model_validate({"task": TASK, "metric": f"{CODES}/{name}", "minimum_n": 2, **bound})
    return judge(run, [rule], baseline).judgments[0]


@pytest.mark.parametrize(("least", "outcome"), [(1.0, "pass"), (33.0, "regression")])
def test_a_number_of_one_level_is_held_by_its_interval(
    codecs: dict[str, RunDirectory], least: float, outcome: str
) -> None:
    assert judged(codecs["dac"], None, "perplexity-3", min=least).outcome == outcome


def test_a_level_has_its_margin_against_the_baseline(codecs: dict[str, RunDirectory]) -> None:
    assert judged(codecs["dac"], codecs["dac"], "entropy-3", margin=0).outcome == "pass"


@pytest.mark.parametrize(
    ("run", "baseline", "name", "reason"),
    [
        ("dac", "dac", "perplexity-9", "the run has no number"),
        ("mimi", "dac", "perplexity-7", "the baseline has no"),
        ("dac", "dac", "usage-3", "not defined in some resamples"),
    ],
)
def test_a_level_that_is_not_there_or_has_no_interval_cannot_be_judged(
    codecs: dict[str, RunDirectory], run: str, baseline: str, name: str, reason: str
) -> None:
    found = judged(codecs[run], codecs[baseline], name, margin=0.1)
    assert found.outcome == "could not judge" and reason in found.reason


def test_levels_are_compared_as_far_as_both_codecs_have_them(codecs: dict[str, RunDirectory]) -> None:
    names = {difference.name for difference in compare(codecs["mimi"], codecs["dac"]).differences}
    assert "perplexity-4" in names and "perplexity-5" not in names


def test_calibrate_and_selftest_take_runs_of_codecs(codecs: dict[str, RunDirectory]) -> None:
    assert {noise.name for noise in calibrate([codecs["dac"], codecs["mimi"]]).noise} >= {"entropy", "usage"}
    rule = Rule(task=TASK, metric=f"{CODES}/perplexity-9", margin=0)
    assert selftest(codecs["dac"], [rule], pairs=100).false_alarms == []


# ------------------------------------------------------------------------------------------- taking turns


def timed(folder: Path, names: str) -> None:
    settings = Settings(limit=2, rounds=5, workers=1)
    specs = {name: modelspec.parse(f"oracle,ttfb=0.{name}") for name in names}
    runner.execute([(plan(spec, ["latency"], settings), folder / name) for name, spec in specs.items()])


@pytest.mark.slow
def test_a_factor_judges_models_that_took_turns(tmp_path: Path) -> None:
    timed(tmp_path, "29")
    quick, slow = RunDirectory(tmp_path / "2"), RunDirectory(tmp_path / "9")
    assert judge(quick, [TTFA], slow).outcome == "pass"
    assert judge(slow, [TTFA], quick).outcome == "regression"


@pytest.mark.slow
def test_a_factor_cannot_judge_models_that_were_timed_one_after_the_other(tmp_path: Path) -> None:
    for name in "29":
        timed(tmp_path, name)
    timed(tmp_path, "29")  # asks for nothing more, so it makes no turns of them
    found = judge(RunDirectory(tmp_path / "9"), [TTFA], RunDirectory(tmp_path / "2")).judgments[0]
    assert found.outcome == "could not judge" and "took turns in 5 of 5 rounds" in found.reason

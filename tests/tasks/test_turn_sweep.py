"""The task `turn-taking-policy`: an agent's speech probabilities are stored, and every rule is scored from them."""

from __future__ import annotations

from pathlib import Path

import pytest

from speech_eval.adapters import spec as modelspec
from speech_eval.engine import session as runner
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.engine.session import Settings
from speech_eval.engine.verify import verify
from speech_eval.errors import BadInput
from speech_eval.leaderboard.boards import boards
from speech_eval.leaderboard.build import build
from speech_eval.leaderboard.charts import charts
from speech_eval.leaderboard.load import find
from speech_eval.metrics.base import ScoringItem, Unit
from speech_eval.metrics.dialogue.turn_policy import DELAYS, RULES, THRESHOLDS, TurnPolicy
from speech_eval.records import Output, Sample, SpeechProbabilities
from speech_eval.statistics.bootstrap import estimate

FRAME = 0.1
# One second of speech, 0.45 s of pause in which the probability stays at 0.2, speech to 2.0 s, then silence.
PROBABILITIES = [0.95] * 10 + [0.2] * 4 + [0.95] * 6 + [0.0] * 30


def scored(probabilities: list[float], turn_end: float = 2.0) -> dict[str, float]:
    sample = Sample(id="s", metadata={"turn_end": turn_end})
    said = SpeechProbabilities(frame_seconds=FRAME, values=probabilities)
    output = Output(id="s", task="t", status="ok", seed=0, text="x", speech_probabilities=said)
    return TurnPolicy().score(ScoringItem(sample, output)).parts


def test_a_short_delay_cuts_off_in_the_pause_and_a_long_one_waits() -> None:
    parts = scored(PROBABILITIES)
    assert [parts[f"cut 0.5/{delay}"] for delay in (0.3, 0.4, 0.5)] == [1, 1, 0]
    assert parts["clean 0.5/0.5"] == 1 and parts["late 0.5/0.5"] == pytest.approx(0.5)


def test_a_low_threshold_hears_the_pause_as_speech() -> None:
    parts = scored(PROBABILITIES)
    assert parts["cut 0.1/0.3"] == 0 and parts["late 0.1/0.3"] == pytest.approx(0.3)


def test_a_turn_without_action_is_missed_and_has_no_latency() -> None:
    parts = scored([0.95] * 20 + [0.0] * 5)
    assert (parts["missed 0.5/0.9"], parts["clean 0.5/0.9"], parts["late 0.5/0.9"]) == (1, 0, 0)


def test_the_quickest_rule_within_five_per_cent_is_the_headline() -> None:
    parts = [scored(PROBABILITIES)] * 30
    metric = TurnPolicy()
    assert estimate(metric.summaries[0], parts, seed="s").value == pytest.approx(0.1)  # threshold 0.1, delay 0.1
    cut = [{**one, **{f"cut {rule}": 1.0 for rule in RULES if rule.startswith("0.1/")}} for one in parts]
    assert estimate(metric.summaries[0], cut, seed="s").value == pytest.approx(0.5)


def test_every_rule_has_its_three_numbers() -> None:
    units = [Unit(Sample(id="s"), scored(PROBABILITIES), None)]
    names = [summary.name for summary in TurnPolicy().reported(units)]
    assert len(names) == len(set(names)) == 1 + 3 * len(THRESHOLDS) * len(DELAYS)


def test_an_output_without_probabilities_is_an_error_that_names_the_task() -> None:
    output = Output(id="s", task="t", status="ok", seed=0, text="x")
    with pytest.raises(BadInput, match="turn-taking-policy"):
        TurnPolicy().score(ScoringItem(Sample(id="s", metadata={"turn_end": 1.0}), output))


def test_an_agent_without_probabilities_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no speech probability"):
        runner.run(modelspec.parse("turn-oracle"), ["turn-taking-policy"], tmp_path / "run", Settings(limit=1))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("turns") / "run"
    tasks = ["turn-taking", "turn-taking-policy"]
    runner.run(modelspec.parse("vad-timeout"), tasks, path, Settings(limit=3, workers=1))
    return path


@pytest.mark.slow
def test_the_run_holds_the_sweep_and_verifies(run: Path) -> None:
    assert verify(run, Settings(workers=1)).differences == []
    own, policy = RunDirectory(run).results().tasks
    assert own.dataset_sha256 == policy.dataset_sha256
    values = {metric.name: metric.strict.value for metric in policy.metrics}
    late = [values[f"latency 0.5/{delay:g}"] for delay in DELAYS[6:9]]
    assert all(value is not None for value in late) and late == sorted(late, key=float)  # type: ignore[arg-type]


def test_the_chart_marks_the_front_and_shows_the_agent(run: Path) -> None:
    made = boards(find([run])[0])
    (chart,) = (p for p in charts(made, {}) if p["kind"] == "policy")
    assert [agent["model"] for agent in chart["agents"]] == ["vad-timeout"]
    (curve,) = chart["curves"]
    front = sorted((p for p in curve["points"] if p["front"]), key=lambda p: p["values"][0][0])
    cuts = [point["values"][1][0] + point["values"][2][0] for point in front]
    assert 0 < len(front) < len(curve["points"]) and len(set(cuts)) == len(cuts)


def test_the_points_are_drawn_and_not_listed(run: Path, tmp_path: Path) -> None:
    site = build([run], tmp_path / "site", audio=False).index.parent
    (policy,) = (board for board in boards(find([run])[0]) if board.task == "turn-taking-policy")
    assert [column.summary for column in policy.columns] == ["latency-at-5%"]
    (page,) = site.glob("runs/*.html")
    text = page.read_text("utf-8")
    assert "false-cut-offs 0.5/0.7" not in text and "more" in text

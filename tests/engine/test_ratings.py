"""People's ratings in a run: stored line by line, scored like everything else, found again by `verify`."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.listening_runs import METRIC, TASK, codec_runs

from speech_eval import slices
from speech_eval.analysis.compare import compare
from speech_eval.engine import session
from speech_eval.engine.ratings import Rating
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.engine.session import rate
from speech_eval.engine.settings import Settings
from speech_eval.engine.verify import verify
from speech_eval.gate.decisions import judge
from speech_eval.gate.rules import Rule
from speech_eval.records import MetricResult
from speech_eval.statistics.crossed import clustered_difference, clustered_mean

MOS, AB = "mos[human-acr@1]", "preference[human-ab@1]"
VOTES = {"ann": [5, 4, 4], "bob": [4, 2, 3], "cem": [5, 3, 3]}  # on three of four samples


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return codec_runs(tmp_path, ["noisy"])[0]


def ratings(run: RunDirectory, test: str = "t1", shift: float = 0.0, **more: str) -> list[Rating]:
    outputs = run.outputs(TASK)
    return [
        Rating(
            id=f"s{i}", metric=MOS, output=outputs[f"s{i}"].digest(), test=test, rater=rater, value=vote + shift, **more
        )
        for rater, votes in VOTES.items()
        for i, vote in enumerate(votes)
    ]


def mos(run: RunDirectory) -> MetricResult:
    (task,) = run.results().tasks
    return next(metric for metric in task.metrics if metric.metric == MOS)


def test_ratings_become_a_number_with_an_interval_clustered_both_ways(run: RunDirectory) -> None:
    before = run.results().tasks[0].metrics
    rate(run, {TASK: ratings(run)})
    found = mos(run)
    raters = [rater for rater in VOTES for _ in range(3)]
    expected = clustered_mean([vote for votes in VOTES.values() for vote in votes], raters, [0, 1, 2] * 3).within(
        (1, 5)
    )
    assert found.strict.value == pytest.approx(expected.mean, abs=1e-6) and found.strict.n == 3
    assert (found.strict.low, found.strict.high) == pytest.approx((expected.low, expected.high), abs=1e-5)
    assert found.invalid == 1  # nobody heard the fourth sample
    assert run.results().tasks[0].metrics[: len(before)] == before and not found.primary


def test_verify_and_score_find_the_numbers_again(run: RunDirectory) -> None:
    rate(run, {TASK: ratings(run)})
    assert verify(run.path, Settings()).differences == []
    before = mos(run)
    session.rescore(run, Settings())
    assert mos(run) == before
    lines = run.file("ratings", TASK).read_text()
    run.file("ratings", TASK).write_text(lines.replace('"value":2.0', '"value":5.0'))
    assert any(MOS in line for line in verify(run.path, Settings()).differences)


def test_adding_the_same_again_changes_nothing_and_a_new_test_replaces_the_old(run: RunDirectory) -> None:
    rate(run, {TASK: ratings(run)})
    lines, results = run.file("ratings", TASK).read_bytes(), run.results()
    rate(run, {TASK: ratings(run)})
    assert run.file("ratings", TASK).read_bytes() == lines and run.results() == results
    rate(run, {TASK: ratings(run, "t2", -1)})
    assert mos(run).scorer == "listeners of test t2" and len(run.ratings(TASK)) == 18
    assert mos(run).strict.value == pytest.approx(sum(map(sum, VOTES.values())) / 9 - 1, abs=1e-6)


def test_excluded_ratings_texts_and_those_of_other_outputs_do_not_count(run: RunDirectory) -> None:
    good = ratings(run)
    stale = [rating.model_copy(update={"rater": "dee", "output": "0" * 64}) for rating in good[:3]]
    text = Rating(id="s0", metric="text", output=good[0].output, test="t1", rater="ann", text="a <b>hum</b>")
    rate(run, {TASK: [*good, *stale, text]})
    assert mos(run).strict.value == pytest.approx(33 / 9, abs=1e-6)
    rate(run, {TASK: [r.model_copy(update={"excluded": "too careless"}) for r in good if r.rater == "bob"]})
    assert mos(run).strict.value == pytest.approx(24 / 6, abs=1e-6)
    assert {r.rater for r in run.ratings(TASK) if r.excluded} == {"bob"}
    assert "text" not in run.manifest().tasks[TASK].metrics


def test_two_runs_are_compared_by_rater_and_sample(tmp_path: Path) -> None:
    runs = codec_runs(tmp_path, ["oracle", "noisy"])
    rate(runs[0], {TASK: ratings(runs[0])})
    worse = ratings(runs[1], shift=-1.0)  # but one vote, which is two lower
    worse[0] = worse[0].model_copy(update={"value": 3.0})
    rate(runs[1], {TASK: worse})
    found = next(d for d in compare(runs[0], runs[1]).differences if d.metric == MOS)
    assert found.difference.value == pytest.approx(10 / 9, abs=1e-6) and found.test == "clustered"
    expected = clustered_mean([2, *[1] * 8], [rater for rater in VOTES for _ in range(3)], [0, 1, 2] * 3)
    assert found.p_value == pytest.approx(expected.p_value) and found.difference.low == pytest.approx(
        expected.low, abs=1e-5
    )


def test_a_stored_score_of_the_task_is_left_alone(run: RunDirectory) -> None:
    before = {key: score for key, score in run.scores(TASK).items() if key[1] == METRIC}
    rate(run, {TASK: ratings(run)})
    assert {key: score for key, score in run.scores(TASK).items() if key[1] == METRIC} == before


def test_slices_and_gates_know_that_the_same_raters_heard_everything(run: RunDirectory) -> None:
    """Two of three raters hear no difference between the halves: the third does not stand for all people."""
    votes = {"ann": [3, 3, 3, 3], "bob": [4, 4, 4, 4], "cem": [2, 2, 5, 5]}
    outputs = run.outputs(TASK)
    made = [
        Rating(id=f"s{i}", metric=MOS, output=outputs[f"s{i}"].digest(), test="t1", rater=rater, value=vote)
        for rater, own in votes.items()
        for i, vote in enumerate(own)
    ]
    rate(run, {TASK: made})
    heard = (
        [float(vote) for own in votes.values() for vote in own],
        [r for r in votes for _ in range(4)],
        [*range(4)] * 3,
    )
    (half,) = (n for n in slices(run.path, "half", least=2).numbers if (n.slice, n.result.metric) == ("b", MOS))
    expected = clustered_difference(*heard, [i > 1 for i in range(4)] * 3)
    assert half.difference is not None and half.difference.value == pytest.approx(1.0)
    assert (half.difference.low, half.p_value) == pytest.approx((expected.low, expected.p_value), abs=1e-6)
    assert half.difference.low is not None and half.difference.low < 0 and not half.significant
    (judged,) = judge(run, [Rule(task=TASK, metric=f"{MOS}/mos", min=3.0, minimum_n=2)]).judgments
    known = clustered_mean(*heard)
    assert judged.outcome == "could not judge" and judged.bound == pytest.approx(known.bound(0.05), abs=1e-6)
    (judged,) = judge(run, [Rule(task=TASK, metric=f"{MOS}/mos", max=known.bound(0.95) + 0.01, minimum_n=2)]).judgments
    assert judged.outcome == "pass"
    (judged,) = judge(run, [Rule(task=TASK, metric=f"{MOS}/mos", margin=0.1, minimum_n=2)], run).judgments
    assert judged.outcome == "could not judge" and "all votes are equal" in judged.reason

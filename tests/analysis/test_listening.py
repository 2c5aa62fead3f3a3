"""What raters say: planted differences are found, careless raters are not counted, strangers' files are data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from support.listening_runs import TASK, codec_runs
from support.raters import Rater, panel

from speech_eval.analysis.listening.description import (
    ANCHOR,
    LARGEST_ANSWERS,
    MID_ANCHOR,
    REFERENCE,
    Answers,
    Key,
    KeyTrial,
    Sound,
    Step,
    System,
    collect,
)
from speech_eval.analysis.listening.power import of_answers
from speech_eval.analysis.listening.report import ListeningReport, quartiles, report
from speech_eval.analysis.listening.screening import bs1534_excludes, screen
from speech_eval.analysis.listening.votes import votes_of
from speech_eval.api.listening import build_listening_test, import_answers, listening_report, rater_power
from speech_eval.api.scoring import verify
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.errors import BadInput
from speech_eval.metrics.listening import IDS

GOOD = {"oracle": 4.2, "noisy": 2.8}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[RunDirectory]:
    return codec_runs(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def key(runs: list[RunDirectory], tmp_path_factory: pytest.TempPathFactory) -> Key:
    out = tmp_path_factory.mktemp("made") / "test"
    kinds = "mos,smos,cmos,ab,abx,mushra,same-words,text"
    made = build_listening_test([run.path for run in runs], out, kinds=kinds, samples=4)
    assert isinstance(made.key, Key)
    return made.key


@pytest.fixture(scope="module")
def mos_key(key: Key) -> Key:
    """The part of the test that asks for quality."""
    trials = {name: trial for name, trial in key.trials.items() if trial.kind == "mos"}
    forms = [[step for step in form if step.trial in trials] for form in key.forms]
    return key.model_copy(update={"trials": trials, "forms": forms})


def means(found: ListeningReport, kind: str) -> dict[str, float]:
    return {one.condition: one.mean for one in found.conditions if one.kind == kind}


def test_planted_differences_come_out_in_every_kind(key: Key) -> None:
    found = report(key, panel(key, GOOD, 12))
    assert not found.excluded and found.raters == found.complete == found.headphones == 12
    mos = means(found, "mos")
    assert mos["oracle"] - mos["noisy"] == pytest.approx(1.4, abs=0.25)
    assert means(found, "cmos")["oracle"] == pytest.approx(1.4, abs=0.25) == -means(found, "cmos")["noisy"]
    assert means(found, "ab")["oracle"] > 90 and means(found, "abx")["oracle"] == 100
    grades = means(found, "mushra")
    assert grades[REFERENCE] > grades["oracle"] > grades["noisy"] > grades[ANCHOR]
    assert means(found, "same-words")["oracle"] == pytest.approx(90, abs=12)
    for one in found.contrasts:
        if one.kind in ("mos", "cmos", "ab", "mushra") and {one.a, one.b} == {"oracle", "noisy"}:
            lead = one.difference if one.a == "oracle" else -one.difference
            assert lead > 0 and one.adjusted is not None and one.adjusted < 0.01, one
    assert all(found.alpha[kind] is not None and found.alpha[kind] > 0.5 for kind in ("mos", "mushra"))  # type: ignore[operator]
    strengths = {one.condition: one.value for one in found.strengths}
    assert strengths["oracle"] > 1 and found.remarks[0].text == "a <b>hum</b>"


def test_without_a_difference_nothing_is_found_and_raters_do_not_agree(key: Key) -> None:
    same = {"oracle": 3.5, "noisy": 3.5}
    p = []
    for seed in range(20):
        found = report(key, panel(key, same, 10, seed=seed), screened=False)
        p += [c.p_value for c in found.contrasts if c.kind in ("mos", "cmos") and c.p_value is not None]
    assert np.mean(np.array(p) < 0.05) <= 0.1 and len(p) > 35
    assert found.alpha["cmos"] == pytest.approx(0, abs=0.2)


def test_careless_raters_are_not_counted_and_the_reasons_are_told(key: Key) -> None:
    answers = panel(key, GOOD, 12, careless=3)
    found = report(key, answers)
    assert set(found.excluded) == {one.rater for one in answers[-3:]}
    assert all("attention" in reason or "reference" in reason for reason in found.excluded.values())
    assert len(report(key, answers, screened=False).excluded) == 0
    row = next(one for one in found.conditions if one.kind == "mos")
    assert row.raters == 9 and row.votes == 9 * 4


def test_a_rater_who_always_says_the_same_is_not_counted(key: Key) -> None:
    one = Rater(1, GOOD).fill(key, 0)
    mos = {name for name, trial in key.trials.items() if trial.kind == "mos" and not trial.check}
    flat = [a.model_copy(update={"value": 4}) if a.trial in mos else a for a in one.answers]
    found = report(key, [one.model_copy(update={"answers": flat})])
    assert "variance: 8 mos ratings are nearly equal" in found.excluded[one.rater]


def test_headphones_count_only_where_they_are_asked_for(key: Key) -> None:
    answers = [a.model_copy(update={"headphones": [1] * 6}) for a in panel(key, GOOD, 2)]
    assert not report(key, answers).excluded
    assert all("headphones: 2 of 6" in reason for reason in report(key, answers, headphones=True).excluded.values())


# ------------------------------------------------------------------------------------------------- BS.1534


def grades_key(items: int) -> Key:
    """A MUSHRA test of so many items with the mid anchor, one sound of a system, and no checks."""
    names = [f"{i:016x}" for i in range(items)]
    sounds = [Sound(condition="codec", output="0" * 64), Sound(condition=REFERENCE), Sound(condition=MID_ANCHOR)]
    trials = {name: KeyTrial(kind="mushra", sample=f"s{i}", sounds=sounds) for i, name in enumerate(names)}
    form = [Step(trial=name, order=[2, 0, 1]) for name in names]
    system = System(label="codec", model="codec", run="run")
    about = {"title": "", "seed": 0, "task": "t", "dataset_sha256": "", "loudness": None, "quietest": []}
    return Key(test="0" * 12, systems=[system], trials=trials, forms=[form], **about)  # type: ignore[arg-type]


def graded(key: Key, rater: int, reference: list[int], mid: list[int]) -> Answers:
    """Answers of a rater; places are mid anchor, codec, reference."""
    answers = [
        {"trial": name, "value": [mid[i], 50, reference[i]], "plays": 3, "seconds": 1}
        for i, name in enumerate(key.trials)
    ]
    given = {"test": key.test, "rater": f"{rater:016x}", "form": 0, "complete": True, "answers": answers}
    return Answers.model_validate(given)


EXAMPLE = [95, 95, 88, 97, 96, 89, 95, 99, 98, 97]


@pytest.mark.parametrize(
    ("reference", "out"),
    [
        (EXAMPLE, True),
        ([90 if grade == 89 else grade for grade in EXAMPLE], False),
        ([90] * 10, False),
        ([89, 99, 99, 99, 99, 99], True),
    ],
    ids=["two of ten", "one of ten", "exactly 90", "one of six"],
)
def test_post_screening_by_the_hidden_reference(reference: list[int], out: bool) -> None:
    key = grades_key(len(reference))
    answers = [graded(key, 1, reference, [60] * len(reference))]
    assert bool(screen(key, answers, votes_of(key, answers))) == out


def test_exactly_fifteen_percent_does_not_exclude() -> None:
    assert not bs1534_excludes(3, 20) and bs1534_excludes(4, 20)


def test_post_screening_by_the_mid_anchor_spares_items_that_many_miss() -> None:
    key = grades_key(10)
    deaf = [graded(key, 1, [100] * 10, [95, 95] + [60] * 8)]
    others = [graded(key, n, [100] * 10, [60] * 10) for n in range(2, 9)]
    answers = deaf + others
    assert set(screen(key, answers, votes_of(key, answers))) == {deaf[0].rater}
    # where a quarter of all raters and one more miss the same two items, these are the items' fault
    more = [graded(key, n, [100] * 10, [95, 95] + [60] * 8) for n in (20, 21)]
    answers = deaf + others + more
    assert not screen(key, answers, votes_of(key, answers))
    exact = deaf + more[:1] + others[:6]  # two of eight: exactly 25 %
    assert len(screen(key, exact, votes_of(key, exact))) == 2


@pytest.mark.parametrize(
    ("values", "expected"),
    [([1, 2, 3, 4, 5], (2, 3, 4)), ([1, 2, 3, 4], (1.5, 2.5, 3.5)), ([7], (7, 7, 7)), ([1, 9], (1, 5, 9))],
)
def test_quartiles_of_bs1534(values: list[float], expected: tuple[float, float, float]) -> None:
    assert quartiles(values) == expected


# --------------------------------------------------------------------------------------------------- import


@pytest.fixture
def folder(runs: list[RunDirectory], tmp_path: Path) -> Iterator[Path]:
    build_listening_test(
        [run.path for run in runs], tmp_path / "test", kinds="mos,ab,abx,cmos,mushra,smos,same-words,text"
    )
    yield tmp_path / "test"


def hand_in(folder: Path, answers: list[Answers]) -> None:
    for one in answers:
        (folder / "answers" / f"{one.rater}.json").write_text(one.line())


def test_import_adds_every_metric_to_the_runs_and_verify_finds_it(folder: Path, tmp_path: Path) -> None:
    runs = codec_runs(tmp_path)
    key = Key.model_validate_json((folder / "key.json").read_text())
    hand_in(folder, panel(key, GOOD, 8, careless=1))
    found = import_answers(folder, [run.path for run in reversed(runs)])
    assert len(found.excluded) == 1
    for run in runs:
        (task,) = run.results().tasks
        numbers = {metric.metric: metric for metric in task.metrics if metric.metric in IDS}
        label = run.results().model
        assert set(numbers) == IDS
        for kind, metric in {
            "mos": "mos[human-acr@1]",
            "mushra": "mushra[human@1]",
            "ab": "preference[human-ab@1]",
        }.items():
            expected = next(one for one in found.conditions if one.kind == kind and one.condition == label)
            assert numbers[metric].strict.value == pytest.approx(expected.mean, abs=1e-5)
            assert (numbers[metric].strict.low, numbers[metric].strict.high) == pytest.approx(
                (expected.low, expected.high), abs=1e-4
            )
        assert verify(run.path).differences == []
        assert any(rating.text == "a <b>hum</b>" for rating in run.ratings(TASK))
    lines = runs[0].file("ratings", TASK).read_bytes()
    import_answers(folder, [run.path for run in runs])
    assert runs[0].file("ratings", TASK).read_bytes() == lines
    import_answers(folder, [run.path for run in runs], screening=False)
    (task,) = runs[0].results().tasks
    assert runs[0].file("ratings", TASK).read_bytes().startswith(lines)  # only added to


def test_a_stored_score_without_its_numbers_is_one_line(folder: Path, tmp_path: Path) -> None:
    (run, _) = codec_runs(tmp_path)
    key = Key.model_validate_json((folder / "key.json").read_text())
    hand_in(folder, panel(key, GOOD, 2))
    lines = [json.loads(line) for line in run.file("scores", TASK).read_text().splitlines()]
    lines[0]["parts"] = {"another": 1.0}
    run.file("scores", TASK).write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(BadInput, match="the stored records cannot be used"):
        import_answers(folder, [run.path])


def test_a_run_with_other_outputs_is_refused(folder: Path, tmp_path: Path) -> None:
    key = Key.model_validate_json((folder / "key.json").read_text())
    hand_in(folder, panel(key, GOOD, 2))
    (other,) = codec_runs(tmp_path, ["opus,bitrate=6000"])
    with pytest.raises(BadInput, match="other outputs"):
        import_answers(folder, [other.path])


def test_files_of_strangers_are_left_out_with_a_reason(folder: Path, tmp_path: Path) -> None:
    key = Key.model_validate_json((folder / "key.json").read_text())
    good = panel(key, GOOD, 2)
    hand_in(folder, good)
    mail = tmp_path / "mail"
    mail.mkdir()
    (mail / "a.json").write_text("[" * 5000)
    (mail / "b.json").write_text(json.dumps({"test": key.test}))
    (mail / "c.json").write_bytes(b" " * (LARGEST_ANSWERS + 1))
    (mail / "d.json").symlink_to("/etc/passwd")
    (mail / "e.json").write_text(good[0].line().replace(key.test, "f" * 12))
    found, problems = collect(folder, key, [mail])
    assert len(found) == 2 and [line.split(":")[0] for line in problems] == [f"{x}.json" for x in "abcde"]
    assert all("\n" not in line for line in problems)
    shown = listening_report(folder, [mail])
    assert len(shown.unread) == 5
    assert "<b>" not in shown._repr_html_()


def test_an_unfinished_file_of_a_rater_gives_way_to_the_full_one(folder: Path, tmp_path: Path) -> None:
    key = Key.model_validate_json((folder / "key.json").read_text())
    (full,) = panel(key, GOOD, 1)
    hand_in(folder, [full])
    part = full.model_copy(update={"answers": full.answers[:3], "complete": False})
    (tmp_path / "part.json").write_text(part.line())
    assert collect(folder, key, [tmp_path / "part.json"])[0] == [full]


# ---------------------------------------------------------------------------------------------------- power


@pytest.mark.slow
def test_the_power_that_a_first_test_promises_is_reached(mos_key: Key) -> None:
    """Variances from a first panel plan a second study, which finds the planted difference as often as promised."""
    quality = {"oracle": 3.4, "noisy": 3.0}
    pilot = [Rater(n, quality, noise=0.9).fill(mos_key, n % 24) for n in range(1, 41)]
    planned = of_answers(mos_key, pilot, difference=0.4, samples=None, alpha=0.05, power=0.8)
    needed = next(one.raters for one in planned.numbers if one.kind == "mos")
    assert needed is not None and 4 <= needed <= 60
    hits = []
    for study in range(100):
        first = 1000 * (study + 1)
        answers = [Rater(first + n, quality, noise=0.9).fill(mos_key, n % 24) for n in range(needed)]
        found = report(mos_key, answers, screened=False)
        (mos,) = [one for one in found.contrasts if one.kind == "mos"]
        hits.append(mos.p_value is not None and mos.p_value < 0.05)
    assert np.mean(hits) >= 0.7  # 0.8 less 2.5 standard errors of 100 studies


def test_raters_from_stated_deviations() -> None:
    found = rater_power(difference=0.2, samples=20, vote_deviation=0.8, rater_deviation=0.2)
    assert found.numbers[0].raters is not None and found.numbers[0].raters == 17
    floor = rater_power(difference=0.2, samples=4, vote_deviation=0.8, sample_deviation=0.5)
    assert floor.numbers[0].raters is None and "more samples" in str(floor.rows())
    with pytest.raises(BadInput, match="samples"):
        rater_power(difference=0.2, vote_deviation=0.8)

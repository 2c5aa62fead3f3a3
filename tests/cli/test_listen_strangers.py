"""Listening tests with runs, keys, answers and ratings that a stranger made, or that went wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.listening_runs import TASK, codec_runs
from support.raters import panel
from typer.testing import CliRunner

from speech_eval.analysis.listening.description import REFERENCE, collect, read_key
from speech_eval.cli.main import app
from speech_eval.errors import BadInput
from speech_eval.leaderboard.listening.build import Built, Options, build

Edit = Callable[[dict[str, Any]], object]
RATINGS = f"ratings/{TASK}.jsonl"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs, a test of them with answers, and the answers imported."""
    folder = tmp_path_factory.mktemp("made")
    codec_runs(folder, samples=3)
    test = build([folder / "run-0", folder / "run-1"], folder / "test", Options(kinds=("mos", "ab", "mushra", "text")))
    for one in panel(test.key, {"oracle": 4.2, "noisy": 3.0}, 4):
        (folder / "test" / "answers" / f"{one.rater}.json").write_text(one.line())
    called("listen", "import", folder / "test", folder / "run-0", folder / "run-1")
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "all"))


def called(*words: object, exit_code: int = 0) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == exit_code, (done.output, done.exception)
    return done.output


def refused(*words: object) -> str:
    with pytest.raises(BadInput) as caught:
        CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def edit(file: Path, change: Edit) -> None:
    data = json.loads(file.read_text())
    change(data)
    file.write_text(json.dumps(data))


# ------------------------------------------------------------------------------------------------- building


def test_a_run_that_cannot_be_read_is_not_replaced_in_silence(folder: Path) -> None:
    (folder / "run-1" / "results.json").write_text("{")
    pair = (folder / "run-0", folder / "run-1")
    assert "run-1" in refused("listen", "build", *pair, "--kind", "ab", "-o", folder / "t")
    assert not (folder / "t").exists()
    assert "run-1 is not in the test" in called("listen", "build", *pair, "--kind", "mos", "-o", folder / "u")


def test_a_test_that_cannot_be_built_leaves_no_folder(folder: Path) -> None:
    options = Options(kinds=("mos", "mushra"), samples=1)
    many = [folder / f"copy-{number}" for number in range(11)]
    for number, run in enumerate(many):  # with the two anchors too many sounds for a trial
        shutil.copytree(folder / "run-0", run)
        for name in ("manifest.json", "results.json"):
            edit(run / name, lambda data: data.update(label=f"m{number}", seed=number))  # noqa: B023
    with pytest.raises(BadInput, match=r"BS\.1534"):
        build(many, folder / "t", options)
    assert not (folder / "t").exists()
    (folder / "empty").mkdir()
    with pytest.raises(BadInput, match=r"BS\.1534"):
        build(many, folder / "empty", options)
    assert not any((folder / "empty").iterdir())


def test_a_test_is_not_built_into_a_run(folder: Path) -> None:
    assert "lies in a run" in refused("listen", "build", folder / "run-0", "-o", folder / "run-0" / "test")


@pytest.mark.parametrize("name", ["reference", "anchor 3.5 kHz", "speech in loud noise", "voice", "oracle", "x" * 9999])
def test_a_system_is_never_taken_for_another_sound(folder: Path, name: str) -> None:
    for file in ("manifest.json", "results.json"):
        edit(folder / "run-1" / file, lambda data: data.update(label=name))
    test = built(folder, "mushra")
    labels = [system.label for system in test.key.systems]
    assert len({*labels, REFERENCE, "anchor 3.5 kHz"}) == 4 and max(map(len, labels)) <= 200
    trial = next(iter(test.key.trials.values()))
    assert [sound.condition for sound in trial.sounds if sound.output] == labels


def built(folder: Path, kind: str) -> Built:
    return build([folder / "run-0", folder / "run-1"], folder / "new", Options(kinds=(kind,), samples=2))


# ------------------------------------------------------------------------------------------ keys and answers


def test_a_run_is_given_once(folder: Path) -> None:
    said = refused("listen", "import", folder / "test", folder / "run-0", folder / "run-0")
    assert "run-0 is given twice" in said


def first(kind: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda key: next(trial for trial in key["trials"].values() if trial["kind"] == kind)


@pytest.mark.parametrize(
    "change",
    [
        lambda key: key.update(forms=[]),
        lambda key: first("text")(key).update(check=True),
        lambda key: first("mushra")(key).update(check=True),
        lambda key: first("mushra")(key)["sounds"][2].update(condition="other"),
        lambda key: first("ab")(key)["sounds"][1].update(condition=first("ab")(key)["sounds"][0]["condition"]),
        lambda key: first("mos")(key)["sounds"][0].update(condition="oracle", output=""),
        lambda key: key["systems"][0].update(label="noisy"),
    ],
    ids=["no form", "check of a text", "check of sliders", "no reference", "one sound twice", "no output", "one label"],
)
def test_a_key_that_would_not_do_is_one_line(folder: Path, change: Edit) -> None:
    edit(folder / "test" / "key.json", change)
    for words in (("report",), ("import", folder / "run-0"), ("power",)):
        assert "not the key of a listening test" in refused("listen", words[0], folder / "test", *words[1:])


def test_a_rater_counts_once_and_a_contradiction_is_said(folder: Path) -> None:
    key, more = read_key(folder / "test"), folder / "more"
    more.mkdir()
    own = json.loads(sorted((folder / "test" / "answers").iterdir())[0].read_text())
    values = {answer["trial"]: answer["value"] for answer in own["answers"]}

    def sent(name: str, data: dict[str, Any], before: bytes = b"") -> list[str]:
        (more / name).write_bytes(before + json.dumps(data).encode())
        found, problems = collect(folder / "test", key, [more])
        (more / name).unlink()
        assert len(found) == 4
        kept = next(one for one in found if one.rater == own["rater"])
        assert {answer.trial: answer.value for answer in kept.answers} == values
        return problems

    assert sent("same.json", own, b"\xef\xbb\xbf") == []
    assert sent("part.json", {**own, "answers": own["answers"][:3], "complete": False}) == []
    changed = [
        {**answer, "value": 1} if key.trials[answer["trial"]].kind == "mos" else answer for answer in own["answers"]
    ]
    assert "gave other answers" in sent("other.json", {**own, "answers": changed})[0]
    assert "nested" in sent("deep.json", own, b"[" * 9999)[0] or "recursion" in sent("deep.json", own, b"[" * 9999)[0]


@pytest.mark.parametrize("words", [("--vote-deviation", "nan"), ("--vote-deviation", "1e308"), ("--difference", "inf")])
def test_power_takes_numbers_only(words: tuple[str, str]) -> None:
    assert "Give" in refused("listen", "power", "--samples", "20", "--vote-deviation", "1", *words)


# --------------------------------------------------------------------------------------------- stored ratings


def ratings(run: Path, **change: object) -> None:
    """Add a line to a run's ratings: its first one with changes."""
    line = json.loads((run / RATINGS).read_text().splitlines()[0])
    with (run / RATINGS).open("a") as file:
        file.write(json.dumps({**line, **change}) + "\n")


@pytest.mark.parametrize("value", [1000, -1, 1e308])
def test_a_vote_off_the_scale_does_not_count_and_is_said(folder: Path, value: float) -> None:
    run = folder / "run-0"
    ratings(run, value=value)
    ratings(run, value=value, rater="f" * 16)
    called("verify", run, exit_code=1)
    assert "1 with" in " ".join(called("score", run).split())
    mos = next(
        number
        for task in json.loads((run / "results.json").read_text())["tasks"]
        for number in task["metrics"]
        if number["metric"] == "mos[human-acr@1]"
    )
    assert 1 <= mos["strict"]["value"] <= 5 and mos["strict"]["n"] == 2


def test_ratings_that_cannot_be_read_cost_no_score(folder: Path) -> None:
    run = folder / "run-0"
    before = (run / "scores" / f"{TASK}.jsonl").read_bytes()
    with (run / RATINGS).open("a") as file:
        file.write("hello\n")
    assert f"{run / RATINGS}, line " in refused("score", run)
    assert f"{run / RATINGS}, line " in refused("verify", run)
    assert (run / "scores" / f"{TASK}.jsonl").read_bytes() == before
    called("report", run)
    called("leaderboard", "build", run, folder / "run-1", "-o", folder / "site")


@pytest.mark.parametrize("metric", ["wer[whisper-normalizer@20250625]", "no such metric", "../x.py:X"])
def test_ratings_feed_only_the_metrics_of_people(folder: Path, metric: str) -> None:
    run = folder / "run-0"
    before = json.loads((run / "manifest.json").read_text())["tasks"][TASK]["metrics"]
    ratings(run, metric=metric)
    called("listen", "import", folder / "test", run)
    assert json.loads((run / "manifest.json").read_text())["tasks"][TASK]["metrics"] == before

"""`speech-eval listen`: what it prints, and bad input in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support.listening_runs import codec_runs
from support.raters import panel
from typer.testing import CliRunner

from speech_eval.analysis.listening.description import read_key
from speech_eval.cli.main import app
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.errors import BadInput


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[RunDirectory]:
    return codec_runs(tmp_path_factory.mktemp("runs"), samples=3)


@pytest.fixture
def folder(runs: list[RunDirectory], tmp_path: Path) -> Path:
    paths = [str(run.path) for run in runs]
    done = CliRunner().invoke(app, ["listen", "build", *paths, "--kind", "mos,ab", "-o", str(tmp_path / "t"), "--json"])
    assert done.exit_code == 0, done.output
    made = json.loads(done.stdout)
    assert made["samples"] == 3 and made["systems"] == ["oracle", "noisy"] and Path(made["page"]).is_file()
    for one in panel(read_key(tmp_path / "t"), {"oracle": 4.2, "noisy": 3.0}, 5):
        (tmp_path / "t" / "answers" / f"{one.rater}.json").write_text(one.line())
    return tmp_path / "t"


def test_report_and_power_print_tables_and_json(folder: Path) -> None:
    shown = CliRunner().invoke(app, ["listen", "report", str(folder)])
    assert shown.exit_code == 0 and "5 raters, 5 counted" in shown.stdout and "log strength" in shown.stdout
    found = json.loads(CliRunner().invoke(app, ["listen", "report", str(folder), "--json"]).stdout)
    assert found["raters"] == 5 and {one["kind"] for one in found["conditions"]} == {"mos", "ab"}
    planned = CliRunner().invoke(app, ["listen", "power", str(folder), "--difference", "0.5", "--json"])
    assert planned.exit_code == 0 and json.loads(planned.stdout)["samples"] == 3


def test_import_needs_the_runs_that_were_heard(folder: Path, runs: list[RunDirectory]) -> None:
    done = CliRunner().invoke(app, ["listen", "import", str(folder), *(str(run.path) for run in runs)])
    assert done.exit_code == 0, done.output
    assert all("mos[human-acr@1]" in run.manifest().tasks[read_key(folder).task].metrics for run in runs)


@pytest.mark.parametrize(
    "damage",
    [
        lambda key: key["trials"].popitem(),
        lambda key: key["forms"][0][0].update(order=[7]),
        lambda key: next(iter(key["trials"].values())).update(kind="none"),
        lambda key: next(iter(key["trials"].values())).update(sounds=[]),
        lambda key: key.update(schema_version="x"),
    ],
    ids=["a trial is gone", "a place that is none", "no such kind", "no sounds", "another form"],
)
def test_a_damaged_key_is_one_line(folder: Path, damage: Callable[[dict[str, object]], object]) -> None:
    key = json.loads((folder / "key.json").read_text())
    damage(key)
    (folder / "key.json").write_text(json.dumps(key))
    with pytest.raises(BadInput, match="not the key of a listening test") as caught:
        read_key(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["report", "nowhere"], "no such file"),
        (["serve", "nowhere"], "no such file"),
        (["power", "--difference", "0.2"], "--vote-deviation"),
        (["power", "--vote-deviation", "0.8"], "--samples"),
        (["build", "nowhere", "-o", "t"], "nowhere"),
    ],
)
def test_bad_input_names_the_thing_and_a_remedy(words: list[str], told: str) -> None:
    with pytest.raises(BadInput, match=told):
        CliRunner().invoke(app, ["listen", *words], catch_exceptions=False)

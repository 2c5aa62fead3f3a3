"""Boards show what people said beside what was predicted, and how far the two agree."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.listening_runs import METRIC, codec_runs
from support.raters import panel

from speech_eval.api.listening import build_listening_test, import_answers
from speech_eval.leaderboard.build import build

QUALITY = {"oracle": 4.5, "opus,bitrate=24000": 3.6, "opus,bitrate=6000": 2.0}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("heard")
    runs = codec_runs(root, list(QUALITY))
    made = build_listening_test([run.path for run in runs], root / "test", samples=4)
    for one in panel(made.key, QUALITY, 6):
        (root / "test" / "answers" / f"{one.rater}.json").write_text(one.line())
    import_answers(root / "test", [run.path for run in runs])
    return build([run.path for run in runs], root / "site").index.parent


def test_the_board_shows_listeners_and_the_correlation(site: Path) -> None:
    (file,) = (site / "data" / "boards").glob("*.json")
    board = json.loads(file.read_text())
    (column,) = [one for one in board["columns"] if one["metric"] == "mos[human-acr@1]"]
    assert column["shown"] and column["by"].startswith("listeners of test")
    values = {row["model"]: row["cells"][board["columns"].index(column)]["strict"]["value"] for row in board["rows"]}
    assert values["oracle"] > values["opus,bitrate=24000"] > values["opus,bitrate=6000"]
    (found,) = [one for one in board["listeners"] if one["other"].startswith(METRIC)]
    assert found["people"] == "mos[human-acr@1]" and found["n"] == 3 and found["spearman"] == 1.0
    page = (site / "index.html").read_text()
    assert "Agreement with listeners" in page and "ρ = 1.00 over 3 systems" in page


def test_a_run_page_says_the_agreement_sample_by_sample(site: Path) -> None:
    (page,) = site.glob("runs/opus-bitrate-6000-*.html")
    text = page.read_text()
    assert "mos[human-acr@1] and" in text and "over 4 samples" in text and "not calibrated" not in text

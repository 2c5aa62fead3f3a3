"""Codecs: the axes stand apart in results, reports and boards, and nothing ranks by one of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.tiny_codecs import save_tiny_codec

from speech_eval.adapters import spec as modelspec
from speech_eval.analysis import report
from speech_eval.analysis.exports.latex import latex
from speech_eval.analysis.exports.markdown import markdown
from speech_eval.engine import session as runner
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.engine.session import Settings
from speech_eval.leaderboard.boards import boards
from speech_eval.leaderboard.build import build
from speech_eval.leaderboard.charts import charts
from speech_eval.leaderboard.load import find
from speech_eval.records import Results
from speech_eval.tasks.codec_reconstruction import AXES, codec_depth, codec_reconstruction

METRICS = ("bitrate[measured@1]", "codebook[corpus@1]", "mel-distance[multi-resolution]", "f0[yin@1]")
TASKS = ["codec-reconstruction", "codec-depth"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("codec")
    spec = modelspec.parse(str(save_tiny_codec("dac", base / "dac")))
    runner.run(spec, TASKS, base / "run", Settings(limit=2, workers=1, metrics=METRICS))
    return base / "run"


@pytest.fixture(scope="module")
def results(run: Path) -> Results:
    return RunDirectory(run).results()


def test_every_metric_of_the_codec_tasks_has_one_axis() -> None:
    assert list(AXES) == ["bitrate", "signal", "intelligibility", "words", "voice", "naturalness"]
    for task in (codec_reconstruction(), codec_depth()):
        named = [metric for metrics in task.axes.values() for metric in metrics]
        assert sorted(named) == sorted(task.variants["AudioCodec"].metrics) and not task.ranked


def test_results_say_the_axis_of_each_number_and_that_none_ranks(results: Results) -> None:
    for task in results.tasks:
        assert not task.ranked and not any(metric.primary for metric in task.metrics)
        assert list(dict.fromkeys(metric.axis for metric in task.metrics)) == ["bitrate", "signal", "voice"]


def test_the_report_groups_by_axis_and_says_that_nothing_is_ranked(run: Path, results: Results) -> None:
    text = report.text([results])
    assert "codec-depth, codec-reconstruction: not ranked" in text
    assert not [line for line in text.splitlines() if line.rstrip().endswith("↓ *")]
    lines = [line.strip() for line in text.splitlines()]
    assert any(line.startswith("signal") for line in lines) and any(line.startswith("voice") for line in lines)
    assert "signal: mel-distance" in markdown([results])
    assert r"\multicolumn{1}{c}{signal}" in latex([RunDirectory(run)], [results])


def test_a_board_of_codecs_has_no_ranks_and_shows_each_axis(run: Path) -> None:
    (board,) = (b for b in boards(find([run])[0]) if b.task == "codec-reconstruction")
    assert not board.ranked and [row.rank for row in board.rows] == [None]
    assert [name for name, _ in board.axes] == ["bitrate", "signal", "voice"]
    assert not any(column.primary for column in board.columns)


def test_all_depths_stand_on_one_board_and_in_one_chart(run: Path) -> None:
    made = boards(find([run])[0])
    (board,) = (b for b in made if b.task.startswith("codec-depth"))
    assert (board.task, board.sweep, [row.point for row in board.rows]) == ("codec-depth", "depth", [1, 2, 4])
    (chart,) = (p for p in charts(made, {}) if p["kind"] == "sweep")
    (curve,) = chart["curves"]
    rates: list[Any] = [point["values"][chart["rate"]][0] for point in curve["points"]]
    assert [point["x"] for point in curve["points"]] == [1, 2, 4] and rates == sorted(rates)
    assert {axis["axis"] for axis in chart["axes"]} == {"bitrate", "signal", "voice"}


def test_the_page_of_codecs_has_no_rank_column_and_sound_at_each_depth(run: Path, tmp_path: Path) -> None:
    site = build([run], tmp_path / "site").index.parent
    page = (site / "index.html").read_text("utf-8")
    assert ">Rank</th>" not in page and page.count('<tr class="axes">') == 2 and page.count("<section class=") == 2
    (drawn,) = (site / "data" / "charts").glob("sweep-*.json")
    assert drawn.read_text("utf-8").count(".ogg") == 2 * 3

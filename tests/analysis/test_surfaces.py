"""Every surface shows the numbers of one record: table, Markdown, CSV, JSON, LaTeX, data frame, comparison, gate,
board, run page and its spread plots. Families of tests are the same on all of them."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest

from speech_eval.adapters import spec as modelspec
from speech_eval.analysis import report
from speech_eval.analysis.compare import Comparison, compare
from speech_eval.analysis.compare_table import tables
from speech_eval.analysis.exports import export
from speech_eval.analysis.exports.latex import COLUMNS, latex
from speech_eval.analysis.frame import result_records
from speech_eval.analysis.significance import family
from speech_eval.api.run import Run
from speech_eval.engine import session as runner
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.engine.session import Settings
from speech_eval.gate.decisions import judge
from speech_eval.gate.rules import Rule
from speech_eval.leaderboard.boards import boards
from speech_eval.leaderboard.build import build
from speech_eval.leaderboard.histograms import histograms
from speech_eval.leaderboard.load import lines, read
from speech_eval.records import MetricResult, Results
from speech_eval.statistics.multiple import holm

RATES = {"good": 0.05, "fair": 0.12, "bad": 0.3}
CODECS = {"opus-6k": "opus,bitrate=6000", "opus-24k": "opus,bitrate=24000"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunDirectory]:
    base = tmp_path_factory.mktemp("runs")
    for name, rate in RATES.items():
        runner.run(modelspec.parse(f"noisy,error_rate={rate}"), ["asr", "latency"], base / name, Settings(limit=40))
    return {name: RunDirectory(base / name) for name in RATES}


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    path = tmp_path_factory.mktemp("codec") / "opus"
    settings = Settings(limit=6, metrics=("bitrate[measured@1]", "stoi[pystoi]"), data="librivox-en")
    runner.run(modelspec.parse("opus,bitrate=6000"), ["codec-reconstruction"], path, settings)
    return RunDirectory(path)


def numbers(results: Results) -> dict[tuple[str, str, str], MetricResult]:
    return {(task.task, m.metric, m.name): m for task in results.tasks for m in task.metrics}


def differences(comparison: Comparison) -> dict[tuple[str, str, str], float | None]:
    return {(d.task, d.metric, d.name): d.adjusted for d in comparison.shown}


def test_exports_hold_every_number_of_the_record(runs: dict[str, RunDirectory]) -> None:
    results = [run.results() for run in runs.values()]
    lines_ = list(csv.DictReader(io.StringIO(export([], results, "csv"))))
    frames = result_records(results)
    data = json.loads(export([], results, "json"))
    for result, stored in zip(results, data["results"], strict=True):
        assert Results.model_validate(stored) == result
        for (task, metric, name), found in numbers(result).items():
            wanted = {"model": result.model, "task": task, "metric": metric, "name": name}
            (line,) = [line for line in lines_ if wanted.items() <= line.items()]
            (record,) = [record for record in frames if wanted.items() <= record.items()]
            for side, estimate in (("strict", found.strict), ("compat", found.compat)):
                for suffix, value in (("", estimate.value), ("_low", estimate.low), ("_high", estimate.high)):
                    assert record[side + suffix] == value
                    assert line[side + suffix] == ("" if value is None else str(value))


def test_tables_show_the_same_text_for_the_same_number(runs: dict[str, RunDirectory]) -> None:
    results = [runs["good"].results()]
    text, markdown = export([], results, "text"), export([], results, "markdown")
    document = latex([runs["good"]], results)
    shown = [m for m in numbers(results[0]).values() if m.headline or m.primary]
    assert shown
    for metric in shown:
        quantity = report.quantity(metric.strict, metric.unit)
        assert quantity in text
        assert re.sub(r"([\[\]])", r"\\\1", quantity) in markdown
        places = report.decimals(metric.strict)
        assert report.number(metric.strict.value, places) in document
        assert report.interval(metric.strict, places) in document


def test_compare_and_the_gate_take_the_numbers_of_the_record(runs: dict[str, RunDirectory]) -> None:
    one, other = runs["good"], runs["bad"]
    for d in compare(one, other, everything=True).differences:
        key = (d.task, d.metric, d.name)
        assert d.a == numbers(one.results())[key].strict and d.b == numbers(other.results())[key].strict, key
    rule = Rule(task="asr", metric="wer[whisper-normalizer@20250625]/wer", margin=1)
    (judgment,) = judge(other, [rule], one).judgments
    key = ("asr", "wer[whisper-normalizer@20250625]", "wer")
    assert judgment.run_value == numbers(other.results())[key].strict.value
    assert judgment.baseline_value == numbers(one.results())[key].strict.value
    assert judgment.worst and judgment.worst[0].value is not None and judgment.worst[0].baseline_value is not None


def test_boards_and_run_pages_take_the_numbers_of_the_record(runs: dict[str, RunDirectory], tmp_path: Path) -> None:
    found = [read(run.path) for run in runs.values()]
    for board in boards(found):
        for row in board.rows:
            stored = numbers(RunDirectory(row.run.path).results())
            for column, metric in zip(board.columns, row.metrics, strict=True):
                assert metric == stored.get((row.result.task, column.metric, column.summary))
    site = build([run.path for run in runs.values()], tmp_path / "site", audio=False)
    assert site.runs == len(runs)
    for run in found:
        data = json.loads((tmp_path / "site" / "data" / "runs" / f"{run.id}.json").read_text("utf-8"))
        assert numbers(Results.model_validate(data["results"])) == numbers(run.results)


def test_the_spread_of_the_samples_is_in_the_unit_of_the_table(codec: RunDirectory) -> None:
    run = read(codec.path)
    (task,) = run.results.tasks
    drawn = {histogram.name: histogram for histogram in histograms(task, lines(run, task))}
    checked = 0
    for metric in task.metrics:
        histogram = drawn.get(report.short(metric, task))
        if histogram is not None and metric.strict.value is not None:
            slack = 0.01 * abs(metric.strict.value)  # the ends are rounded to three digits
            assert float(histogram.low) - slack <= metric.strict.value <= float(histogram.high) + slack, metric.name
            assert histogram.unit == metric.unit
            checked += metric.formula is not None and metric.formula.scale not in (1.0, 100.0)
    assert checked, "no number of another scale than 1 and 100 was drawn"


def test_two_runs_have_one_family_on_every_surface(runs: dict[str, RunDirectory]) -> None:
    for names in (("good", "fair"), ("good", "bad"), ("fair", "bad")):
        pair = [runs[name] for name in names]
        found = differences(compare(*pair))
        for task in ("asr", "latency"):
            tested = family(pair, task).adjusted
            assert {(task, *number): p for (number, _, _), p in tested.items()} == {
                key: p for key, p in found.items() if key[0] == task and p is not None
            }


def test_holm_runs_over_the_rows_of_a_task_that_are_shown(runs: dict[str, RunDirectory]) -> None:
    for everything in (False, True):
        comparison = compare(runs["good"], runs["fair"], everything=everything)
        for task in ("asr", "latency"):
            rows = [d for d in comparison.shown if d.task == task]
            values = [d.p_value for d in rows if d.p_value is not None]
            assert [d.adjusted for d in rows if d.p_value is not None] == pytest.approx(holm(values))
    hidden = [d for d in compare(runs["good"], runs["fair"]).differences if not (d.headline or d.primary)]
    assert hidden and all(d.adjusted is None for d in hidden)


def test_bold_and_ranks_say_what_compare_says(runs: dict[str, RunDirectory], tmp_path: Path) -> None:
    whole = tmp_path / "runs"
    paths = []
    for name, rate in (("a", 0.05), ("b", 0.07), ("c", 0.3)):
        runner.run(modelspec.parse(f"noisy,error_rate={rate}"), ["asr"], whole / name, Settings())
        paths.append(RunDirectory(whole / name))
    for one, other in ((0, 1), (0, 2)):
        pair = [paths[one], paths[other]]
        (primary,) = [d for d in compare(*pair).differences if d.primary]
        assert primary.adjusted is not None
        apart = primary.adjusted <= 0.05
        (board,) = boards([read(run.path) for run in pair])
        assert [row.rank for row in board.rows] == ([1, 2] if apart else [1, 1])
        first = next(row for row in latex(pair, [run.results() for run in pair]).splitlines() if "error" in row)
        assert (r"\textbf" in first.split("&")[1]) == apart


@pytest.mark.parametrize("everything", [False, True])
def test_comparisons_fit_a_terminal_of_80_columns(runs: dict[str, RunDirectory], everything: bool) -> None:
    from rich.console import Console

    buffer = io.StringIO()
    console = Console(file=buffer, width=80)
    for table in tables(compare(runs["good"], runs["bad"], everything=everything)):
        console.print(table)
    text = buffer.getvalue()
    assert max(map(len, text.splitlines())) <= 80 and "…" not in text
    assert "points" in text and "p (Holm)" in text and "effect" in text


def test_latex_tables_fit_the_line(runs: dict[str, RunDirectory]) -> None:
    text = latex(list(runs.values()), [run.results() for run in runs.values()])
    for spec in re.findall(r"\\begin\{tabular\}\{(.*)\}", text):
        widths = [float(width) for width in re.findall(r"p\{([0-9.]+)\\linewidth\}", spec)]
        assert 1 < len(widths) <= COLUMNS + 1
        gaps = 2 * (len(widths) - 1) * 0.01  # \tabcolsep on both sides of every inner border
        assert sum(widths) + gaps <= 1


def test_a_difference_of_percentages_is_in_points(runs: dict[str, RunDirectory]) -> None:
    row = next(row for row in compare(runs["good"], runs["bad"]).rows() if "wer" in row["metric"])
    assert row["A"].endswith("%") and row["A - B"].endswith("points") and row["detectable"].endswith("points")
    rule = Rule(task="asr", metric="wer[whisper-normalizer@20250625]/wer", margin=1)
    assert "points" in judge(runs["bad"], [rule], runs["good"]).judgments[0].reason


def test_runs_of_other_seeds_are_other_rows(runs: dict[str, RunDirectory], tmp_path: Path) -> None:
    for seed in (0, 1):
        runner.run(modelspec.parse("noisy"), ["asr"], tmp_path / str(seed), Settings(limit=12, seed=seed))
    pair = [RunDirectory(tmp_path / str(seed)) for seed in (0, 1)]
    results = [run.results() for run in pair]
    assert report.names(results) == ["noisy, seed 0", "noisy, seed 1"]
    for document in (export([], results, "markdown"), export([], results, "text"), latex(pair, results)):
        assert "seed 0" in document and "seed 1" in document
    assert compare(*pair).a == "noisy, seed 0" and len(Run(pair[0].path).rows()) == 2

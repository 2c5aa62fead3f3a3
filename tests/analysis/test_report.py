"""Tables of runs: what they show, how they round, and that no model name can break them."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest
from support.run_fixture import ASR, LATENCY, TTS, write_run

from speech_eval.analysis import report
from speech_eval.analysis.exports import export
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.errors import BadInput
from speech_eval.progress import plain
from speech_eval.records import Counts, Estimate, MetricResult, Results


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[Results]:
    root = tmp_path_factory.mktemp("runs")
    paths = [
        write_run(root, "worse", error_rate=0.5, failed=2, samples=24, audio=False),
        write_run(root, "better", error_rate=0.05, failed=0, samples=24, audio=False),
        write_run(root, "part", tasks=[ASR], limit=6, samples=6, audio=False),
    ]
    return [RunDirectory(path).results() for path in paths]


@pytest.mark.parametrize(
    ("low", "high", "shown"),
    [
        (4.1, 6.5, "5.3 [4.1, 6.5]"),
        (0.7701, 0.8554, "0.813 [0.770, 0.855]"),
        (30.0, 62.0, "46 [30, 62]"),
        (1200.0, 1900.0, "1550 [1200, 1900]"),
        (0.12345, 0.12346, "0.1235 [0.1235, 0.1235]"),
    ],
)
def test_a_number_has_the_digits_its_interval_supports(low: float, high: float, shown: str) -> None:
    assert report.quantity(Estimate(value=(low + high) / 2 + 1e-9, low=low, high=high, n=50)) == shown


@pytest.mark.parametrize(("value", "shown"), [(0.0, "0.0"), (3.14159, "3.14"), (123.4, "123"), (-1e-9, "0.00")])
def test_a_number_without_interval_has_three_digits(value: float, shown: str) -> None:
    assert report.quantity(Estimate(value=value, n=1)) == shown


def test_an_undefined_number_is_a_dash_and_an_open_interval_is_infinite() -> None:
    assert report.quantity(Estimate(value=None, n=3), "s") == "—"
    assert report.quantity(Estimate(value=0.34, low=0.15, n=3), "s") == "0.34 [0.15, ∞] s"


def test_failures_are_named_by_kind() -> None:
    counts = Counts(expected=10, ok=6, empty=1, failed=2, missing=1)
    assert report.failure_words(counts) == "4 of 10 (1 empty, 2 failed, 1 missing)"
    assert report.failure_words(Counts(expected=10, ok=10, empty=0, failed=0, missing=0)) == "0 of 10"


def test_models_of_a_task_stand_best_first(results: list[Results]) -> None:
    rows = list(csv.DictReader(io.StringIO(export([], results, "csv"))))
    assert [row["model"] for row in rows if row["task"] == TTS and row["primary"] == "True"] == ["better", "worse"]


def test_the_best_of_a_metric_that_should_be_high_is_the_highest() -> None:
    def metric(value: float | None, direction: str) -> MetricResult:
        estimate = Estimate(value=value, n=1)
        return MetricResult(metric="m", name="m", unit="", direction=direction, strict=estimate, compat=estimate)  # type: ignore[arg-type]

    high = [metric(value, "higher") for value in (0.2, None, 0.9)]
    assert [m.strict.value for m in sorted(high, key=report.sort_value)] == [0.9, 0.2, None]
    low = [metric(value, "lower") for value in (0.2, None, 0.9)]
    assert [m.strict.value for m in sorted(low, key=report.sort_value)] == [0.2, 0.9, None]


def test_the_text_table_shows_numbers_intervals_units_failures_and_compat(results: list[Results]) -> None:
    text = report.text(results)
    strict = results[0].tasks[0].metrics[0]
    assert report.quantity(strict.strict, "%") in text
    assert re.search(rf"compat +{re.escape(report.quantity(strict.compat, '%'))}", text)
    assert "2/24" in text and "0/24" in text
    assert "(subset of 6)" in text
    assert "open-asr: wer[open-asr@2025-10], cer[open-asr@2025-10]" in text


def test_compat_is_not_repeated_where_it_is_the_same(results: list[Results]) -> None:
    assert "compat" not in report.text([results[1]])


def test_the_table_fits_a_terminal_of_80_columns(results: list[Results]) -> None:
    from rich.console import Console

    buffer = io.StringIO()
    Console(file=buffer, width=80).print(report.table(results))
    assert max(map(len, buffer.getvalue().splitlines())) <= 80
    compat = [line for line in buffer.getvalue().splitlines() if "compat" in line]
    assert compat and all("[" in line for line in compat)  # the value stands beside its name, however names are broken
    assert "Failures" in buffer.getvalue() and "2/24" in buffer.getvalue()


def test_csv_holds_every_metric_unrounded(results: list[Results]) -> None:
    rows = list(csv.DictReader(io.StringIO(export([], results, "csv"))))
    assert len(rows) == sum(len(task.metrics) for result in results for task in result.tasks)
    first = next(r for r in rows if r["model"] == "worse" and r["task"] == LATENCY and r["name"] == "rtf")
    known = next(m for m in results[0].tasks[2].metrics if m.name == "rtf")
    assert float(first["strict"]) == known.strict.value and float(first["compat_high"]) == known.compat.high


def test_json_reads_back_as_the_same_results(results: list[Results]) -> None:
    data = json.loads(export([], results, "json"))
    assert data["schema_version"] == 1
    assert [Results.model_validate(item) for item in data["results"]] == results


@pytest.mark.parametrize("name", ["a|b", "[red]x[/red]", "<b>x</b>", "=HYPERLINK(1)", "a\x1b[31mb\nc", "模型", "‮evil"])
@pytest.mark.parametrize("format", ["text", "markdown", "csv"])
def test_a_model_name_is_only_ever_text(tmp_path: Path, name: str, format: str) -> None:
    result = RunDirectory(write_run(tmp_path, "m", tasks=[ASR], samples=4, audio=False)).results()
    shown = export([], [result.model_copy(update={"model": name})], format)
    if format == "csv":
        row = next(csv.DictReader(io.StringIO(shown)))
        assert row["model"].lstrip("'") == plain(name) and not row["model"].startswith("=")
        return
    assert "\x1b" not in shown and "‮" not in shown and "<b>" not in (shown if format == "markdown" else "")
    lines = [line for line in shown.splitlines() if line.startswith("| ")][1:] if format == "markdown" else []
    assert all(line.replace("\\|", "").count("|") == 9 for line in lines)
    if format == "text" and name.startswith("[red]"):
        assert name in shown


def test_an_unknown_format_is_refused_by_name(results: list[Results]) -> None:
    with pytest.raises(BadInput, match="latex"):
        export([], results, "spreadsheet")


def test_metrics_of_one_name_are_told_apart_by_as_much_of_their_protocol_as_it_takes() -> None:
    names = ["wer[open-asr@D]", "wer[open-asr@E]", "wer[seed-tts-eval@2024-06]", "sim[cam++@zh-en-common]"]
    assert [report.short_name(name, name.split("[")[0], names) for name in names] == [
        *("wer [open-asr@D]", "wer [open-asr@E]", "wer [seed-tts-eval]", "sim"),
    ]

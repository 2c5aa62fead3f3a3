"""Data frames hold what the tables and the stored files hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from speech_eval.adapters import spec as modelspec
from speech_eval.analysis.compare import compare
from speech_eval.analysis.frame import RESULT_COLUMNS, results_frame, samples_frame
from speech_eval.engine import session as runner
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.engine.session import Settings

pytest.importorskip("pandas")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[RunDirectory]:
    base = tmp_path_factory.mktemp("runs")
    for name, spec in (("a", "failing,fail_rate=0.3"), ("b", "noisy,error_rate=0.2")):
        runner.run(modelspec.parse(spec), ["asr"], base / name, Settings(limit=12, workers=1))
    return [RunDirectory(base / name) for name in ("a", "b")]


def test_the_results_frame_has_a_row_per_number(runs: list[RunDirectory]) -> None:
    results = [run.results() for run in runs]
    frame = results_frame(results)
    assert tuple(frame.columns) == RESULT_COLUMNS
    assert len(frame) == sum(len(task.metrics) for result in results for task in result.tasks)
    assert sorted(frame[frame.primary].strict) == sorted(result.tasks[0].metrics[0].strict.value for result in results)


def test_the_samples_frame_has_a_row_per_sample_and_its_parts_give_the_number(runs: list[RunDirectory]) -> None:
    frame = samples_frame(runs[0], "asr")
    wer = runs[0].results().tasks[0].metrics[0]
    assert len(frame) == 12 and set(frame.status) == {"ok", "failed"} and frame.id.is_unique
    errors, words = (frame[f"{wer.metric}/{part}"].sum() for part in wer.formula.parts)  # type: ignore[union-attr]
    assert 100 * errors / words == pytest.approx(wer.strict.value)
    assert frame[frame.status == "failed"].error.notna().all() and frame[frame.status == "ok"].text.notna().all()


def test_the_comparison_frame_has_a_row_per_difference(runs: list[RunDirectory], tmp_path: Path) -> None:
    found = compare(*runs)
    frame = found.frame()
    assert len(frame) == len(found.differences)
    first = frame.iloc[0]
    assert first.difference == found.differences[0].difference.value and first.adjusted == found.differences[0].adjusted

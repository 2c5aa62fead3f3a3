"""A number of synthetic speech is calibrated where the same scorer has scored the human recordings of the same data."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from speech_eval.analysis import report
from speech_eval.analysis.exports import export
from speech_eval.analysis.human_baseline import NOT_CALIBRATED, uncalibrated
from speech_eval.records import Counts, Estimate, MetricResult, Results, TaskResult

WER, SIM, SPEED = "wer[seed-tts-eval@2024-06]", "sim[cam++@zh-en-common]", "rtf[answer@1]"


def row(model: str, *, recognizer: str = "whisper-base@aa", ok: int = 4, **other: Any) -> Results:
    """A run of seed-tts with an error rate, a similarity and a number that no network scores."""
    number = Estimate(value=1.0, n=4)
    metrics = [
        MetricResult(
            metric=name, name=name[:3], unit="", direction="lower", scorer=scorer, strict=number, compat=number
        )
        for name, scorer in ((WER, recognizer), (SIM, "campplus@bb"), (SPEED, ""))
    ]
    task: dict[str, Any] = {
        "task": "seed-tts",
        "version": 1,
        "protocol": "p",
        "interface": "SpeechSynthesizer",
        "dataset": "d",
        "dataset_sha256": "00",
        "language": ["en"],
        "leaderboard_grade": True,
        "counts": Counts(expected=4, ok=ok, empty=0, failed=4 - ok, missing=0),
        "metrics": metrics,
    }
    return Results(model=model, seed=0, tasks=[TaskResult(**(task | other))])


VOICE = row("hibari").tasks[0]


def test_a_voice_is_calibrated_by_the_recordings_under_the_same_scorers() -> None:
    assert uncalibrated(VOICE, [row("hibari"), row("ground-truth")]) == ()


def test_without_the_recordings_every_metric_with_a_scorer_is_named_and_no_other() -> None:
    assert uncalibrated(VOICE, [row("hibari"), row("espeak-ng")]) == (WER, SIM)


def test_the_recordings_calibrate_themselves() -> None:
    truth = row("ground-truth,batch_size=2")
    assert uncalibrated(truth.tasks[0], [truth]) == ()


def test_another_recognizer_leaves_the_error_rate_uncalibrated() -> None:
    assert uncalibrated(VOICE, [row("ground-truth", recognizer="whisper-large-v3@cc")]) == (WER,)


@pytest.mark.parametrize("other", [{"dataset_sha256": "11"}, {"task": "seed-tts-zh"}], ids=str)
def test_recordings_of_other_data_do_not_calibrate(other: dict[str, str]) -> None:
    assert uncalibrated(VOICE, [row("ground-truth", **other)]) == (WER, SIM)


def test_recordings_that_could_not_be_read_do_not_calibrate() -> None:
    assert uncalibrated(VOICE, [row("ground-truth", ok=0)]) == (WER, SIM)


def test_only_synthesis_is_asked() -> None:
    assert uncalibrated(row("opus", interface="AudioCodec").tasks[0], []) == ()


@pytest.mark.parametrize("format", ["text", "markdown"])
def test_a_table_marks_what_is_not_calibrated(format: report.Format) -> None:
    assert NOT_CALIBRATED in export([], [row("hibari")], format)
    assert NOT_CALIBRATED not in export([], [row("hibari"), row("ground-truth")], format)


def test_csv_and_json_say_it_of_each_metric() -> None:
    rows = csv.DictReader(io.StringIO(export([], [row("hibari")], "csv")))
    assert {line["metric"]: line["calibrated"] for line in rows} == {WER: "False", SIM: "False", SPEED: "True"}
    data = json.loads(export([], [row("hibari")], "json"))
    assert data["uncalibrated"] == [{"model": "hibari", "task": "seed-tts", "metrics": [WER, SIM]}]

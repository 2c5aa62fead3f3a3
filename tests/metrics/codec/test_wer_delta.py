"""WER delta: one recognizer transcribes the recording and the codec's output of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from support.tiny_codecs import save_tiny_codec

from speech_eval.adapters import spec as modelspec
from speech_eval.adapters.base import SpeechRecognizer, TranscriptionRequest
from speech_eval.adapters.catalog import MODELS
from speech_eval.adapters.entry import Entry
from speech_eval.engine import session as runner
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.engine.session import Settings
from speech_eval.engine.verify import verify
from speech_eval.metrics.base import ScoringItem, Unscorable
from speech_eval.metrics.codec.wer_delta import WhisperWERDelta
from speech_eval.records import ModelInfo, Output, Sample

pytest.importorskip("av")
METRIC = WhisperWERDelta()
TEXT = "please hold the line"


def parts(original: str | None, heard: str | None) -> dict[str, float]:
    output = Output(id="s", task="t", status="ok", seed=0)
    return METRIC.score(ScoringItem(Sample(id="s", text=TEXT), output, heard, original)).parts


def test_a_codec_is_not_charged_with_the_recognizers_own_errors() -> None:
    found = parts("please hold a line", "please hold a line")
    assert found["original_errors"] == 1 and found["added"] == 0 and found["changed"] == 0


def test_words_lost_in_the_codec_are_its_own() -> None:
    found = parts("please hold the line", "please the wine")
    assert found["added"] == 2 and found["changed"] == 2 and found["reference_words"] == found["original_words"] == 4


def test_errors_that_only_differ_change_words_and_add_none() -> None:
    found = parts("please fold the line", "please told the line")
    assert found["added"] == 0 and found["changed"] == 1


@pytest.mark.parametrize(("original", "heard"), [(None, "please"), ("please", None)])
def test_both_transcripts_are_needed(original: str | None, heard: str | None) -> None:
    with pytest.raises(Unscorable):
        parts(original, heard)


def test_a_lost_output_loses_all_words_and_says_nothing_of_the_recordings() -> None:
    found = METRIC.failure(Sample(id="s", text=TEXT))
    assert found["added"] == found["reference_words"] == 4
    assert found["heard_words"] == 0


class Counting(SpeechRecognizer):
    """Writes down how long what it hears is, and keeps count of what it was given."""

    heard = 0

    def info(self) -> ModelInfo:
        return ModelInfo(name="counting", revision="1")

    def transcribe(self, requests: Sequence[TranscriptionRequest]) -> list[str]:
        Counting.heard += len(requests)
        return ["word " * round(4 * request.audio.seconds) for request in requests]


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> type[Counting]:
    monkeypatch.setitem(MODELS._loaded, "counting", Entry("counting", Counting))
    for module in ("score", "readiness"):
        monkeypatch.setattr(f"speech_eval.engine.{module}.run_processes", lambda act, jobs, workers: map(act, jobs))
    Counting.heard = 0
    return Counting


SETTINGS = Settings(limit=2, workers=1, recognizer="counting", metrics=(METRIC.id, "wer[whisper-normalizer@20250625]"))


def test_recordings_are_heard_once_and_stored_beside(counting: type[Counting], tmp_path: Path) -> None:
    results = runner.run(modelspec.parse("oracle"), ["codec-reconstruction"], tmp_path, SETTINGS)
    assert counting.heard == 4  # two recordings, two outputs
    lines = RunDirectory(tmp_path).transcripts("codec-reconstruction").values()
    assert all(line.original == line.text for line in lines)
    found = {metric.name: metric.strict.value for metric in results.tasks[0].metrics}
    assert found["wer-increase"] == 0 and found["differential-wer"] == 0 and found["wer-original"] == found["wer"]
    runner.run(modelspec.parse("oracle"), ["codec-reconstruction"], tmp_path, SETTINGS)
    assert counting.heard == 4
    assert verify(tmp_path, Settings(workers=1)).differences == []


def test_a_sweep_hears_the_recordings_once_for_all_depths(counting: type[Counting], tmp_path: Path) -> None:
    path = save_tiny_codec("mimi", tmp_path / "model")
    runner.run(modelspec.parse(str(path)), ["codec-depth"], tmp_path / "run", SETTINGS)
    assert counting.heard == 2 + 2 * 4


def test_a_metric_that_wants_the_recordings_later_has_them_heard_then(counting: type[Counting], tmp_path: Path) -> None:
    plain = Settings(limit=2, workers=1, recognizer="counting", metrics=("wer[whisper-normalizer@20250625]",))
    runner.run(modelspec.parse("oracle"), ["codec-reconstruction"], tmp_path, plain)
    lines = RunDirectory(tmp_path).transcripts("codec-reconstruction").values()
    assert counting.heard == 2 and all(line.original is None for line in lines)
    runner.rescore(tmp_path, Settings(workers=1, metrics=(METRIC.id,)))
    lines = RunDirectory(tmp_path).transcripts("codec-reconstruction").values()
    assert all(line.original for line in lines)

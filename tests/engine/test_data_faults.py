"""Whose fault it is: what the data or a scorer cannot give leaves N, is counted and named, and is not the model's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from support.data_files import lines

from speech_eval import BadData, Metric, ScoringItem, Summary, Value
from speech_eval.adapters import spec as modelspec
from speech_eval.adapters.base import AudioCodec, Codes, SpeechRecognizer, TranscriptionRequest
from speech_eval.analysis import report
from speech_eval.analysis.aligned import aligned
from speech_eval.api.data import check_data
from speech_eval.audio import Audio
from speech_eval.engine import session as runner
from speech_eval.engine.failures import failure_reasons
from speech_eval.engine.plan import plan
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.engine.settings import Settings
from speech_eval.errors import BadInput, SpeechEvalError
from speech_eval.metrics.catalog import METRICS
from speech_eval.records import MetricResult, ModelInfo, Results, Sample

RATE = 16_000
STOI, PESQ, MEL = "stoi[pystoi]", "pesq-wb[p862.2]", "mel-distance[multi-resolution]"


class Same(AudioCodec):
    """A codec without any error: its codes are the samples. It loses the recordings named `lost`."""

    sample_rate = RATE
    heard: int = 0

    def info(self) -> ModelInfo:
        return ModelInfo(name="same")

    def encode(self, audios: Sequence[Audio]) -> list[Codes]:
        self.heard += len(audios)
        if any(np.max(np.abs(audio.samples)) < 0.15 for audio in audios):
            raise RuntimeError("too quiet for this codec")
        return [Codes([np.round(a.samples * 32767).astype(np.int64) + 32768], [16000.0], [65536]) for a in audios]

    def decode(self, codes: Sequence[Codes]) -> list[Audio]:
        return [Audio((np.asarray(c.codebooks[0]) - 32768).astype(np.float32) / 32767, RATE) for c in codes]


class Echo(SpeechRecognizer):
    """A recognizer that hears `hello` in sound and nothing in silence."""

    sample_rate = RATE

    def info(self) -> ModelInfo:
        return ModelInfo(name="echo")

    def transcribe(self, requests: Sequence[TranscriptionRequest]) -> list[str]:
        return ["hello" if np.max(np.abs(request.audio.samples)) > 0.01 else "" for request in requests]


def speech(path: Path, seconds: float, scale: float = 0.5) -> Path:
    """Noise in syllables, which level-based metrics take for speech."""
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(round(seconds * RATE)) / RATE
    wave = np.random.default_rng(0).standard_normal(len(time)) * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * time))
    soundfile.write(path, scale * wave / np.abs(wave).max() if scale else 0 * wave, RATE)
    return path


def run(model: Any, task: str, data: Path, output: Path, *metrics: str) -> Results:
    return runner.run(modelspec.resolve(model), [task], output, Settings(data=str(data), metrics=metrics, workers=1))


def number(results: Results, metric: str) -> MetricResult:
    return next(m for task in results.tasks for m in task.metrics if m.metric == metric)


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """A good recording, a silent one with words, one too short for STOI, and one that the codec cannot do."""
    folder = tmp_path / "data"
    rows = []
    for name, seconds, scale in (("good", 2, 0.5), ("silent", 2, 0), ("short", 0.1, 0.5), ("hard", 2, 0.1)):
        speech(folder / f"{name}.wav", seconds, scale)
        rows.append({"file_name": f"{name}.wav", "text": "hello there"})
    lines(folder / "metadata.jsonl", *rows)
    return folder


def test_a_codec_is_not_charged_with_recordings_that_have_no_value(recordings: Path, tmp_path: Path) -> None:
    codec = Same()
    results = run(codec, "codec-reconstruction", recordings, tmp_path / "run", STOI, MEL)
    counts = results.tasks[0].counts
    assert (counts.expected, counts.ok, counts.failed, counts.invalid) == (4, 2, 1, 1)
    stoi, mel = number(results, STOI), number(results, MEL)
    assert (stoi.strict.n, stoi.invalid, stoi.compat.n) == (2, 2, 1)  # strict counts what the codec lost
    assert stoi.compat.value == pytest.approx(1.0, abs=1e-6) and stoi.strict.value == pytest.approx(0.5, abs=1e-6)
    assert (mel.strict.n, mel.invalid) == (3, 1)
    assert codec.heard == 3  # one request per sample; the silent recording is never asked about


def test_defects_are_named_apart_from_failures(recordings: Path, tmp_path: Path) -> None:
    results = run(Same(), "codec-reconstruction", recordings, tmp_path / "run", STOI)
    said = [reason.line() for reason in failure_reasons(RunDirectory(tmp_path / "run"), "codec-reconstruction")]
    assert any("silent.wav: the audio is silent" in line and "defective data" in line for line in said)
    assert any("own recording has no value" in line and "(short)" in line for line in said)
    assert any("too quiet for this codec" in line and "defective" not in line for line in said)
    assert "1 not counted: defective data" in report.failure_words(results.tasks[0].counts)
    assert report.failures(results.tasks[0].counts) == 1
    assert f"codec-reconstruction, {STOI}: samples not counted: 2 with defective data" in " ".join(
        report.text([results]).split()
    )


def test_two_models_are_compared_over_the_samples_that_count_in_both(recordings: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        run(Same(), "codec-reconstruction", recordings, tmp_path / name, STOI)
    (found,) = aligned([RunDirectory(tmp_path / "a"), RunDirectory(tmp_path / "b")], "codec-reconstruction")
    assert found.ids == ["good", "hard"]


def test_a_run_goes_on_without_asking_about_defective_samples(recordings: Path, tmp_path: Path) -> None:
    first = run(Same(), "codec-reconstruction", recordings, tmp_path / "run", STOI)
    codec = Same()
    assert run(codec, "codec-reconstruction", recordings, tmp_path / "run", STOI) == first and codec.heard == 0
    assert runner.rescore(tmp_path / "run", Settings(workers=1)) == first


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [("a.wav", b"not audio", "not a readable audio file"), ("a.wav", None, "differs from the sha256")],
)
def test_a_recording_that_cannot_be_used_is_not_the_recognizers_failure(
    tmp_path: Path, file: str, content: bytes | None, reason: str
) -> None:
    folder = tmp_path / "data"
    speech(folder / file, 1), speech(folder / "b.wav", 1)
    if content is not None:
        (folder / file).write_bytes(content)
    stated = {} if content else {"audio_sha256": "0" * 64}
    lines(
        folder / "m.jsonl", {"id": "a", "audio": file, "text": "hello", **stated}, {"audio": "b.wav", "text": "hello"}
    )
    results = run(Echo(), "asr", folder / "m.jsonl", tmp_path / "run")
    assert results.tasks[0].counts.invalid == 1 and results.tasks[0].metrics[0].strict.value == 0.0
    assert reason in (RunDirectory(tmp_path / "run").outputs("asr")["a"].error or "")


def test_an_empty_text_is_a_reference_and_a_missing_one_is_not(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    speech(folder / "a.wav", 1), speech(folder / "s.wav", 1, 0), speech(folder / "u.wav", 1)
    rows = [{"file_name": "a.wav", "text": "hello"}, {"file_name": "s.wav", "text": ""}, {"file_name": "u.wav"}]
    lines(folder / "metadata.jsonl", *rows)
    results = run(Echo(), "asr", folder, tmp_path / "run")
    wer = results.tasks[0].metrics[0]
    assert (wer.strict.n, wer.invalid, wer.strict.value) == (2, 1, 0.0)
    assert results.tasks[0].counts.ok + results.tasks[0].counts.empty == 3
    note = RunDirectory(tmp_path / "run").manifest().tasks["asr"].note
    assert "1 of 3 samples have no reference text: not counted in" in note
    heard = [{"file_name": "a.wav", "text": ""}, {"file_name": "u.wav", "text": "hello"}]
    lines(folder / "metadata.jsonl", *heard)
    invented = run(Echo(), "asr", folder, tmp_path / "invented").tasks[0].metrics[0]
    assert invented.strict.value == 100.0  # a word heard where nothing is said is an insertion


def test_what_a_task_needs_is_checked_before_a_model_is_loaded(tmp_path: Path) -> None:
    speech(tmp_path / "a.wav", 1)
    lines(tmp_path / "metadata.csv", "file_name,category", "a.wav,greeting")
    with pytest.raises(BadInput, match=r"needs a reference text, .* columns of the data are file_name, category"):
        plan("whisper-tiny.en", ["asr"], Settings(data=str(tmp_path)))
    with pytest.raises(BadInput, match="needs a text to speak"):
        plan("espeak-ng", ["seed-tts"], Settings(data=str(tmp_path)))
    texts = lines(tmp_path / "texts.jsonl", {"id": "a", "text": "hello"})
    with pytest.raises(BadInput, match="needs a recording"):
        plan("whisper-tiny.en", ["asr"], Settings(data=str(texts)))
    with pytest.raises(BadInput, match=r"needs a column .*turn_end"):
        plan("turn-oracle", ["turn-taking"], Settings(data=str(tmp_path)))


def test_metrics_that_no_sample_can_have_are_left_out_with_a_note(tmp_path: Path) -> None:
    speech(tmp_path / "a.wav", 1)
    lines(tmp_path / "metadata.jsonl", {"file_name": "a.wav"})
    (item,) = plan("opus", ["codec-reconstruction"], Settings(data=str(tmp_path))).items
    assert STOI in item.metrics and "wer[whisper-normalizer@20250625]" not in item.metrics
    assert "No sample has a reference text: without wer[whisper-normalizer@20250625]" in item.note


def test_data_of_which_nothing_can_be_used_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    speech(folder / "a.wav", 1, 0)
    lines(folder / "metadata.jsonl", {"file_name": "a.wav", "text": "hello"})
    with pytest.raises(BadInput, match=r"none of its 1 samples can be used: a\.wav: the audio is silent"):
        run(Echo(), "asr", folder, tmp_path / "run")
    assert not RunDirectory(tmp_path / "run").has_manifest()


def test_the_check_for_a_task_names_what_the_task_cannot_count(recordings: Path) -> None:
    problems = check_data(recordings, "codec-reconstruction")
    assert any(line.startswith(f"short: not counted in {STOI}") for line in problems)
    assert check_data(recordings) == ["silent.wav: the audio is silent (peak 0.0e+00)"]


# ------------------------------------------------------------------------------------------------ scorers


class Fragile(Metric):
    """The length of the answer; breaks where it contains `broken`, and has no value where the data says `unusable`."""

    id = "length[fragile]"
    description = source = "a test"
    needs = frozenset({"hypothesis"})
    summaries = (Summary("length", "mean", ("length",), "", "higher"),)

    def score(self, item: ScoringItem) -> Value:
        if item.sample.text == "unusable":
            raise BadData("The reference cannot be used.")
        if "broken" in (item.hypothesis or ""):
            raise ZeroDivisionError("broken metric")
        return Value({"length": float(len(item.hypothesis or ""))})

    def failure(self, sample: Sample) -> dict[str, float]:
        return {"length": 0.0}


@pytest.fixture
def fragile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METRICS._loaded, Fragile.id, Fragile)


def texts(folder: Path, *words: str) -> Path:
    return lines(folder / "texts.jsonl", *({"id": str(n), "text": word} for n, word in enumerate(words)))


def test_a_sample_on_which_the_scorer_breaks_is_the_scorers(fragile: None, tmp_path: Path) -> None:
    results = run("oracle", "asr", texts(tmp_path, "four", "broken", "unusable"), tmp_path / "run", Fragile.id)
    found = number(results, Fragile.id)
    assert (found.strict.value, found.strict.n, found.unscored, found.invalid) == (4.0, 1, 1, 1)
    said = [reason.line() for reason in failure_reasons(RunDirectory(tmp_path / "run"), "asr")]
    assert any("the scorer broke: ZeroDivisionError: broken metric" in line for line in said)


def test_a_scorer_that_breaks_on_every_sample_stops_with_its_reason(fragile: None, tmp_path: Path) -> None:
    with pytest.raises(SpeechEvalError, match=r"length\[fragile\] broke on sample 0: ZeroDivisionError"):
        run("oracle", "asr", texts(tmp_path, "broken", "broken again"), tmp_path / "run", Fragile.id)


def test_a_mended_scorer_scores_what_it_broke_on(
    fragile: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = texts(tmp_path, "four", "broken")
    run("oracle", "asr", data, tmp_path / "run", Fragile.id)
    monkeypatch.setattr(Fragile, "score", lambda self, item: Value({"length": 4.0}))
    found = number(run("oracle", "asr", data, tmp_path / "run", Fragile.id), Fragile.id)
    assert (found.strict.n, found.unscored) == (2, 0)

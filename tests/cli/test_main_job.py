"""The main job on real models and real speech: numbers that make sense, equal for any workers and batch size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from speech_eval.adapters import spec as modelspec
from speech_eval.engine import session as runner
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.engine.session import Settings
from speech_eval.records import MetricResult, Results


def run(model: str, tasks: list[str], output: Path, **settings: Any) -> Results:
    return runner.run(modelspec.parse(model), tasks, output, Settings(**settings))


def number(results: Results, task: str, metric: str, name: str) -> MetricResult:
    found = [m for t in results.tasks if t.task == task for m in t.metrics if (m.metric, m.name) == (metric, name)]
    return found[0]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_neural_voice_is_understood_and_scored_the_same_by_one_worker_and_two(tmp_path: Path) -> None:
    one = run("hibari", ["seed-tts"], tmp_path / "one", limit=4, workers=1)
    run("hibari", ["seed-tts"], tmp_path / "two", limit=4, workers=2, batch_size=3)
    assert (tmp_path / "one/results.json").read_bytes() == (tmp_path / "two/results.json").read_bytes()
    wer = number(one, "seed-tts", "wer[seed-tts-eval@2024-06]", "wer").strict
    mos = number(one, "seed-tts", "mos[dnsmos-p835]", "ovrl").strict
    sim = number(one, "seed-tts", "sim[cam++@zh-en-common]", "sim")
    assert wer.value is not None and wer.value < 15
    assert mos.value is not None and 2.5 < mos.value < 4.5
    assert sim.strict.value is not None and -0.2 < sim.strict.value < 0.6  # another speaker than the prompt's
    assert number(one, "seed-tts", "wer[seed-tts-eval@2024-06]", "wer").scorer.startswith("whisper-base@")
    transcripts = RunDirectory(tmp_path / "one").transcripts("seed-tts")
    assert len(transcripts) == 4 and all(line.text.strip() for line in transcripts.values())


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_whisper_hears_recorded_speech_alike_alone_and_in_batches(tmp_path: Path) -> None:
    one = run("whisper-tiny.en,batch_size=1", ["asr"], tmp_path / "one", limit=8)
    run("whisper-tiny.en,batch_size=8", ["asr"], tmp_path / "two", limit=8)
    single, batched = (RunDirectory(tmp_path / name).outputs("asr") for name in ("one", "two"))
    assert {key: output.text for key, output in single.items()} == {key: o.text for key, o in batched.items()}
    wer = number(one, "asr", "wer[whisper-normalizer@20250625]", "wer").strict
    assert wer.value is not None and wer.value < 10


def test_latency_of_a_real_voice_is_plausible(tmp_path: Path) -> None:
    results = run("hibari", ["latency"], tmp_path, limit=3)
    ttfb, ttfa, rtf = (
        number(results, "latency", metric, name).strict.value
        for metric, name in (
            ("ttfa[first-audible@2]", "ttfb-p50"),
            ("ttfa[first-audible@2]", "ttfa-p50"),
            ("rtf[answer@1]", "rtf-p50"),
        )
    )
    assert ttfb is not None and ttfa is not None and rtf is not None
    assert 0 < ttfb <= ttfa < 10 and 0 < rtf < 5

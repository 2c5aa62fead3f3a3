"""Voxtral Realtime, tiny and random: steps of 80 ms against transformers' own generation over the whole recording."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from support import tiny_audio_chat as tiny
from support.contracts import build, check_recognizer, check_unloads, hear, noise, run

from speech_eval.adapters.asr.voxtral_realtime import VoxtralRealtime
from speech_eval.audio import Audio

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
torch.set_num_threads(1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_voxtral_realtime(tmp_path_factory.mktemp("realtime") / "model")


@pytest.fixture(scope="module")
def model(folder: Path) -> VoxtralRealtime:
    adapter = build(str(folder))
    assert isinstance(adapter, VoxtralRealtime)
    return adapter


def test_it_keeps_the_contract_of_recognizers(model: VoxtralRealtime) -> None:
    check_recognizer(model)


@pytest.mark.parametrize("seconds", [0.2, 1.0, 2.33])
def test_steps_write_what_the_whole_recording_gives_at_once(model: VoxtralRealtime, seconds: float) -> None:
    wave = noise(seconds).samples
    inputs = model._processor(wave, return_tensors="pt")
    whole = model._model.generate(**inputs, do_sample=False)[0, inputs["input_ids"].shape[1] :].tolist()
    assert list(model._tokens(wave)) == whole and len(set(whole)) > 3


def test_a_token_depends_on_no_later_audio(model: VoxtralRealtime) -> None:
    wave = noise(1.6).samples
    other = np.concatenate([wave[:16_000], noise(0.6, seed=9).samples])
    same = int((1.0 - 0.16) / 0.08)  # steps whose audio has all arrived in the first second
    first, second = list(model._tokens(wave)), list(model._tokens(other))
    assert first[:same] == second[:same] and first != second


def test_the_text_grows_and_the_last_one_is_the_transcript(model: VoxtralRealtime) -> None:
    (request,) = hear(noise(2))
    texts = list(model.transcribe_stream(request))
    assert len(texts) > 5 and texts[-1] == model.transcribe([request])[0]


@pytest.mark.parametrize("delay", [160, 480])
def test_the_delay_is_stated(tmp_path: Path, delay: int) -> None:
    info = build(str(tiny.write_voxtral_realtime(tmp_path / "model", delay))).info()
    assert info.metadata["delay_seconds"] == delay / 1000


def test_in_real_time_it_hears_no_faster_than_one_speaks(folder: Path, model: VoxtralRealtime) -> None:
    live = build(f"{folder},realtime=true")
    (request,) = hear(Audio(noise(1.2).samples, 16_000))
    began, arrived = time.perf_counter(), []
    for text in live.transcribe_stream(request):
        arrived.append((time.perf_counter() - began, text))
    assert arrived[-1][0] >= 1.2 and arrived[0][0] < 1.0
    assert arrived[-1][1] == model.transcribe([request])[0]


@pytest.mark.slow
def test_the_command_finishes_its_tasks(folder: Path, tmp_path: Path) -> None:
    assert run(str(folder), "asr", tmp_path / "asr", metrics="wer[whisper-normalizer@20250625]") == 0
    assert run(f"{folder},realtime=true", "latency", tmp_path / "latency") == 0


def test_its_network_is_freed(folder: Path) -> None:
    check_unloads(str(folder))

"""Recordings are what the dataset states, and are refused from their header where they would fill the memory."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speech_eval.audio import check_header, load
from speech_eval.datasets import load_dataset
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.engine.session import run
from speech_eval.engine.settings import Settings
from speech_eval.errors import BadAudio


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    lines = []
    for number in range(3):
        file = tmp_path / f"s{number}.wav"
        soundfile.write(file, np.full(8000, 0.1 * (number + 1), np.float32), 16000)
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        lines.append(json.dumps({"id": f"s{number}", "text": "word", "audio": file.name, "audio_sha256": digest}))
    (tmp_path / "set.jsonl").write_text("\n".join(lines) + "\n")
    return tmp_path / "set.jsonl"


def test_a_recording_that_is_not_the_stated_one_is_named(manifest: Path) -> None:
    file = manifest.with_name("s1.wav")
    dataset = load_dataset(str(manifest))
    assert load(dataset.audio_path("s1.wav")).seconds == 0.5
    data, held = file.read_bytes(), file.stat()
    file.write_bytes(data[:-2] + b"\x01\x02")  # the same size
    os.utime(file, ns=(held.st_atime_ns, held.st_mtime_ns))  # and time
    with pytest.raises(BadAudio, match=r"s1\.wav: its sha256 is .*the dataset states"):
        dataset.audio_path("s1.wav")
    file.write_bytes(data)
    assert dataset.audio_path("s1.wav") == file


def test_a_sample_of_such_a_recording_fails_and_the_others_go_on(manifest: Path, tmp_path: Path) -> None:
    soundfile.write(manifest.with_name("s1.wav"), np.full(8000, 0.9, np.float32), 16000)
    settings = Settings(data=str(manifest), workers=1, metrics=("bitrate[measured@1]",))
    run("oracle", ["codec-reconstruction"], tmp_path / "run", settings)
    outputs = RunDirectory(tmp_path / "run").outputs("codec-reconstruction")
    assert {key: output.status for key, output in outputs.items()} == {"s0": "ok", "s1": "failed", "s2": "ok"}
    assert "its sha256 is" in (outputs["s1"].error or "")


@pytest.mark.parametrize(
    ("rate", "channels", "seconds"),
    [(96_000, 8, 1200), (384_000, 1, 3000), (48_000, 32, 600), (16_000, 1, 4000), (16_000, 255, 1), (0, 1, 1)],
)
def test_audio_that_would_fill_the_memory_is_refused_from_its_header(rate: int, channels: int, seconds: int) -> None:
    with pytest.raises(BadAudio, match=r"x\.flac: "):
        check_header(rate, channels, rate * seconds, "x.flac")


@pytest.mark.parametrize(("rate", "channels", "seconds"), [(48_000, 1, 3600), (48_000, 2, 3600), (192_000, 8, 60)])
def test_long_or_wide_recordings_that_fit_pass(rate: int, channels: int, seconds: int) -> None:
    check_header(rate, channels, rate * seconds, "x.flac")


def test_a_small_file_that_grows_on_decoding_is_refused_at_once(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.flac"
    with soundfile.SoundFile(bomb, "w", 96_000, 8, format="FLAC", subtype="PCM_16") as file:
        for _ in range(5):
            file.write(np.zeros((960_000, 8), np.int16))
    start = time.monotonic()
    with pytest.raises(BadAudio, match="8 channels"):
        load(bomb)
    assert bomb.stat().st_size < 200_000 and time.monotonic() - start < 0.5

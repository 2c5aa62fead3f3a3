"""The run directory: append-only, torn lines mended, one writer, paths that stay inside."""

from __future__ import annotations

import errno
import multiprocessing
from pathlib import Path

import numpy as np
import pytest
from support.run_fixture import ASR, write_run

from speech_eval.audio import Audio, load
from speech_eval.cache import disk_errors
from speech_eval.engine.run_directory import RunDirectory, safe_name
from speech_eval.errors import BadInput, RunLocked, SpeechEvalError
from speech_eval.records import Output, StoredAudio


def output(key: str, text: str = "hello") -> Output:
    return Output(id=key, task="t", status="ok", seed=1, text=text)


def test_lines_come_back_as_they_were_written(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    with run.writing():
        run.append("outputs", "t", [output("a", "naïve „Grüße“\n\u2028line"), output("b")])
    assert run.outputs("t") == {"a": output("a", "naïve „Grüße“\n\u2028line"), "b": output("b")}


def test_the_newest_line_of_an_id_counts(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.append("outputs", "t", [output("a", "first")])
    run.append("outputs", "t", [output("a", "second")])
    assert run.outputs("t")["a"].text == "second"


def started(path: Path) -> RunDirectory:
    """A run directory with the task `asr`."""
    return RunDirectory(write_run(path, tasks=[ASR], samples=3, audio=False))


@pytest.mark.parametrize("cut", [1, 10, 60])
def test_a_line_cut_short_by_a_kill_is_dropped(tmp_path: Path, cut: int) -> None:
    run = started(tmp_path)
    run.replace("outputs", ASR, [output("a"), output("b")])
    file = run.file("outputs", ASR)
    file.write_bytes(file.read_bytes()[:-cut])
    assert list(run.outputs(ASR)) == ["a"]
    with run.writing():
        run.append("outputs", ASR, [output("c")])
    assert list(run.outputs(ASR)) == ["a", "c"]


def test_a_malformed_line_is_named(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.append("outputs", "t", [output("a")])
    with run.file("outputs", "t").open("a") as file:
        file.write('{"id": "b", "surprise": 1}\n')
    with pytest.raises(BadInput, match="line 2: not a Output record"):
        run.outputs("t")


def _hold(path: str, held: multiprocessing.synchronize.Event, end: multiprocessing.synchronize.Event) -> None:
    with RunDirectory(path).writing():
        held.set()
        end.wait(60)


def test_a_second_writer_is_refused_and_the_lock_ends_with_its_holder(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    held, end = context.Event(), context.Event()
    holder = context.Process(target=_hold, args=(str(tmp_path), held, end))
    holder.start()
    assert held.wait(60)
    with pytest.raises(RunLocked, match="being written by another process"), RunDirectory(tmp_path).writing():
        pass
    holder.kill()
    holder.join()
    with RunDirectory(tmp_path).writing():
        pass


def test_audio_is_stored_to_24_bits(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    wave = np.random.default_rng(0).uniform(-0.9, 0.9, 4000).astype(np.float32)
    stored = run.write_audio("t", "id", Audio(wave, 24000))
    back = load(run.audio_path(stored))
    assert (back.rate, stored.frames) == (24000, 4000)
    assert np.abs(back.samples - wave).max() < 2.0**-22


@pytest.mark.parametrize("key", ["../../etc/passwd", "/abs/olute", "a/b", "..", "", "x" * 500, "zwölf\x00"])
def test_no_sample_id_leads_out_of_the_run(tmp_path: Path, key: str) -> None:
    run = RunDirectory(tmp_path / "run")
    stored = run.write_audio("../task", key, Audio(np.ones(10, np.float32), 16000))
    assert run.audio_path(stored).is_relative_to((tmp_path / "run" / "audio").resolve())


def test_a_stored_path_that_leads_out_is_refused(tmp_path: Path) -> None:
    stored = StoredAudio(path="../../secret.flac", sha256="0", rate=16000, frames=1, peak=0.0)
    with pytest.raises(BadInput, match="leads out of the run"):
        RunDirectory(tmp_path).audio_path(stored)


def test_two_ids_that_look_alike_get_two_files(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    one, two = (run.write_audio("t", key, Audio(np.ones(9, np.float32), 16000)) for key in ("a/b", "a_b"))
    assert one.path != two.path and safe_name("a/b") == safe_name("a_b")


def test_a_full_disk_is_said_and_nothing_done_is_lost(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.append("outputs", "t", [output("a")])
    message = r"no space left.*What was done so far is kept.*same command again"
    with pytest.raises(SpeechEvalError, match=message), disk_errors(tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(run.outputs("t")) == ["a"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_really_full_device_is_said(tmp_path: Path) -> None:
    with (
        pytest.raises(SpeechEvalError, match="no space left"),
        disk_errors(tmp_path),
        Path("/dev/full").open("wb", buffering=0) as full,
    ):
        full.write(b"x")

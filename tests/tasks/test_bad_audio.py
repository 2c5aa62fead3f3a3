"""Bad audio in every task: recordings of the dataset are not counted, answers of a model fail, each by its reason, and
the run goes on. Silence in answers, clipping, any sample rate and recordings in stereo are taken."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from support.task_worlds import MODELS, RATE, World, cases, judge, recordings
from typer.testing import CliRunner

from speech_eval.api.run import Run
from speech_eval.audio import LONGEST_VARIABLE, Audio, check_waveform, load
from speech_eval.cli.main import app
from speech_eval.engine.failures import failure_reasons
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.errors import BadAudio, BadInput
from speech_eval.records import Results

pytest.importorskip("pesq")
pytest.importorskip("torch")

BAD = {
    "zero-bytes": "not a readable audio file",
    "nan": "NaN or infinity",
    "integers": "float samples lie in [-1, 1], and the peak is",
    "three-hours": "lasts 10800 s, longer than 3600 s",
    "truncated": "not a readable audio file",
    "cut-wav": "cut short",
}
LEGAL = ("good", "clipped", "telephone", "stereo")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One file of each kind."""
    folder = tmp_path_factory.mktemp("kinds")
    speech, _ = soundfile.read(recordings(folder / "clean") / "0.wav", dtype="float32")
    stereo = np.stack([speech, speech], axis=1)
    soundfile.write(folder / "good.wav", speech, RATE)
    soundfile.write(folder / "silence.wav", np.zeros_like(speech), RATE)
    soundfile.write(folder / "clipped.wav", np.clip(40 * speech, -1, 1), RATE)
    soundfile.write(folder / "telephone.wav", Audio(speech, RATE).resampled(8000).samples, 8000)
    (folder / "zero-bytes.wav").write_bytes(b"")
    soundfile.write(folder / "nan.wav", np.where(np.arange(len(speech)) == 900, np.nan, speech), RATE, subtype="FLOAT")
    soundfile.write(folder / "integers.wav", speech * 32767, RATE, subtype="FLOAT")
    soundfile.write(folder / "stereo.wav", stereo, RATE)
    soundfile.write(folder / "whole.flac", speech, RATE)
    whole = (folder / "whole.flac").read_bytes()
    (folder / "truncated.flac").write_bytes(whole[: len(whole) // 2])
    data = (folder / "good.wav").read_bytes()
    (folder / "cut-wav.wav").write_bytes(data[: len(data) // 2])
    with soundfile.SoundFile(folder / "three-hours.flac", "w", 8000, 1) as file:
        for _ in range(180):
            file.write(np.zeros(60 * 8000, dtype=np.int16))
    return folder


@pytest.fixture(scope="module", autouse=True)
def judged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with judge(tmp_path_factory.mktemp("replies")):
        yield


def of_each_kind(world: World, files: Path, kinds: tuple[str, ...]) -> None:
    """The world's dataset with a sample of each kind, prompt and recording alike."""
    rows = []
    for number, kind in enumerate(kinds):
        name = next(path.name for path in files.iterdir() if path.stem == kind)
        if not (world.folder / name).exists():
            os.link(files / name, world.folder / name)
        row = {**world.rows[number % 4], "file_name": name, "prompt_file_name": name, "turn_end": 1.6}
        rows.append({**row, "id": f"{row['id']}-{kind}"})
    world.write(rows)


def with_ids(world: World, kinds: tuple[str, ...]) -> None:
    """The world's dataset with a sample for each kind of answer; no two recordings are the same."""
    rows = []
    for number, kind in enumerate(kinds):
        row = world.rows[number % 4]
        speech, rate = soundfile.read(world.folder / row["file_name"], dtype="float32")
        soundfile.write(world.folder / f"{kind}.wav", speech * (1 - number / 100), rate)
        rows.append({**row, "id": f"{row['id']}-{kind}", "file_name": f"{kind}.wav"})
    world.write(rows)


def kind_of(sample: str, kinds: tuple[str, ...]) -> str:
    return next(kind for kind in kinds if sample.endswith(f"-{kind}"))


def check(
    results: Results,
    run: Path,
    kinds: tuple[str, ...],
    bad: dict[str, str],
    empty: tuple[str, ...] = (),
    fate: str = "failed",
) -> None:
    """Each bad sample met its `fate` with its reason, each other was answered, and the summary says so."""
    directory = RunDirectory(run)
    for result in results.tasks:
        for sample, output in directory.outputs(result.task).items():
            kind = kind_of(sample, kinds)
            status = fate if kind in bad else "empty" if kind in empty else "ok"
            assert output.status == status and bad.get(kind, "") in str(output.error), (sample, output.error)
        counts = result.counts
        assert (counts.expected, getattr(counts, fate), counts.empty) == (len(kinds), len(bad), len(empty))
        said = [reason for reason in failure_reasons(directory, result.task) if reason.metric is None]
        assert sum(reason.count for reason in said) == len(bad) + len(empty) and all(reason.text for reason in said)


# ------------------------------------------------------------------------------------------------ recordings


@pytest.mark.parametrize(("task", "interface"), cases())
def test_bad_recordings_are_not_counted_and_the_run_goes_on(
    task: str, interface: str, files: Path, tmp_path: Path
) -> None:
    world = World.of(task, interface, tmp_path / "data")
    bad = {**BAD, "silence": "the audio is silent"}
    of_each_kind(world, files, (*LEGAL, *bad))
    results = world.run(tmp_path / "run", world.hearing)
    check(results, tmp_path / "run", (*LEGAL, *bad), bad, fate="invalid")


def test_bad_prompts_are_not_counted_in_the_metrics_that_hear_them(files: Path, tmp_path: Path) -> None:
    world = World.of("seed-tts", "SpeechSynthesizer", tmp_path / "data")
    kinds = ("good", *BAD)
    of_each_kind(world, files, kinds)
    world.write([{**row, "file_name": "0.wav"} for row in world.rows])
    results = world.run(tmp_path / "run", "Perfect")
    assert results.tasks[0].counts.ok == len(kinds)
    reasons = failure_reasons(RunDirectory(tmp_path / "run"), "seed-tts")
    assert {reason.metric for reason in reasons} == {"sim[cam++@zh-en-common]"}
    assert {kind_of(sample, kinds) for reason in reasons for sample in reason.samples} == set(BAD)
    assert all("defective data" in reason.text for reason in reasons)


def test_a_long_recording_is_refused_before_it_is_read(files: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BadAudio, match=rf"three-hours.flac: the audio lasts 10800 s.*{LONGEST_VARIABLE}"):
        load(files / "three-hours.flac")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB; its samples would take 345 MB


def test_the_limit_can_be_raised_and_must_be_a_number(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LONGEST_VARIABLE, "1")
    with pytest.raises(BadAudio, match="longer than 1 s"):
        load(files / "good.wav")
    monkeypatch.setenv(LONGEST_VARIABLE, "an hour")
    with pytest.raises(BadInput, match="not a number of seconds"):
        load(files / "good.wav")


def test_a_stream_without_a_length_is_no_cut_file(files: Path, tmp_path: Path) -> None:
    """What writes to a pipe cannot go back and state the size: sox and ffmpeg write the largest there is."""
    data = bytearray((files / "good.wav").read_bytes())
    data[4:8] = data[40:44] = b"\xff\xff\xff\xff"
    (tmp_path / "piped.wav").write_bytes(data)
    assert len(load(tmp_path / "piped.wav").samples) == len(load(files / "good.wav").samples)


# ------------------------------------------------------------------------------------------------- answers

REFUSED = {
    "nan": "NaN or infinity",
    "infinite": "NaN or infinity",
    "int16": "int16, not floats",
    "integers": "float samples lie in [-1, 1], and the peak is",
    "stereo": "is not one channel",
    "three-hours": "lasts 10800 s",
    "nothing": "NoneType",
}
TAKEN = ("good", "silence", "clipped", "click", "hot")
SPEAKS = [case for case in cases() if case[1] in ("SpeechSynthesizer", "AudioCodec") and "modelability" not in case[0]]
SPEAKS = [case for case in SPEAKS if case[0] != "codec-depth"]  # the answers of codec-reconstruction


@pytest.mark.parametrize(("task", "interface"), SPEAKS)
def test_bad_answers_fail_by_name_and_the_run_goes_on(task: str, interface: str, tmp_path: Path) -> None:
    world = World.of(task, interface, tmp_path / "data")
    kinds = (*TAKEN, "empty", *REFUSED)
    with_ids(world, kinds)
    results = world.run(tmp_path / "run", "Spoiling")
    check(results, tmp_path / "run", kinds, REFUSED, ("empty",))
    assert set(Run(tmp_path / "run").clipped().values()) == {1}  # the hot one


def test_an_agent_that_gives_no_sound_for_a_chunk_fails_its_conversation_alone(tmp_path: Path) -> None:
    world = World.of("turn-taking", "DuplexAgent", tmp_path / "data")
    refused = {"nan": "NaN", "int16": "", "stereo": "", "nothing": "did not return", "empty": "did not return"}
    kinds = ("good", *refused)
    with_ids(world, kinds)
    results = world.run(tmp_path / "run", "SpoilingAgent")
    check(results, tmp_path / "run", kinds, refused)


def test_a_long_answer_is_refused_before_it_is_looked_at() -> None:
    three_hours = np.broadcast_to(np.float32(0.1), (3 * 3600 * 48_000,))
    with pytest.raises(BadAudio, match="sample s: the audio lasts 10800 s"):
        check_waveform(three_hours, 48_000, "sample s")


def test_the_command_says_how_many_failed_and_why(files: Path, tmp_path: Path) -> None:
    world = World.of("asr", "SpeechRecognizer", tmp_path / "data")
    of_each_kind(world, files, ("good", *BAD))
    words = [
        "run",
        "--model",
        f"{MODELS}:Hearing",
        "--tasks",
        "asr",
        "--data",
        str(world.folder),
        "--max-failures",
        "9",
    ]
    done = CliRunner().invoke(app, [*words, "--output", str(tmp_path / "run")])
    assert "asr: 0 of 7 (6 not counted: defective data) without an answer" in done.output
    assert "defective data: zero-bytes.wav: " in done.output and "not a readable audio file" in done.output
    again = CliRunner().invoke(app, [*words, "--output", str(tmp_path / "run"), "--json"])
    reasons = json.loads(again.stdout)["runs"][0]["failures"]["asr"]
    assert sum(reason["count"] for reason in reasons) == len(BAD)

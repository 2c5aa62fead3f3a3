"""What a stored run says selects among what is installed; everything else is the user's to name."""

from __future__ import annotations

import json
import os
import shutil
import socket
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speech_eval.api.scoring import score, verify
from speech_eval.engine import session
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.engine.settings import Settings
from speech_eval.engine.stored_plan import is_local
from speech_eval.errors import BadInput, UnknownName
from speech_eval.gate.selftest import selftest
from speech_eval.registry import load_plugins


@pytest.mark.parametrize(
    "spec",
    [
        "whisper-base",
        "faster-whisper-tiny.en",
        "whisper-base,num_beams=5",
        "whisper-base,device=cpu,dtype=float32",
        "oracle",
    ],
)
def test_a_name_of_the_catalog_is_local(spec: str) -> None:
    assert is_local(spec)


@pytest.mark.parametrize(
    "spec",
    [
        "run/audio/x.py:X",
        "/tmp/x.py:X",
        "x.py:X,device=cpu",
        "openai:http://127.0.0.1:9/v1#m,api_key_env=AWS_SECRET_ACCESS_KEY",
        "openai:https://example.org/v1#m",
        "hf:somebody/whisper",
        "hf:somebody/whisper,trust_remote_code=true",
        "funasr:paraformer",
        "outputs:/home/user/notes",
        "cascade:whisper-base+smollm2",
        "cascade:[x.py:X]+smollm2",
        "whisper,path=/tmp/checkpoint",
        "whisper,path=somebody/whisper",
        "whisper-base,trust_remote_code=true",
        "whisper-base,revision=main",
        "whisper-base,device=[/dev/sda]",
        "[x.py:X]",
        "../checkpoint",
        "/",
        ".",
        "",
        ",",
        "[",
        "whisper-base,",
        "nobody-registered-this",
        "x" * 10_000,
        "[" * 10_000,
        "whisper-base,num_beams=" + "9" * 5000,
        "whisper-base,num_beams=" + '{"a":' * 50_000,
    ],
)
def test_a_file_a_folder_an_address_and_a_hub_id_are_not_local(spec: str) -> None:
    assert not is_local(spec)


PLUGIN = """
from speech_eval import ModelInfo, SpeechRecognizer
from speech_eval.adapters.catalog import register_adapter

@register_adapter("hears-words")
class HearsWords(SpeechRecognizer):
    '''Hears the same words in everything.'''

    def __init__(self, api_key=""):
        pass

    def info(self):
        return ModelInfo(name="hears-words", revision="1")

    def transcribe(self, requests):
        return ["some words"] * len(requests)
"""


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("plugin") / "hears_words.py"
    file.write_text(PLUGIN)
    load_plugins([file])
    return file


@pytest.fixture
def run(plugin: Path, tmp_path: Path) -> RunDirectory:
    """A run of speech that a recognizer scores, on a recording of the user's own."""
    tone = (0.3 * np.sin(np.arange(16000) / 7)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", tone, 16000)
    (tmp_path / "set.jsonl").write_text(json.dumps({"id": "a", "text": "some words", "audio": "a.wav"}) + "\n")
    settings = Settings(
        data=str(tmp_path / "set.jsonl"),
        metrics=("wer-original[whisper-normalizer@20250625]",),
        recognizer="hears-words",
        plugins=(str(plugin),),
        workers=1,
    )
    session.run("oracle", ["codec-reconstruction"], tmp_path / "run", settings)
    return RunDirectory(tmp_path / "run")


def named(run: RunDirectory, recognizer: str) -> Path:
    """The run with another recognizer in its manifest."""
    text = (run.path / "manifest.json").read_text()
    assert '"recognizer": "hears-words"' in text
    (run.path / "manifest.json").write_text(
        text.replace('"recognizer": "hears-words"', f'"recognizer": "{recognizer}"')
    )
    return run.path


EVIL = """
import os
open({place!r}, "w").write("ran")
import speech_eval
class X(speech_eval.SpeechRecognizer):
    pass
"""


def test_code_that_a_run_names_is_never_executed(run: RunDirectory, tmp_path: Path) -> None:
    code = run.path / "audio" / "x.py"
    code.write_text(EVIL.format(place=str(tmp_path / "executed")))
    path = named(run, f"{code}:X")
    for use in (lambda: score(path), lambda: verify(path)):
        with pytest.raises(BadInput, match=r"not one that is installed here.*If you trust it.*--recognizer"):
            use()
    selftest(run)
    assert not (tmp_path / "executed").exists()


def test_no_address_that_a_run_names_is_contacted(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET", "value")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.5)
        path = named(run, f"openai:http://127.0.0.1:{server.getsockname()[1]}/v1#m,api_key_env=A_SECRET")
        for use in (lambda: score(path), lambda: verify(path)):
            with pytest.raises(BadInput, match="not one that is installed here"):
                use()
        with pytest.raises(TimeoutError):
            server.accept()


def test_the_user_may_name_what_the_run_may_not(run: RunDirectory, plugin: Path) -> None:
    path = named(run, "hf:somebody/whisper")
    with pytest.raises(BadInput):
        verify(path)
    found = verify(path, recognizer="hears-words", plugin=[plugin])
    assert found.numbers > 0
    assert (
        score(path, recognizer="hears-words", plugin=[plugin]).manifest.tasks["codec-reconstruction"].recognizer
        == "hears-words"
    )


def test_a_key_of_the_user_s_recognizer_is_not_stored(run: RunDirectory, plugin: Path) -> None:
    score(run.path, recognizer="hears-words,api_key=abcxyz", plugin=[plugin])
    stored = [file.read_text() for file in run.path.rglob("*.json*")]
    assert any("hears-words,api_key=***" in text for text in stored) and not any("abcxyz" in text for text in stored)


def test_names_that_are_not_registered_are_said_with_the_run(run: RunDirectory) -> None:
    text = (run.path / "manifest.json").read_text()
    (run.path / "manifest.json").write_text(
        text.replace("wer-original[whisper-normalizer@20250625]", "wer[of-somebody]")
    )
    with pytest.raises(UnknownName, match=f"No metric is named.*{run.path} was made with the plug-in"):
        score(run.path)


def test_the_run_s_own_data_are_found_again(run: RunDirectory, plugin: Path) -> None:
    assert verify(run.path, plugin=[plugin]).differences == []


def test_other_files_than_the_run_was_made_with_are_not_read(run: RunDirectory, plugin: Path, tmp_path: Path) -> None:
    """A run cannot have the user's other recordings heard, by naming their folder as its data."""
    private = tmp_path / "private"
    private.mkdir()
    shutil.copy(tmp_path / "a.wav", private / "a.wav")
    (private / "set.jsonl").write_text(json.dumps({"id": "a", "text": "other words", "audio": "a.wav"}) + "\n")
    text = (run.path / "manifest.json").read_text()
    (run.path / "manifest.json").write_text(text.replace(str(tmp_path / "set.jsonl"), str(private / "set.jsonl")))
    with pytest.raises(BadInput, match=r"are not those that the run was made with.*--data"):
        verify(run.path)
    assert verify(run.path, data=str(private / "set.jsonl"), plugin=[plugin]).numbers > 0


def test_a_run_whose_data_are_gone_is_verified_where_its_metrics_need_none(tmp_path: Path) -> None:
    data = tmp_path / "set.jsonl"
    data.write_text(json.dumps({"id": "a", "text": "some words"}) + "\n")
    session.run("noisy", ["asr"], tmp_path / "run", Settings(data=str(data)))
    data.unlink()
    assert verify(tmp_path / "run").differences == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("location", ["pipe", "/dev/zero", "/proc/self/mem", "/"])
def test_a_location_that_is_no_data_is_one_line(run: RunDirectory, tmp_path: Path, location: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    place = str(tmp_path / location)
    text = (run.path / "manifest.json").read_text()
    (run.path / "manifest.json").write_text(text.replace(str(tmp_path / "set.jsonl"), place))
    began = time.monotonic()
    with pytest.raises(BadInput, match="not searched" if location == "/" else "."):
        verify(run.path)
    assert time.monotonic() - began < 20

"""Answers made elsewhere: files of any container, suffix and case, and text in one encoding."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from speech_eval.adapters import spec as modelspec
from speech_eval.adapters.base import SynthesisRequest, TranscriptionRequest
from speech_eval.errors import BadAudio, BadInput

SPEECH = np.random.default_rng(0).uniform(-0.5, 0.5, 8000).astype(np.float32)


def stored(folder: Path) -> Any:
    return modelspec.resolve(f"outputs:{folder}").build()


def heard(folder: Path, sample_id: str) -> str:
    request = TranscriptionRequest(sample_id, lambda: None, "en")  # type: ignore[arg-type,return-value]
    text: str = stored(folder).transcribe([request])[0]
    return text


@pytest.mark.parametrize("name", ["a.wav", "a.WAV", "a.Flac", "a.m4a", "a.opus", "a.raw"])
@pytest.mark.parametrize("sample_id", ["a", "speaker 1/a", "a.b"])
def test_audio_is_found_by_its_id_whatever_the_suffix(name: str, sample_id: str, tmp_path: Path) -> None:
    path = tmp_path / (sample_id + name.removeprefix("a"))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        soundfile.write(file, np.stack([SPEECH, SPEECH], axis=1), 16_000, format="FLAC", subtype="PCM_24")
    (audio,) = stored(tmp_path).synthesize([SynthesisRequest(sample_id, "words")])
    np.testing.assert_allclose(audio.samples, SPEECH, atol=1e-6)


def test_headerless_samples_fail_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes((SPEECH * 32767).astype("<i2").tobytes())
    with pytest.raises(BadAudio, match=r"a\.raw: not a readable audio file"):
        stored(tmp_path).synthesize([SynthesisRequest("a", "words")])


@pytest.mark.parametrize("name", ["a.txt", "a.TXT", "all.jsonl", "all.JSONL"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_text_is_read_without_the_mark_of_its_encoding(name: str, encoding: str, tmp_path: Path) -> None:
    line = "déjà vu" if name.lower().endswith(".txt") else json.dumps({"id": "a", "text": "déjà vu"}) + "\n"
    (tmp_path / name).write_bytes(line.encode(encoding))
    assert heard(tmp_path, "a") == "déjà vu"


def test_another_encoding_is_named_before_the_first_answer(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("déjà vu".encode("latin-1"))
    with pytest.raises(BadInput, match=r"a\.txt, line 1: .* looks like WINDOWS-1252"):
        stored(tmp_path)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([{"id": "a", "text": None}], "line 1: the text of 'a' is not a string"),
        ([{"id": "a", "text": "x"}, {"id": "a", "text": "y"}], "line 2: a second text for 'a'"),
        ([{"id": "a"}], "line 1: no 'text'; the fields are id"),
    ],
)
def test_a_line_that_is_not_one_answer_is_refused_by_its_cause(
    lines: list[dict[str, Any]], message: str, tmp_path: Path
) -> None:
    (tmp_path / "all.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(BadInput, match=message):
        stored(tmp_path)


def test_an_id_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "answers").mkdir()
    soundfile.write(tmp_path / "secret.wav", SPEECH, 16_000)
    soundfile.write(tmp_path / "answers" / "a.wav", SPEECH, 16_000)
    with pytest.raises(BadInput, match="leads out"):
        stored(tmp_path / "answers").synthesize([SynthesisRequest("../secret", "words")])


@pytest.mark.parametrize("name", ["pred_text", "hypothesis", "prediction", "response"])
def test_of_a_reference_and_an_answer_in_one_line_the_answer_is_taken(name: str, tmp_path: Path) -> None:
    (tmp_path / "all.jsonl").write_text(json.dumps({"id": 1, "text": "what was said", name: "what was heard"}))
    assert heard(tmp_path, "1") == "what was heard"


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ('{"id": 1, "words": "x"}', "no 'text'; the fields are id, words"),
        ('{"text": "x"}', "no 'id'; the fields are text"),
        ('["x"]', "not a JSON object"),
        ('{"id": 1', "not JSON"),
    ],
)
def test_a_line_that_is_no_answer_is_refused_by_its_cause(line: str, cause: str, tmp_path: Path) -> None:
    (tmp_path / "all.jsonl").write_text(line)
    with pytest.raises(BadInput, match=cause):
        heard(tmp_path, "1")

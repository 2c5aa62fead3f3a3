"""FunASR's recognizers: the extra they need, and what is asked of the library (it is not among the test packages)."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from support.metric_items import reader

from speech_eval.adapters import spec as modelspec
from speech_eval.adapters.base import SpeechRecognizer, TranscriptionRequest
from speech_eval.cache import file_sha256
from speech_eval.engine.task import TASKS
from speech_eval.errors import MissingExtra


def library(calls: list[dict[str, Any]], answer: list[dict[str, Any]], folder: Path) -> ModuleType:
    """A stand-in with FunASR's two calls, as Seed-TTS-eval's run_wer.py uses them."""

    class AutoModel:
        def __init__(self, **given: Any) -> None:
            calls.append(given)
            self.model_path = str(folder)

        def generate(self, **given: Any) -> list[dict[str, Any]]:
            calls.append(given)
            return answer

    module = ModuleType("funasr")
    module.AutoModel = AutoModel  # type: ignore[attr-defined]
    return module


def request() -> TranscriptionRequest:
    return TranscriptionRequest("a", lambda: reader("0870"), "zh")


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "funasr", None)
    with pytest.raises(MissingExtra, match=r"speech-eval-harness\[funasr\]"):
        modelspec.resolve("funasr:paraformer-zh").build()


def test_it_asks_as_seed_tts_eval_does_and_keeps_the_raw_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[dict[str, Any]] = []
    (tmp_path / "model.pt").write_bytes(b"weights")
    monkeypatch.setitem(sys.modules, "funasr", library(calls, [{"key": "x", "text": "你 好 hello"}], tmp_path))
    adapter = modelspec.resolve("funasr:paraformer-zh,hub=hf,revision=v2.0.4").build()
    assert isinstance(adapter, SpeechRecognizer)
    assert adapter.transcribe([request()]) == ["你 好 hello"]
    made, asked = calls
    assert (made["model"], made["hub"], made["model_revision"]) == ("paraformer-zh", "hf", "v2.0.4")
    assert asked["batch_size_s"] == 300 and asked["fs"] == 16_000 and "language" not in asked
    assert adapter.info().weights_sha256 == file_sha256(tmp_path / "model.pt")


def test_a_language_is_told_to_models_that_take_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[dict[str, Any]] = []
    monkeypatch.setitem(sys.modules, "funasr", library(calls, [{"text": ""}], tmp_path))
    adapter = modelspec.resolve("funasr:iic/SenseVoiceSmall,language=zh").build()
    assert isinstance(adapter, SpeechRecognizer)
    assert adapter.transcribe([request()]) == [""]
    assert calls[0]["model"] == "iic/SenseVoiceSmall" and calls[1]["language"] == "zh"


def test_no_answer_is_an_error_and_not_an_empty_transcript(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "funasr", library([], [], tmp_path))
    adapter = modelspec.resolve("funasr:paraformer-zh").build()
    assert isinstance(adapter, SpeechRecognizer)
    with pytest.raises(ValueError, match="gave no transcript for a"):
        adapter.transcribe([request()])


@pytest.mark.parametrize(
    ("name", "language", "recognizer"),
    [
        ("seed-tts-en", "en", "hf:openai/whisper-large-v3"),
        ("seed-tts-zh", "zh", "funasr:paraformer-zh"),
        ("seed-tts-hard", "zh", "funasr:paraformer-zh"),
    ],
)
def test_each_subset_names_the_recognizer_of_the_original(name: str, language: str, recognizer: str) -> None:
    task = TASKS.get(name)()
    assert task.recognizer == recognizer and task.variants["SpeechSynthesizer"].dataset == name
    other = "cer[unicode@1]" if language == "zh" else "wer[whisper-normalizer@20250625]"
    assert task.variants["SpeechSynthesizer"].metrics[:2] == ("wer[seed-tts-eval@2024-06]", other)


def test_the_metrics_of_a_task_do_not_depend_on_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    before = TASKS.get("seed-tts-en")()
    monkeypatch.setenv("SPEECH_EVAL_WAVLM_ECAPA", "weights.pth")
    assert TASKS.get("seed-tts-en")() == before

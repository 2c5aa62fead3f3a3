"""What a recognizer invents in digital silence is not the model's speech; the original's number is in `compat`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from speech_eval import evaluate
from speech_eval.engine.run_directory import RunDirectory

MODELS = """
import numpy as np
from speech_eval import Audio, ModelInfo, SpeechRecognizer, SpeechSynthesizer

class Speaker(SpeechSynthesizer):
    def __init__(self, gain=0.0):
        self.gain = gain
    def info(self):
        return ModelInfo(name="speaker", revision="1")
    def synthesize(self, requests):
        noise = np.random.default_rng(0).uniform(-1, 1, 16000)
        return [Audio((self.gain * noise).astype(np.float32), 16000) for _ in requests]

class Inventor(SpeechRecognizer):
    def info(self):
        return ModelInfo(name="inventor", revision="1")
    def transcribe(self, requests):
        return ["You" for _ in requests]
"""


def word_error_rates(folder: Path, gain: float) -> tuple[float | None, float | None]:
    """WER of a speaker at a level, strict and compat, by a recognizer that always hears the right word."""
    (folder / "models.py").write_text(MODELS)
    (folder / "set.jsonl").write_text(json.dumps({"id": "a", "text": "You", "language": "en"}) + "\n")
    metric = "wer[seed-tts-eval@2024-06]"
    run = evaluate(
        f"{folder / 'models.py'}:Speaker,gain={gain}",
        "seed-tts",
        data=folder / "set.jsonl",
        metrics=metric,
        recognizer=f"{folder / 'models.py'}:Inventor",
        output=folder / "run",
    )
    assert RunDirectory(run).transcripts("seed-tts")["a"].text == "You"  # kept as it was heard
    found = run.results.tasks[0].metrics[0]
    return found.strict.value, found.compat.value


@pytest.mark.parametrize(("gain", "strict"), [(0.5, 0.0), (0.001, 0.0), (0.0, 100.0)])
def test_a_word_invented_in_silence_is_not_credited(gain: float, strict: float, tmp_path: Path) -> None:
    assert word_error_rates(tmp_path, gain) == (strict, 0.0)

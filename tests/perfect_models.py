"""Models that no task can fault, by `--model tests/perfect_models.py:NAME`, and a recogniser that knows their speech.

Each fails on purpose at the sample `failing`, so that what a failure does to the others can be seen.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from harness.adapters.base import AudioCodec, ChatReply, ChatRequest, Codes, SpeechRecognizer, TranscriptionRequest
from harness.adapters.doubles import Oracle, _content
from harness.adapters.turn_agents import TurnOracle
from harness.audio import Audio, load
from harness.types import ModelInfo


class Perfect(Oracle):
    """The oracle, whose codec has one depth: all of it."""

    def __init__(self, failing: str = "") -> None:
        super().__init__()
        self.failing = failing

    @property
    def depths(self) -> Sequence[int]:
        return (1,)

    def reply(self, requests: Sequence[ChatRequest]) -> list[ChatReply]:
        """In text, and in the voice of the recording."""
        assert self.load_reference is not None
        texts = [reply.text for reply in super().reply(requests)]
        return [ChatReply(text, self.load_reference(r.id)) for text, r in zip(texts, requests, strict=True)]

    def _fails(self, item: str, seed: int) -> bool:
        return bool(self.failing) and item in (self.failing, self._failing_content)

    @cached_property
    def _failing_content(self) -> str:
        """A codec is told no ids, so it knows the sample by its sound."""
        try:
            assert self.load_reference is not None
            return _content(self.load_reference(self.failing).resampled(self.sample_rate).samples)
        except (AssertionError, KeyError):
            return self.failing


class Agent(TurnOracle):
    """Takes every turn 0.2 s after its end."""

    def __init__(self, failing: str = "") -> None:
        super().__init__()
        self.failing = failing
        self._expected = ""

    def expect(self, sample_id: str) -> None:
        self._expected = sample_id
        super().expect(sample_id)

    def step(self, user_chunk: Audio) -> Audio:
        if self._expected and self._expected == self.failing:
            raise RuntimeError("the agent hung up")
        return super().step(user_chunk)


class Loudness(AudioCodec):
    """A codec of 16 codes, 25 a second, that a language model can learn in no time: how loud it is, and no more."""

    sample_rate = 16_000
    _FRAME = 640

    def __init__(self, failing: str = "") -> None:
        self.failing = failing
        self.load_reference = None
        self._known = Perfect(failing)

    def info(self) -> ModelInfo:
        return ModelInfo(spec="", name="loudness", interfaces=[], revision="1")

    def encode(self, audios: Sequence[Audio]) -> list[Codes]:
        self._known.load_reference = self.load_reference
        self._known._raise_failures([(_content(audio.samples), 0) for audio in audios])
        return [Codes([self._codes(audio)], [25.0], [16]) for audio in audios]

    def _codes(self, audio: Audio) -> np.ndarray:
        frames = np.pad(audio.samples, (0, -len(audio.samples) % self._FRAME)).reshape(-1, self._FRAME)
        rms = np.sqrt(np.mean(np.square(frames, dtype=np.float64), axis=1))
        return np.clip(np.round(15 + np.log2(rms + 1e-6) * 2), 0, 15).astype(np.int64)

    def decode(self, codes: Sequence[Codes]) -> list[Audio]:
        return [Audio(self._wave(np.asarray(item.codebooks[0])), self.sample_rate) for item in codes]

    def _wave(self, codes: np.ndarray) -> np.ndarray:
        level = np.repeat(2.0 ** ((codes - 15.0) / 2), self._FRAME)
        buzz = np.sign(np.sin(2 * np.pi * 120 * np.arange(len(level)) / self.sample_rate))
        return (level * buzz).astype(np.float32)


class Ear(SpeechRecognizer):
    """Hears a recording of the folder `data` in what is the same waveform but for a little noise, and nothing else."""

    def __init__(self, data: str) -> None:
        rows = [json.loads(line) for line in (Path(data) / "metadata.jsonl").read_text("utf-8").splitlines()]
        self._known = [(row["text"], load(Path(data) / row["file_name"], self.sample_rate).samples) for row in rows]

    def info(self) -> ModelInfo:
        return ModelInfo(spec="", name="ear", interfaces=[], revision="1")

    def transcribe(self, requests: Sequence[TranscriptionRequest]) -> list[str]:
        return [self._text(request.audio.samples) for request in requests]

    def _text(self, heard: np.ndarray) -> str:
        for text, known in self._known:
            size = min(len(heard), len(known))
            norms = np.linalg.norm(heard[:size]) * np.linalg.norm(known[:size])
            if abs(len(heard) - len(known)) < 800 and norms > 0 and heard[:size] @ known[:size] > 0.9 * norms:
                return text
        return ""

"""Models that no task can fault, by `--model tests/perfect_models.py:NAME`, and a recognizer that knows their speech.

Each fails on purpose at the sample `failing`, so that what a failure does to the others can be seen.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from speech_eval.adapters.base import (
    AudioCodec,
    ChatReply,
    ChatRequest,
    Codes,
    LoadReference,
    SpeechRecognizer,
    SynthesisRequest,
    TranscriptionRequest,
)
from speech_eval.audio import Audio, load
from speech_eval.errors import BadAudio
from speech_eval.records import ModelInfo, Sample
from speech_eval.testing.fakes import Oracle, _content
from speech_eval.testing.turn_oracle import TurnOracle


class Perfect(Oracle):
    """The oracle, which also replies in speech."""

    def __init__(self, failing: str = "") -> None:
        super().__init__()
        self.failing = failing

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


class Hearing(Perfect):
    """The same, listening to all it is given before it answers."""

    reads_audio = True

    def transcribe(self, requests: Sequence[TranscriptionRequest]) -> list[str]:
        assert all(len(request.audio.samples) for request in requests)
        return super().transcribe(requests)

    def _speech(self, request: SynthesisRequest) -> Audio:
        assert request.prompt_audio is not None
        return super()._speech(request)


# What a model may give instead of speech, made of the right answer.
ANSWERS: dict[str, Callable[[Audio], object]] = {
    "nan": lambda a: Audio(np.full_like(a.samples, np.nan), a.rate),
    "infinite": lambda a: Audio(np.append(a.samples, np.float32(np.inf)), a.rate),
    "int16": lambda a: Audio((a.samples * 32767).astype(np.int16), a.rate),
    "integers": lambda a: Audio(a.samples * np.float32(32767), a.rate),
    "hot": lambda a: Audio(a.samples / np.abs(a.samples).max() * np.float32(1.2), a.rate),
    "stereo": lambda a: Audio(np.stack([a.samples, a.samples]), a.rate),
    "three-hours": lambda a: Audio(np.broadcast_to(np.float32(0.1), (3 * 3600 * a.rate,)), a.rate),
    "nothing": lambda a: None,
    "empty": lambda a: Audio(a.samples[:0], a.rate),
    "silence": lambda a: Audio(np.zeros_like(a.samples), a.rate),
    "clipped": lambda a: Audio(np.clip(40 * a.samples, -1, 1), a.rate),
    "click": lambda a: Audio(a.samples[:1] + 0.5, a.rate),
}


class Spoiling(Perfect):
    """Gives, for a sample whose id ends in a name of `ANSWERS`, that."""

    def _sound(self, item: str, audio: Audio, seed: int) -> Audio:
        kind = next((kind for kind in ANSWERS if item.endswith(f"-{kind}")), None)
        return audio if kind is None else ANSWERS[kind](audio)  # type: ignore[return-value]

    def _cut(self, audio: Audio) -> list[Audio]:
        whole = isinstance(audio, Audio) and audio.samples.ndim == 1 and audio.seconds < 60
        return super()._cut(audio) if whole else [audio]

    def encode(self, audios: Sequence[Audio]) -> list[Codes]:
        """The codes with the id that a codec is not told, from the recording."""
        assert self.load_reference is not None
        made = super().encode(audios)
        names = {
            _content(self.load_reference(key).resampled(self.sample_rate).samples): key for key in self._references
        }
        for codes, audio in zip(made, audios, strict=True):
            codes.metadata["id"] = names[_content(audio.samples)]  # type: ignore[index]
        return made

    def decode(self, codes: Sequence[Codes]) -> list[Audio]:
        return [self._sound(str(c.metadata["id"]), a, 0) for c, a in zip(codes, super().decode(codes), strict=True)]

    def reply(self, requests: Sequence[ChatRequest]) -> list[ChatReply]:
        """In speech that is spoiled, and no text."""
        right = super().reply(requests)
        return [ChatReply(None, self._sound(q.id, r.audio, 0)) for q, r in zip(requests, right, strict=True) if r.audio]


class Agent(TurnOracle):
    """Takes every turn 0.2 s after its end."""

    def __init__(self, failing: str = "") -> None:
        super().__init__()
        self.failing = failing
        self._known = Perfect(failing)
        self._expected = ""

    def bind(self, samples: Mapping[str, Sample], load_reference: LoadReference) -> None:
        super().bind(samples, load_reference)
        self._known.bind(samples, load_reference)

    def expect(self, sample_id: str) -> None:
        self._expected = sample_id
        super().expect(sample_id)

    def speech_probabilities(self, user: Audio) -> tuple[np.ndarray, float]:
        """1 for every 10 ms that are not digital silence."""
        self._known._raise_failures([(_content(user.samples), 0)])
        size = user.rate // 100
        frames = user.samples[: len(user.samples) // size * size].reshape(-1, size)
        return np.any(frames != 0, axis=1).astype(np.float64), 0.01

    def step(self, user_chunk: Audio) -> Audio:
        if self._expected and self._expected == self.failing:
            raise RuntimeError("the agent hung up")
        return super().step(user_chunk)


class SpoilingAgent(Agent):
    """Gives, in a conversation whose id ends in a name of `ANSWERS`, that for its first chunk."""

    def step(self, user_chunk: Audio) -> Audio:
        said = super().step(user_chunk)
        kind = next((kind for kind in ANSWERS if self._expected.endswith(f"-{kind}")), None)
        return said if kind is None or self._at > len(user_chunk.samples) else ANSWERS[kind](said)  # type: ignore[return-value]


class Loudness(AudioCodec):
    """A codec of 16 codes, 25 a second, that a language model can learn in no time: how loud it is, and no more."""

    sample_rate = 16_000
    _FRAME = 640

    def __init__(self, failing: str = "") -> None:
        self.failing = failing
        self._known = Perfect(failing)

    def bind(self, samples: Mapping[str, Sample], load_reference: LoadReference) -> None:
        self._known.bind(samples, load_reference)

    def expect(self, sample_id: str) -> None:
        """Nothing to do: this is a codec."""

    def info(self) -> ModelInfo:
        return ModelInfo(name="loudness", revision="1")

    def encode(self, audios: Sequence[Audio]) -> list[Codes]:
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
        self._known = []
        for row in rows:
            with contextlib.suppress(BadAudio):
                audio = load(Path(data) / row["file_name"], self.sample_rate)
                self._known.append((row["text"], audio.samples))

    def info(self) -> ModelInfo:
        return ModelInfo(name="ear", revision="1")

    def transcribe(self, requests: Sequence[TranscriptionRequest]) -> list[str]:
        return [self._text(request.audio.samples) for request in requests]

    def _text(self, heard: np.ndarray) -> str:
        for text, known in self._known:
            size = min(len(heard), len(known))
            norms = np.linalg.norm(heard[:size]) * np.linalg.norm(known[:size])
            if abs(len(heard) - len(known)) < 800 and norms > 0 and heard[:size] @ known[:size] > 0.9 * norms:
                return text
        return ""

"""Fake models for tests: `Oracle` gives the reference, `NoisyOracle` errs at a known rate, `FailingOracle` raises.

They answer from the references that the engine binds to them, so the score a task must give them is known beforehand.
They implement all five interfaces with numpy, do not read the recordings for recognition, and keep a simulated clock,
so their latencies are exact. Use them as `--model oracle`, or derive from one to test a task or metric of your own:

    class Mumbling(Oracle):
        def _say(self, item, text, seed):
            return text.lower()
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from speech_eval.adapters.base import (
    AudioCodec,
    AudioLanguageModel,
    ChatReply,
    ChatRequest,
    Codes,
    DuplexAgent,
    LoadReference,
    SpeechRecognizer,
    SpeechSynthesizer,
    SynthesisRequest,
    TranscriptionRequest,
)
from speech_eval.adapters.options import number
from speech_eval.audio import Audio, Samples
from speech_eval.errors import BadAudio, BadInput
from speech_eval.records import ModelInfo, Sample
from speech_eval.testing.simulated_clock import SimulatedClock

TONE_RATE = 24_000
_LETTER_SECONDS = 0.07
_GAP_SECONDS = 0.05
_AUDIBLE = 0.01  # RMS of a chunk that the duplex agent takes for sound
_REACTION = 0.2  # seconds from the end of the user's turn to the agent's
_REPLY = "understood I will do that now"  # two seconds of tones
_INSERTED = ("the", "apple", "river", "seven", "window", "yellow", "under", "music")


def tones(text: str) -> Audio:
    """A deterministic, speech-like signal of `text` at 24 kHz: 70 ms of a buzz per letter, 50 ms of silence per gap.

    It carries no words, so a recognizer makes no sense of it. It is audible from the first 10 ms (about -13 dBFS),
    lasts about as long as the text would take to say, and differs between texts.
    """
    pieces = []
    for character in re.sub(r"^\W+", "", text) or text:
        if not character.isalnum():
            pieces.append(np.zeros(round(TONE_RATE * _GAP_SECONDS), dtype=np.float32))
            continue
        number = ord(character.lower())
        time = np.arange(round(TONE_RATE * _LETTER_SECONDS)) / TONE_RATE
        pitch, formant = 100.0 + 4.0 * (number % 17), 400.0 + 90.0 * (number % 23)
        harmonics = pitch * np.arange(1, 26)
        weights = np.exp(-0.5 * ((harmonics - formant) / 250.0) ** 2) + 0.3 / np.arange(1, 26)
        wave = np.sin(2 * np.pi * time[:, None] * harmonics) @ weights
        ramp = np.minimum(1.0, np.minimum(time, time[::-1]) / 0.004)
        pieces.append((0.6 * ramp * wave / np.abs(wave).max()).astype(np.float32))
    return Audio(np.concatenate(pieces), TONE_RATE)


def _digest(*parts: object) -> bytes:
    return hashlib.sha256("\0".join(map(str, parts)).encode()).digest()


def _generator(*parts: object) -> np.random.Generator:
    """A random generator that depends on `parts` alone: not on the order, the batch or the worker."""
    return np.random.default_rng(int.from_bytes(_digest(*parts), "big"))


def _fraction(*parts: object) -> float:
    """A fixed number in [0, 1) for `parts`."""
    return int.from_bytes(_digest(*parts)[:6], "big") / 2**48


def _content(samples: np.ndarray) -> str:
    """What serves as the id where an interface passes none."""
    return hashlib.sha256(np.ascontiguousarray(samples).tobytes()).hexdigest()


class Oracle(SpeechRecognizer, SpeechSynthesizer, AudioLanguageModel, AudioCodec, DuplexAgent):
    """Answers with the reference.

    Recognition and chat give the bound sample's `text`. Synthesis gives the sample's own recording where it has one,
    else `tones(text)`. The codec is the identity up to 16 bits: one codebook of 65 536 codes at the sample rate. The
    duplex agent speaks two seconds of tones 0.2 s after the annotated end of the user's turn (the sample's `turn_end`);
    without that annotation, after 0.2 s of silence, and it is silent while it hears sound.

    Simulated times: the first chunk of a stream comes after `ttfb` seconds, every further `chunk_seconds` of audio
    after `chunk_interval`; a transcript, a reply or the codes of a waveform take `answer_seconds`. Concurrent requests
    take as long as single ones.
    """

    name = "oracle"
    reads_audio = False
    concurrent = True
    sample_rate = 16_000

    def __init__(
        self,
        ttfb: float = 0.2,
        chunk_seconds: float = 0.1,
        chunk_interval: float = 0.05,
        answer_seconds: float = 0.05,
    ) -> None:
        self.ttfb = number("ttfb", ttfb, unit="seconds")
        self.stream_chunk_seconds = number("chunk_seconds", chunk_seconds, above=True, unit="seconds")
        self.chunk_interval = number("chunk_interval", chunk_interval, unit="seconds")
        self.answer_seconds = number("answer_seconds", answer_seconds, unit="seconds")
        self.clock: SimulatedClock = SimulatedClock()
        self.load_reference: LoadReference | None = None
        self._references: Mapping[str, Sample] = {}
        self._expected = ""
        self.reset()

    def bind(self, samples: Mapping[str, Sample], load_reference: LoadReference | None = None) -> None:
        """Take the references by sample id; the engine calls this before it generates."""
        self._references, self.load_reference = samples, load_reference

    def expect(self, sample_id: str) -> None:
        """Take the id of the conversation that begins."""
        self._expected = sample_id

    def info(self) -> ModelInfo:
        return ModelInfo(name=self.name, revision="1", license="Apache-2.0", parameters=0)

    # What the other two fakes change: whether an item fails, and what its right answer becomes.

    def _fails(self, item: str, seed: int) -> bool:
        return False

    def _say(self, item: str, text: str, seed: int) -> str:
        return text

    def _sound(self, item: str, audio: Audio, seed: int) -> Audio:
        return audio

    def _raise_failures(self, items: Sequence[tuple[str, int]]) -> None:
        for item, seed in items:
            if self._fails(item, seed):
                raise RuntimeError(f"{self.name}: '{item}' fails on purpose")

    def _reference(self, item: str) -> str:
        if item not in self._references:
            raise BadInput(f"{self.name}: no reference is bound for '{item}'.", "Use it through: speech-eval run")
        text = self._references[item].text
        if text is None:
            raise BadInput(f"{self.name}: the reference of '{item}' has no text.", "Use a dataset with transcripts.")
        return text

    # -------------------------------------------------------------------------------------------- interfaces

    def transcribe(self, requests: Sequence[TranscriptionRequest]) -> list[str]:
        self._raise_failures([(request.id, request.seed) for request in requests])
        self.clock.advance(self.answer_seconds * len(requests))
        return [self._say(request.id, self._reference(request.id), request.seed) for request in requests]

    def reply(self, requests: Sequence[ChatRequest]) -> list[ChatReply]:
        self._raise_failures([(request.id, request.seed) for request in requests])
        self.clock.advance(self.answer_seconds * len(requests))
        return [ChatReply(text=self._say(r.id, self._reference(r.id), r.seed)) for r in requests]

    def synthesize(self, requests: Sequence[SynthesisRequest]) -> list[Audio]:
        self._raise_failures([(request.id, request.seed) for request in requests])
        audios = [self._speech(request) for request in requests]
        for audio in audios:
            self.clock.advance(self.ttfb + self.chunk_interval * (len(self._cut(audio)) - 1))
        return audios

    def stream(self, request: SynthesisRequest) -> Iterator[Audio]:
        self._raise_failures([(request.id, request.seed)])
        yield from self._arrive(self._speech(request))

    def _arrive(self, audio: Audio) -> Iterator[Audio]:
        for index, chunk in enumerate(self._cut(audio)):
            self.clock.advance(self.chunk_interval if index else self.ttfb)
            yield chunk

    def _speech(self, request: SynthesisRequest) -> Audio:
        if not request.text.strip():
            raise BadInput(f"{request.id}: there is no text to speak.", "Give the sample a text.")
        sample = self._references.get(request.id)
        recorded = self.load_reference is not None and sample is not None and sample.audio is not None
        audio = self.load_reference(request.id) if recorded and self.load_reference else tones(request.text)
        return self._sound(request.id, audio, request.seed)

    def _cut(self, audio: Audio) -> list[Audio]:
        size = max(1, round(self.stream_chunk_seconds * audio.rate))
        return [Audio(audio.samples[at : at + size], audio.rate) for at in range(0, len(audio.samples), size)]

    @property
    def depths(self) -> Sequence[int]:
        return (1,)

    def encode(self, audios: Sequence[Audio]) -> list[Codes]:
        for audio in audios:
            if audio.rate != self.sample_rate:
                raise BadAudio(f"{self.name}: audio at {audio.rate} Hz.", f"Resample it to {self.sample_rate} Hz.")
        self._raise_failures([(_content(audio.samples), 0) for audio in audios])
        self.clock.advance(self.answer_seconds * len(audios))
        pcm = [np.clip(np.round(audio.samples * 32768.0), -32768, 32767).astype(np.int64) for audio in audios]
        return [Codes([samples + 32768], [float(self.sample_rate)], [65536]) for samples in pcm]

    def decode(self, codes: Sequence[Codes]) -> list[Audio]:
        items = [_content(item.codebooks[0]) for item in codes]
        waves = [((item.codebooks[0] - 32768) / 32768.0).astype(np.float32) for item in codes]
        return [self._sound(i, Audio(wave, self.sample_rate), 0) for i, wave in zip(items, waves, strict=True)]

    def stream_decode(self, codes: Codes) -> Iterator[Audio]:
        yield from self._arrive(self.decode([codes])[0])

    def reset(self) -> None:
        self._position = 0.0  # seconds of the user's channel heard so far
        self._quiet_seconds = 0.0
        self._heard = self._answered = False
        self._left: Samples = np.zeros(0, dtype=np.float32)

    def step(self, user_chunk: Audio) -> Audio:
        self._raise_failures([(self._expected or f"second {self._position:g}", 0)])
        self._position += user_chunk.seconds
        if (turn_end := self._turn_end) is None:
            self._listen(user_chunk)
        elif not self._answered and turn_end + _REACTION < self._position + user_chunk.seconds:
            # What it returns for this chunk is heard during the next one.
            left = turn_end + _REACTION - self._position
            wait = np.zeros(max(0, round(left * user_chunk.rate)), dtype=np.float32)
            self._answered, self._left = True, np.concatenate([wait, self._turn(user_chunk.rate)])
        frames = len(user_chunk.samples)
        spoken, self._left = self._left[:frames], self._left[frames:]
        return Audio(np.pad(spoken, (0, frames - len(spoken))), user_chunk.rate)

    def speech_probabilities(self, user: Audio) -> tuple[NDArray[np.float64], float]:
        """1 for every 10 ms of the user's turn and 0 after it; without its annotated end, 1 where there is sound."""
        self._raise_failures([(self._expected or _content(user.samples), 0)])
        size = user.rate // 100
        frames = user.samples[: len(user.samples) // size * size].reshape(-1, size)
        if (turn_end := self._turn_end) is None:
            return (np.sqrt(np.mean(np.square(frames, dtype=np.float64), axis=1)) > _AUDIBLE).astype(np.float64), 0.01
        return (np.arange(len(frames)) * 0.01 < turn_end).astype(np.float64), 0.01

    @property
    def _turn_end(self) -> float | None:
        sample = self._references.get(self._expected)
        return None if sample is None else sample.metadata.get("turn_end")

    def _listen(self, user_chunk: Audio) -> None:
        loud = bool(np.sqrt(np.mean(np.square(user_chunk.samples, dtype=np.float64))) > _AUDIBLE)
        self._quiet_seconds = 0.0 if loud else self._quiet_seconds + user_chunk.seconds
        if loud:
            self._heard, self._left = True, self._left[:0]
        elif self._heard and self._quiet_seconds >= _REACTION:
            self._heard, self._left = False, self._turn(user_chunk.rate)

    def _turn(self, rate: int) -> Samples:
        item = self._expected or f"turn {self._position:g}"
        return self._sound(item, tones(_REPLY).resampled(rate), 0).samples


class NoisyOracle(Oracle):
    """The oracle with errors: each word is deleted, replaced or followed by another with probability `error_rate`.

    Speech gets white noise of `error_rate` times its own RMS. A share `fail_rate` of the items raises. All of it is
    drawn from the request's seed and id, so order, batch size and worker do not matter. `timing` is the oracle's.
    """

    name = "noisy"

    def __init__(self, error_rate: float = 0.1, fail_rate: float = 0.0, **timing: float) -> None:
        super().__init__(**timing)
        self.error_rate = number("error_rate", error_rate, 0.0, 1.0)
        self.fail_rate = number("fail_rate", fail_rate, 0.0, 1.0)

    def _fails(self, item: str, seed: int) -> bool:
        return _fraction("noisy fails", seed, item) < self.fail_rate

    def _say(self, item: str, text: str, seed: int) -> str:
        generator = _generator("noisy words", seed, item)
        words: list[str] = []
        for word in text.split():
            wrong = generator.random() < self.error_rate
            kind, other = int(generator.integers(3)), str(generator.choice([w for w in _INSERTED if w != word.lower()]))
            if not wrong:
                words.append(word)
            elif kind > 0:
                words += [other] if kind == 1 else [word, other]
        return " ".join(words)

    def _sound(self, item: str, audio: Audio, seed: int) -> Audio:
        rms = float(np.sqrt(np.mean(np.square(audio.samples, dtype=np.float64))))
        noise = _generator("noisy sound", seed, item).standard_normal(len(audio.samples))
        return Audio((audio.samples + self.error_rate * rms * noise).astype(np.float32), audio.rate)


class FailingOracle(Oracle):
    """The oracle that raises for a share `fail_rate` of the items, chosen by a hash of their ids.

    A batch that holds one such item raises as a whole, as a real model's does. A codec is told no ids, so the content
    is hashed instead; a duplex agent outside the engine, by the second of the conversation. `timing` is the oracle's.
    """

    name = "failing"

    def __init__(self, fail_rate: float = 0.5, **timing: float) -> None:
        super().__init__(**timing)
        self.fail_rate = number("fail_rate", fail_rate, 0.0, 1.0)

    def _fails(self, item: str, seed: int) -> bool:
        return _fraction("failing", item) < self.fail_rate

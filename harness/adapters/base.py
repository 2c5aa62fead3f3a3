"""The five adapter interfaces, through which every model is evaluated, and the protocols of optional abilities.

A model implements as many interfaces as it is capable of; a task names the one it needs. Methods take whole batches and
answer in the same order. An exception makes a failed sample, never a score.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from speech_eval.adapters.clock import Clock, WallClock
from speech_eval.audio import Audio
from speech_eval.records import ModelInfo, Sample

# ------------------------------------------------------------------------------------------------ requests


@dataclass(frozen=True)
class TranscriptionRequest:
    """Speech to transcribe. `audio` is loaded on use, at the adapter's `sample_rate`."""

    id: str
    load_audio: Callable[[], Audio]
    language: str = "en"
    seed: int = 0

    @property
    def audio(self) -> Audio:
        return self.load_audio()


@dataclass(frozen=True)
class SynthesisRequest:
    """Text to speak, in the voice of `prompt_audio` where the model can clone it, and as `instruction` says where the
    model can be told."""

    id: str
    text: str
    language: str = "en"
    seed: int = 0
    load_prompt: Callable[[], Audio] | None = None
    prompt_text: str | None = None
    instruction: str | None = None

    @property
    def prompt_audio(self) -> Audio | None:
        return None if self.load_prompt is None else self.load_prompt()


@dataclass(frozen=True, eq=False)
class Speech(Audio):
    """A synthesizer's answer with `metadata`, plain data that is kept with the output. `stopped` in it says whether the
    model ended by itself, before any limit of length."""

    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ChatRequest:
    """A conversation in the chat-template shape of transformers.

    `messages` is a list of `{"role": …, "content": [part, …]}`; a part is `{"type": "text", "text": str}` or
    `{"type": "audio", "audio": Audio}`.
    """

    id: str
    messages: Sequence[Mapping[str, Any]]
    seed: int = 0
    max_new_tokens: int = 256


@dataclass(frozen=True)
class ChatReply:
    """A model's turn: text, speech, or both."""

    text: str | None = None
    audio: Audio | None = None


@dataclass(frozen=True, eq=False)
class Codes:
    """Discrete codes of one waveform: `codebooks[k]` is an integer array [frames_k], at `frame_rates[k]` Hz."""

    codebooks: Sequence[NDArray[np.int64]]
    frame_rates: Sequence[float]
    codebook_sizes: Sequence[int]
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def bitrate(self) -> float:
        """Nominal bits per second: the sum over codebooks of frame rate × log2(size)."""
        pairs = zip(self.frame_rates, self.codebook_sizes, strict=True)
        return float(sum(rate * np.log2(size) for rate, size in pairs))


# ---------------------------------------------------------------------------------------------- interfaces


class Adapter(ABC):
    """The base of all interfaces. Construction loads the model; options of the model spec arrive as keywords."""

    reads_audio: ClassVar[bool] = True  # False: the recordings need not be on this machine
    answers_live: ClassVar[bool] = True  # False: the answers exist already, so their latency cannot be measured
    plays_recordings: ClassVar[bool] = False  # True: the answers are the recordings of the data
    batch_size: int = 1  # the largest batch it is given, unless the user says otherwise
    clock: Clock = WallClock()  # measures latencies
    concurrent: bool = False  # True: requests may be made from several threads at once

    @abstractmethod
    def info(self) -> ModelInfo:
        """Name, revision and weights digest for the manifest. The caller fills in `spec` and `interfaces`."""

    def close(self) -> None:  # noqa: B027 - most adapters hold nothing that needs closing
        """Free what the adapter holds."""


class SpeechRecognizer(Adapter):
    """Speech to text."""

    sample_rate: int = 16_000

    @abstractmethod
    def transcribe(self, requests: Sequence[TranscriptionRequest]) -> list[str]:
        """One raw transcript per request."""

    def transcribe_stream(self, request: TranscriptionRequest) -> Iterator[str]:
        """The transcript as it grows: each item is the whole transcript so far, the last one is final. A model without
        partial results yields the final one only."""
        yield self.transcribe([request])[0]


class SpeechSynthesizer(Adapter):
    """Text to speech."""

    @abstractmethod
    def synthesize(self, requests: Sequence[SynthesisRequest]) -> list[Audio]:
        """One waveform per request, at the model's own rate; a `Speech` where there is metadata to keep."""

    def stream(self, request: SynthesisRequest) -> Iterator[Audio]:
        """The same speech in chunks, each yielded as soon as it is ready. A model that cannot stream yields one.

        The last chunk may be a `Speech`; its metadata describes the whole.
        """
        yield self.synthesize([request])[0]


class AudioLanguageModel(Adapter):
    """A conversation with text and audio parts to a reply in text, speech or both."""

    sample_rate: int = 16_000

    @abstractmethod
    def reply(self, requests: Sequence[ChatRequest]) -> list[ChatReply]:
        """One reply per request."""

    def reply_stream(self, request: ChatRequest) -> Iterator[ChatReply]:
        """The same reply in pieces, each yielded as soon as it is ready: some more text, some more audio, or both. A
        model that cannot stream yields one."""
        yield self.reply([request])[0]


class AudioCodec(Adapter):
    """Waveform to discrete codes and back."""

    sample_rate: int = 24_000

    @property
    def depths(self) -> Sequence[int]:
        """Numbers of leading codebooks that decode without the others, ascending up to all of them: 1 to 8 for a
        residual quantizer of 8 levels. Empty where only all codebooks together decode."""
        return ()

    def truncate(self, codes: Codes, depth: int) -> Codes:
        """The first `depth` codebooks of `codes`, for `decode`; `depth` is one of `depths`."""
        return replace(
            codes,
            codebooks=codes.codebooks[:depth],
            frame_rates=codes.frame_rates[:depth],
            codebook_sizes=codes.codebook_sizes[:depth],
        )

    @abstractmethod
    def encode(self, audios: Sequence[Audio]) -> list[Codes]:
        """Codes of each waveform (given at `sample_rate`)."""

    @abstractmethod
    def decode(self, codes: Sequence[Codes]) -> list[Audio]:
        """A waveform of each item's codes, at `sample_rate`."""

    def stream_decode(self, codes: Codes) -> Iterator[Audio]:
        """The same waveform chunk by chunk, causally. A codec that cannot yields it whole."""
        yield self.decode([codes])[0]


class DuplexAgent(Adapter):
    """A spoken-dialogue agent that listens and speaks at once. It never sees audio that has not arrived yet."""

    sample_rate: int = 16_000
    chunk_seconds: float = 0.08

    @abstractmethod
    def reset(self) -> None:
        """Forget the conversation."""

    @abstractmethod
    def step(self, user_chunk: Audio) -> Audio:
        """Take `chunk_seconds` of the user's channel, give the same duration of the agent's."""


# ---------------------------------------------------------------------------------------------- optional abilities

LoadReference = Callable[[str], Audio]


@runtime_checkable
class ReferenceAware(Protocol):
    """An adapter that answers from the dataset: the fakes, and `ground-truth`. The engine tells it the samples."""

    def bind(self, samples: Mapping[str, Sample], load_reference: LoadReference) -> None:
        """Take a task's samples by id, before any request. `load_reference(id)` gives a sample's own recording and
        raises `KeyError` for a sample without one."""

    def expect(self, sample_id: str) -> None:
        """Take the id of the conversation that begins: a `DuplexAgent` gets it before `reset`, which passes none."""


@runtime_checkable
class ReadsTranscripts(Protocol):
    """A conversation model that reads what its own recognizer hears."""

    def written(self, requests: Sequence[ChatRequest]) -> list[ChatRequest]:
        """The same conversations with the transcript in place of each recording."""


@runtime_checkable
class ChecksSamples(Protocol):
    """An adapter that can tell before it is asked which samples it has no answer to."""

    def check_samples(self, samples: Sequence[Sample]) -> str:
        """A note about samples without an answer; empty where there are none. Raises `BadInput` where all are."""


@runtime_checkable
class ScoresText(Protocol):
    """A recognizer that gives the likelihood of a text."""

    def nll(self, request: TranscriptionRequest, text: str) -> float:
        """Mean negative log-likelihood in nats per token of `text`, its end included, given the speech."""


@runtime_checkable
class ScoresFrames(Protocol):
    """A duplex agent whose turn taking follows from a speech probability per frame."""

    def speech_probabilities(self, user: Audio) -> tuple[NDArray[np.float64], float]:
        """The probability of each frame of the user's channel [frames], and the duration of a frame in seconds."""


@runtime_checkable
class WritesWords(Protocol):
    """A duplex agent that writes the words it says."""

    def words(self) -> list[tuple[str, float]]:
        """The words since `reset`, and when each begins to be heard in its channel, in seconds."""


@runtime_checkable
class StreamsCodes(Protocol):
    """A codec that decodes codes part by part as they arrive."""

    causal: bool  # False: this checkpoint cannot, although the class has the method

    def stream_parts(self, parts: Iterable[Codes]) -> Iterator[Audio]:
        """The sound of codes that arrive in parts, each of whole steps of the slowest codebook. A chunk may have no
        samples."""


@runtime_checkable
class StreamsSpeech(Protocol):
    """A causal codec that encodes part by part as sound arrives."""

    causal: bool

    def encode_parts(self, parts: Iterable[Audio]) -> Iterator[Codes]:
        """The codes that each part completes."""


INTERFACES: dict[str, type[Adapter]] = {
    cls.__name__: cls for cls in (SpeechRecognizer, SpeechSynthesizer, AudioLanguageModel, AudioCodec, DuplexAgent)
}


def interfaces_of(adapter: Adapter | type[Adapter]) -> list[str]:
    """Names of the interfaces an adapter (or its class) implements, in a fixed order."""
    cls = adapter if isinstance(adapter, type) else type(adapter)
    return [name for name, interface in INTERFACES.items() if issubclass(cls, interface)]

"""How a sample becomes a request of each interface, and the model's answer an output. One driver an interface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from speech_eval.adapters.base import (
    Adapter,
    AudioCodec,
    AudioLanguageModel,
    ChatRequest,
    Codes,
    DuplexAgent,
    ReferenceAware,
    Speech,
    SpeechRecognizer,
    SpeechSynthesizer,
    SynthesisRequest,
    TranscriptionRequest,
)
from speech_eval.audio import Audio, check_waveform
from speech_eval.datasets.dataset import Dataset
from speech_eval.engine.generate.conversation import converse, user_channel
from speech_eval.metrics.codec.counts import counts_text
from speech_eval.progress import Progress
from speech_eval.records import (
    Chunk,
    CodebookRecord,
    CodesRecord,
    Sample,
    SpeechProbabilities,
    Timing,
    TokenModelRecord,
)

LoadAudio = Callable[[str], Audio]  # path relative to the dataset's root -> audio at its own rate


@dataclass(frozen=True)
class Answer:
    """What a model said to one request, before it is stored."""

    text: str | None = None
    audio: Audio | None = None
    chunks: list[Chunk] | None = None
    seconds: float | None = None
    timing: Timing | None = None
    codes: CodesRecord | None = None
    token_model: TokenModelRecord | None = None
    speech_probabilities: SpeechProbabilities | None = None
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        return self.audio is None and not (self.text or "").strip()


@dataclass(frozen=True)
class Job:
    """What a `Driver` may know of the run: the task's options, its dataset, the run's seed, and `folder`, where files
    may be kept that outlive a killed process."""

    options: Mapping[str, int | float | str]
    dataset: Dataset
    seed: int
    folder: Path


class Driver(ABC):
    """A task's own way of asking a model: where one request a sample is not all, as when something is trained first."""

    def __init__(self, adapter: Any, job: Job) -> None:
        self.adapter = adapter
        self.job = job

    @abstractmethod
    def prepare(self, progress: Progress) -> None:
        """What comes before the first request. Called again in a run that goes on, so it must come out the same."""

    @abstractmethod
    def answer(self, samples: Sequence[Sample], seeds: Sequence[int], load: LoadAudio) -> list[Answer]:
        """One answer a sample, as `answer_batch` gives them."""


def answer_batch(
    interface: str,
    adapter: Adapter,
    samples: Sequence[Sample],
    seeds: Sequence[int],
    load: LoadAudio,
    options: Mapping[str, int | float | str] | None = None,
) -> list[Answer]:
    """Ask the model once for all `samples`. Raises whatever the model raises, and on a wrong number of answers.

    `options` are the task's; a chat reads `max_new_tokens`.
    """
    limits = {key: value for key, value in (options or {}).items() if key == "max_new_tokens"}
    answers = _BATCH[interface](adapter, samples, seeds, load, **limits)
    if len(answers) != len(samples):
        raise RuntimeError(f"the model gave {len(answers)} answers to {len(samples)} requests")
    return answers


# ------------------------------------------------------------------------------------------- recognition


def transcription_request(sample: Sample, seed: int, rate: int, load: LoadAudio) -> TranscriptionRequest:
    """The sample's recording at `rate` Hz, read when the adapter asks for it."""

    def audio() -> Audio:
        if sample.audio is None:
            raise ValueError("the dataset has no recording for this sample")
        return load(sample.audio).resampled(rate)

    return TranscriptionRequest(id=sample.id, load_audio=audio, language=sample.language, seed=seed)


def _recognize(adapter: Any, samples: Sequence[Sample], seeds: Sequence[int], load: LoadAudio) -> list[Answer]:
    assert isinstance(adapter, SpeechRecognizer)
    rate = adapter.sample_rate
    requests = [transcription_request(s, seed, rate, load) for s, seed in zip(samples, seeds, strict=True)]
    return [Answer(text=_text(text)) for text in adapter.transcribe(requests)]


# --------------------------------------------------------------------------------------------- synthesis


def synthesis_request(sample: Sample, seed: int, load: LoadAudio) -> SynthesisRequest:
    """The sample's text, and its voice prompt, read when the adapter asks for it. Raises for a sample without text."""
    if not (sample.text or "").strip():
        raise ValueError("the sample has no text to speak")
    prompt = sample.prompt_audio
    return SynthesisRequest(
        id=sample.id,
        text=sample.text or "",
        language=sample.language,
        seed=seed,
        load_prompt=None if prompt is None else lambda: load(prompt),
        prompt_text=sample.prompt_text,
    )


def _synthesize(adapter: Any, samples: Sequence[Sample], seeds: Sequence[int], load: LoadAudio) -> list[Answer]:
    assert isinstance(adapter, SpeechSynthesizer)
    requests = [synthesis_request(s, seed, load) for s, seed in zip(samples, seeds, strict=True)]
    return [
        Answer(audio=_audio(audio, sample.id), metadata=spoken_metadata(audio))
        for audio, sample in zip(adapter.synthesize(requests), samples, strict=True)
    ]


def spoken_metadata(audio: object) -> dict[str, Any]:
    """What a synthesizer says of its answer beside the sound."""
    return dict(audio.metadata) if isinstance(audio, Speech) else {}


# ------------------------------------------------------------------------------- conversation and codecs


def chat_request(adapter: AudioLanguageModel, sample: Sample, seed: int, load: LoadAudio) -> ChatRequest:
    """One user turn: the sample's recording if it has one and the model hears, else its prompt text."""
    if sample.audio is not None and adapter.reads_audio:
        part: dict[str, Any] = {"type": "audio", "audio": load(sample.audio).resampled(adapter.sample_rate)}
    else:
        part = {"type": "text", "text": sample.prompt_text or sample.text or ""}
    return ChatRequest(id=sample.id, messages=[{"role": "user", "content": [part]}], seed=seed)


def _reply(
    adapter: Any,
    samples: Sequence[Sample],
    seeds: Sequence[int],
    load: LoadAudio,
    max_new_tokens: int = ChatRequest.max_new_tokens,
) -> list[Answer]:
    assert isinstance(adapter, AudioLanguageModel)
    asked = [chat_request(adapter, s, seed, load) for s, seed in zip(samples, seeds, strict=True)]
    requests = [replace(request, max_new_tokens=max_new_tokens) for request in asked]
    replies = adapter.reply(requests)
    return [
        Answer(text=reply.text, audio=None if reply.audio is None else _audio(reply.audio, sample.id))
        for reply, sample in zip(replies, samples, strict=True)
    ]


def _reconstruct(adapter: Any, samples: Sequence[Sample], seeds: Sequence[int], load: LoadAudio) -> list[Answer]:
    assert isinstance(adapter, AudioCodec)
    audios = [recording(sample, adapter.sample_rate, load) for sample in samples]
    codes = adapter.encode(audios)
    decoded = adapter.decode(codes)
    return [
        _reconstruction(sample, audio, code, answer)
        for sample, audio, code, answer in zip(samples, audios, codes, decoded, strict=True)
    ]


def encode_once(adapter: AudioCodec, sample: Sample, load: LoadAudio) -> Callable[[int], Answer]:
    """Encode the sample's recording and return what decodes its first `depth` codebooks.

    An answer's `seconds` are those of the encoding and of its own decoding.
    """
    audio = recording(sample, adapter.sample_rate, load)
    start = perf_counter()
    (codes,) = adapter.encode([audio])
    encoding = perf_counter() - start

    def decode(depth: int) -> Answer:
        start = perf_counter()
        kept = adapter.truncate(codes, depth)
        (decoded,) = adapter.decode([kept])
        seconds = encoding + perf_counter() - start
        return replace(_reconstruction(sample, audio, kept, decoded), seconds=seconds)

    return decode


def recording(sample: Sample, rate: int, load: LoadAudio) -> Audio:
    """The sample's recording at `rate` Hz. Raises for a sample without one."""
    if sample.audio is None:
        raise ValueError(f"the dataset has no recording for sample {sample.id}")
    return load(sample.audio).resampled(rate)


def _reconstruction(sample: Sample, audio: Audio, codes: Codes, decoded: Audio) -> Answer:
    return Answer(audio=_audio(decoded, sample.id), codes=codes_record(codes, audio))


def codes_record(codes: Codes, audio: Audio) -> CodesRecord:
    """The record of the `codes` of a recording. Raises `ValueError` for codes outside their codebook."""
    triples = zip(codes.codebooks, codes.frame_rates, codes.codebook_sizes, strict=True)
    return CodesRecord(seconds=round(audio.seconds, 6), codebooks=[_codebook(*triple) for triple in triples])


def _codebook(codes: object, rate: float, size: int) -> CodebookRecord:
    array = np.asarray(codes)
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"codes are whole numbers of shape [frames], not {array.dtype} {array.shape}")
    if array.size and not (array.min() >= 0 and array.max() < size):
        raise ValueError(f"codes from {array.min()} to {array.max()} are outside their codebook of {size}")
    used, counts = np.unique(array, return_counts=True)
    histogram = [(int(count), int(many)) for count, many in zip(*np.unique(counts, return_counts=True), strict=True)]
    return CodebookRecord(
        frames=len(array),
        frame_rate=float(rate),
        size=int(size),
        histogram=histogram,
        counts=counts_text(used, counts),
    )


def _converse(adapter: Any, samples: Sequence[Sample], seeds: Sequence[int], load: LoadAudio) -> list[Answer]:
    """The agent's channel of each conversation. Agents that answer from the references learn which one begins."""
    assert isinstance(adapter, DuplexAgent)
    answers = []
    for sample in samples:
        if isinstance(adapter, ReferenceAware):
            adapter.expect(sample.id)
        answers.append(Answer(audio=converse(adapter, user_channel(sample, load))))
    return answers


def _text(text: object) -> str:
    if not isinstance(text, str):
        raise TypeError(f"the model gave {type(text).__name__}, not a transcript")
    return text


def _audio(audio: object, sample_id: str) -> Audio | None:
    """A model's waveform, checked; None where it has no samples at all."""
    if not isinstance(audio, Audio):
        raise TypeError(f"the model gave {type(audio).__name__}, not Audio")
    if np.asarray(audio.samples).size == 0:
        return None
    return check_waveform(audio.samples, audio.rate, f"sample {sample_id}")


_BATCH: dict[str, Callable[..., list[Answer]]] = {
    "SpeechRecognizer": _recognize,
    "SpeechSynthesizer": _synthesize,
    "AudioLanguageModel": _reply,
    "AudioCodec": _reconstruct,
    "DuplexAgent": _converse,
}

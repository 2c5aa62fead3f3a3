"""How a sample becomes a request of each interface, and how a model's answer is checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from speech_eval.adapters.base import (
    AudioLanguageModel,
    ChatRequest,
    Codes,
    Speech,
    SpeechRecognizer,
    SynthesisRequest,
    TranscriptionRequest,
)
from speech_eval.audio import Audio, check_waveform
from speech_eval.metrics.codec.counts import counts_text
from speech_eval.records import (
    Ask,
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
class RawAnswer:
    """What a model gave for one request, before it is stored; the fields are those of `Output`."""

    text: str | None = None
    audio: Audio | None = None
    chunks: list[Chunk] | None = None
    seconds: float | None = None
    timing: Timing | None = None
    codes: CodesRecord | None = None
    token_model: TokenModelRecord | None = None
    speech_probabilities: SpeechProbabilities | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        """Whether nothing was said by a model that was to say something."""
        if self.token_model is not None and self.token_model.ended is None:
            return False
        return self.audio is None and not (self.text or "").strip()


# ------------------------------------------------------------------------------------------- recognition


def transcription_request(sample: Sample, seed: int, rate: int, load: LoadAudio) -> TranscriptionRequest:
    """The sample's recording at `rate` Hz, read when the adapter asks for it."""

    def audio() -> Audio:
        if sample.audio is None:
            raise ValueError("the dataset has no recording for this sample")
        return load(sample.audio).resampled(rate)

    return TranscriptionRequest(id=sample.id, load_audio=audio, language=sample.language, seed=seed)


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
        instruction=sample.metadata.get("instruction") or None,
    )


def speech_metadata(audio: object) -> Mapping[str, Any]:
    """What a synthesizer says of its answer beside the sound."""
    return audio.metadata if isinstance(audio, Speech) else {}


# ------------------------------------------------------------------------------- conversation and codecs


def chat_request(
    adapter: AudioLanguageModel,
    sample: Sample,
    seed: int,
    load: LoadAudio,
    ask: Ask = "speech",
    question: str | None = None,
) -> ChatRequest:
    """One user turn: the sample's recording if it has one and the model hears, else its prompt text; then the
    `question` about the recording, where there is one. Asked as `text`, no recording is given."""
    parts: list[dict[str, Any]] = []
    if sample.audio is not None and (ask == "transcript" or (ask == "speech" and adapter.reads_audio)):
        parts.append({"type": "audio", "audio": load(sample.audio).resampled(adapter.sample_rate)})
    elif question is None:
        parts.append({"type": "text", "text": sample.prompt_text or sample.text or ""})
    if question is not None:
        parts.append({"type": "text", "text": question})
    return ChatRequest(id=sample.id, messages=[{"role": "user", "content": parts}], seed=seed)


def _given(audio: Audio) -> Audio:
    return audio


def written(requests: Sequence[ChatRequest], recognizer: SpeechRecognizer, language: str) -> list[ChatRequest]:
    """The same conversations with what `recognizer` hears in place of each recording."""
    heard: dict[tuple[str, int, int], str] = {}
    for request in requests:
        for m, message in enumerate(request.messages):
            for p, part in enumerate(message["content"]):
                if part["type"] == "audio":
                    audio = part["audio"].resampled(recognizer.sample_rate)
                    asked = TranscriptionRequest(request.id, partial(_given, audio), language, request.seed)
                    heard[request.id, m, p] = checked_text(recognizer.transcribe([asked])[0])

    def parts(request: ChatRequest, m: int) -> list[dict[str, Any]]:
        return [
            {"type": "text", "text": heard[request.id, m, p]} if part["type"] == "audio" else dict(part)
            for p, part in enumerate(request.messages[m]["content"])
        ]

    return [
        replace(
            request, messages=[{**message, "content": parts(request, m)} for m, message in enumerate(request.messages)]
        )
        for request in requests
    ]


def recording(sample: Sample, rate: int, load: LoadAudio) -> Audio:
    """The sample's recording at `rate` Hz. Raises for a sample without one."""
    if sample.audio is None:
        raise ValueError(f"the dataset has no recording for sample {sample.id}")
    return load(sample.audio).resampled(rate)


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


def one_each(answers: object, requests: Sequence[object]) -> list[Any]:
    """A model's answers, one per request. Raises `TypeError` for no list, and `ValueError` for another number."""
    if isinstance(answers, str | bytes | Mapping) or not isinstance(answers, Iterable):
        raise TypeError(f"the model gave {type(answers).__name__}, not a list with one answer per request")
    found = list(answers)
    if len(found) != len(requests):
        raise ValueError(f"the model gave {len(found)} answers to {len(requests)} requests")
    return found


def checked_text(text: object) -> str:
    """A model's transcript. Raises `TypeError` for anything else."""
    if not isinstance(text, str):
        raise TypeError(f"the model gave {type(text).__name__}, not a transcript")
    return text


def checked_audio(audio: object, sample_id: str) -> Audio | None:
    """A model's waveform, checked; None where it has no samples at all."""
    if not isinstance(audio, Audio):
        raise TypeError(f"the model gave {type(audio).__name__}, not Audio")
    if np.asarray(audio.samples).size == 0:
        return None
    return check_waveform(audio.samples, audio.rate, f"sample {sample_id}")

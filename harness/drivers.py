"""How a sample becomes a request of each interface, and the model's answer an output. One driver an interface."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any

import numpy as np

from harness.adapters.base import (
    Adapter,
    AudioCodec,
    AudioLanguageModel,
    ChatRequest,
    Codes,
    DuplexAgent,
    SpeechRecognizer,
    SpeechSynthesizer,
    SynthesisRequest,
    TranscriptionRequest,
)
from harness.audio import Audio, check_waveform
from harness.duplex import converse, user_channel
from harness.types import Chunk, Sample

LoadAudio = Callable[[str], Audio]  # path relative to the dataset's root -> audio at its own rate


@dataclass(frozen=True)
class Answer:
    """What a model said to one request, before it is stored."""

    text: str | None = None
    audio: Audio | None = None
    chunks: list[Chunk] | None = None
    seconds: float | None = None
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        return self.audio is None and not (self.text or "").strip()


def answer_batch(
    interface: str, adapter: Adapter, samples: Sequence[Sample], seeds: Sequence[int], load: LoadAudio
) -> list[Answer]:
    """Ask the model once for all `samples`. Raises whatever the model raises, and on a wrong number of answers."""
    answers = _BATCH[interface](adapter, samples, seeds, load)
    if len(answers) != len(samples):
        raise RuntimeError(f"the model gave {len(answers)} answers to {len(samples)} requests")
    return answers


def answer_timed(interface: str, adapter: Adapter, sample: Sample, seed: int, load: LoadAudio) -> Answer:
    """Ask the model for one sample against its clock: streamed where the interface streams."""
    return _TIMED[interface](adapter, sample, seed, load)


# ------------------------------------------------------------------------------------------- recognition


def _transcription(sample: Sample, seed: int, rate: int, load: LoadAudio) -> TranscriptionRequest:
    def audio() -> Audio:
        if sample.audio is None:
            raise ValueError("the dataset has no recording for this sample")
        return load(sample.audio).resampled(rate)

    return TranscriptionRequest(id=sample.id, load_audio=audio, language=sample.language, seed=seed)


def _recognise(adapter: Any, samples: Sequence[Sample], seeds: Sequence[int], load: LoadAudio) -> list[Answer]:
    assert isinstance(adapter, SpeechRecognizer)
    requests = [_transcription(s, seed, adapter.sample_rate, load) for s, seed in zip(samples, seeds, strict=True)]
    return [Answer(text=_text(text)) for text in adapter.transcribe(requests)]


def _recognise_timed(adapter: Any, sample: Sample, seed: int, load: LoadAudio) -> Answer:
    assert isinstance(adapter, SpeechRecognizer)
    request = _transcription(sample, seed, adapter.sample_rate, load)
    if adapter.reads_audio:
        audio = request.audio  # reading the file is not the model's time
        request = TranscriptionRequest(sample.id, lambda: audio, sample.language, seed)
    start = adapter.clock.now()
    text = adapter.transcribe([request])[0]
    return Answer(text=_text(text), seconds=adapter.clock.now() - start)


# --------------------------------------------------------------------------------------------- synthesis


def _synthesis(sample: Sample, seed: int, load: LoadAudio) -> SynthesisRequest:
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


def _synthesise(adapter: Any, samples: Sequence[Sample], seeds: Sequence[int], load: LoadAudio) -> list[Answer]:
    assert isinstance(adapter, SpeechSynthesizer)
    requests = [_synthesis(s, seed, load) for s, seed in zip(samples, seeds, strict=True)]
    return [Answer(audio=_audio(audio, s.id)) for audio, s in zip(adapter.synthesize(requests), samples, strict=True)]


def _synthesise_timed(adapter: Any, sample: Sample, seed: int, load: LoadAudio) -> Answer:
    assert isinstance(adapter, SpeechSynthesizer)
    request = _synthesis(sample, seed, load)
    pieces: list[Audio] = []
    chunks: list[Chunk] = []
    start = adapter.clock.now()
    for piece in adapter.stream(request):
        chunks.append(Chunk(seconds=round(adapter.clock.now() - start, 6), frames=len(piece.samples)))
        pieces.append(piece)
    seconds = adapter.clock.now() - start
    if not any(len(piece.samples) for piece in pieces):
        return Answer(chunks=chunks, seconds=seconds)
    rates = {piece.rate for piece in pieces}
    if len(rates) != 1:
        raise ValueError(f"the stream changed its sample rate: {sorted(rates)}")
    whole = check_waveform(np.concatenate([p.samples for p in pieces]), rates.pop(), f"sample {sample.id}")
    return Answer(audio=whole, chunks=chunks, seconds=seconds)


# ------------------------------------------------------------------------------- conversation and codecs


def _reply(adapter: Any, samples: Sequence[Sample], seeds: Sequence[int], load: LoadAudio) -> list[Answer]:
    """One user turn a sample: its recording if it has one, else its prompt text."""
    assert isinstance(adapter, AudioLanguageModel)
    requests = []
    for sample, seed in zip(samples, seeds, strict=True):
        if sample.audio is not None and adapter.reads_audio:
            part: dict[str, Any] = {"type": "audio", "audio": load(sample.audio).resampled(adapter.sample_rate)}
        else:
            part = {"type": "text", "text": sample.prompt_text or sample.text or ""}
        requests.append(ChatRequest(id=sample.id, messages=[{"role": "user", "content": [part]}], seed=seed))
    replies = adapter.reply(requests)
    return [
        Answer(text=reply.text, audio=None if reply.audio is None else _audio(reply.audio, sample.id))
        for reply, sample in zip(replies, samples, strict=True)
    ]


def _reconstruct(adapter: Any, samples: Sequence[Sample], seeds: Sequence[int], load: LoadAudio) -> list[Answer]:
    assert isinstance(adapter, AudioCodec)
    audios = [_recording(sample, adapter.sample_rate, load) for sample in samples]
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
    audio = _recording(sample, adapter.sample_rate, load)
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


def _recording(sample: Sample, rate: int, load: LoadAudio) -> Audio:
    if sample.audio is None:
        raise ValueError(f"the dataset has no recording for sample {sample.id}")
    return load(sample.audio).resampled(rate)


def _reconstruction(sample: Sample, audio: Audio, codes: Codes, decoded: Audio) -> Answer:
    metadata = {"seconds": round(audio.seconds, 6), "codebooks": _codebooks(codes)}
    return Answer(audio=_audio(decoded, sample.id), metadata=metadata)


def _codebooks(codes: Codes) -> list[dict[str, Any]]:
    """One record a codebook: `frames`, `frame_rate` in Hz, `size`, and `histogram`, pairs [count, how many codes occur
    that often], which is all that entropy and usage depend on. Raises `ValueError` for codes outside their book."""
    records = []
    for book, rate, size in zip(codes.codebooks, codes.frame_rates, codes.codebook_sizes, strict=True):
        array = np.asarray(book)
        if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
            raise ValueError(f"codes are whole numbers of shape [frames], not {array.dtype} {array.shape}")
        if array.size and not (array.min() >= 0 and array.max() < size):
            raise ValueError(f"codes from {array.min()} to {array.max()} are outside their codebook of {size}")
        counts, codes_with = np.unique(np.unique(array, return_counts=True)[1], return_counts=True)
        histogram = np.stack([counts, codes_with], axis=1).tolist()
        record = {"frames": len(array), "frame_rate": float(rate), "size": int(size), "histogram": histogram}
        records.append(record)
    return records


def _converse(adapter: Any, samples: Sequence[Sample], seeds: Sequence[int], load: LoadAudio) -> list[Answer]:
    """The agent's channel of each conversation. An agent with `expect` is told whose turn comes (annotated doubles)."""
    assert isinstance(adapter, DuplexAgent)
    answers = []
    for sample in samples:
        if expect := getattr(adapter, "expect", None):
            expect(sample.id)
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


_BATCH: dict[str, Callable[[Any, Sequence[Sample], Sequence[int], LoadAudio], list[Answer]]] = {
    "SpeechRecognizer": _recognise,
    "SpeechSynthesizer": _synthesise,
    "AudioLanguageModel": _reply,
    "AudioCodec": _reconstruct,
    "DuplexAgent": _converse,
}
_TIMED: dict[str, Callable[[Any, Sample, int, LoadAudio], Answer]] = {
    "SpeechRecognizer": _recognise_timed,
    "SpeechSynthesizer": _synthesise_timed,
}

"""The plain strategy: ask for one answer per sample and keep it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from speech_eval.adapters.base import (
    Adapter,
    AudioCodec,
    AudioLanguageModel,
    ChatRequest,
    DuplexAgent,
    ReadsTranscripts,
    ReferenceAware,
    SpeechRecognizer,
    SpeechSynthesizer,
    WritesWords,
)
from speech_eval.engine.generate.conversation import converse, user_channel
from speech_eval.engine.generate.question import Question
from speech_eval.engine.generate.requests import (
    LoadAudio,
    RawAnswer,
    chat_request,
    checked_audio,
    checked_text,
    codes_record,
    one_each,
    recording,
    speech_metadata,
    synthesis_request,
    transcription_request,
    written,
)
from speech_eval.engine.generate.strategy import Ask, Batched, Work
from speech_eval.records import Ask as Way
from speech_eval.records import Sample

RECOGNIZER = "whisper-base"  # hears for a model that has no recognizer of its own, unless the user names one
Write = Callable[[Sequence[ChatRequest], Sequence[Sample]], list[ChatRequest]]


@dataclass(frozen=True)
class Answer(Batched):
    """One answer per sample.

    `max_new_tokens` is the longest reply of a language model. `question` is what it is asked about the recording;
    without it the recording itself asks.
    """

    max_new_tokens: int = ChatRequest.max_new_tokens
    question: Question | None = None

    changeable = True

    @property
    def spoken(self) -> bool:
        """Whether the recording asks, so that the prompt text says the same."""
        return self.question is None

    def prepare(self, work: Work) -> Ask:
        write = _writer(work) if work.task.ask == "transcript" else None
        if work.interface != "AudioLanguageModel":
            return partial(answers, work.interface, work.adapter)
        return partial(
            answers,
            work.interface,
            work.adapter,
            max_new_tokens=self.max_new_tokens,
            ask=work.task.ask,
            question=self.question,
            write=write,
        )


def _writer(work: Work) -> Write:
    """What puts transcripts in place of recordings: the model's own recognizer, else the one that the user names."""
    adapter = work.adapter
    if isinstance(adapter, ReadsTranscripts):
        return lambda requests, samples: adapter.written(requests)
    from speech_eval.engine.score import loaded_recognizer  # imports tasks, and thereby this module

    recognizer, _ = loaded_recognizer(work.recognizer or RECOGNIZER)

    def write(requests: Sequence[ChatRequest], samples: Sequence[Sample]) -> list[ChatRequest]:
        pairs = zip(requests, samples, strict=True)
        return [written([request], recognizer, sample.language)[0] for request, sample in pairs]

    return write


def answers(
    interface: str,
    adapter: Adapter,
    samples: Sequence[Sample],
    seeds: Sequence[int],
    load: LoadAudio,
    **options: Any,
) -> list[RawAnswer]:
    """Ask the model once for all `samples`. `options` are those of `_reply`, for a conversation model. Raises whatever
    the model raises, and on a wrong number of answers."""
    found = _ASK[interface](adapter, samples, seeds, load, **options)
    if len(found) != len(samples):
        raise RuntimeError(f"the model gave {len(found)} answers to {len(samples)} requests")
    return found


def _recognize(adapter: Any, samples: Sequence[Sample], seeds: Sequence[int], load: LoadAudio) -> list[RawAnswer]:
    assert isinstance(adapter, SpeechRecognizer)
    rate = adapter.sample_rate
    requests = [transcription_request(s, seed, rate, load) for s, seed in zip(samples, seeds, strict=True)]
    return [RawAnswer(text=checked_text(text)) for text in one_each(adapter.transcribe(requests), requests)]


def _synthesize(adapter: Any, samples: Sequence[Sample], seeds: Sequence[int], load: LoadAudio) -> list[RawAnswer]:
    assert isinstance(adapter, SpeechSynthesizer)
    requests = [synthesis_request(s, seed, load) for s, seed in zip(samples, seeds, strict=True)]
    spoken = one_each(adapter.synthesize(requests), requests)
    return [
        RawAnswer(audio=checked_audio(audio, sample.id), metadata=speech_metadata(audio))
        for audio, sample in zip(spoken, samples, strict=True)
    ]


def _reply(
    adapter: Any,
    samples: Sequence[Sample],
    seeds: Sequence[int],
    load: LoadAudio,
    max_new_tokens: int = ChatRequest.max_new_tokens,
    ask: Way = "speech",
    question: Question | None = None,
    write: Write | None = None,
) -> list[RawAnswer]:
    """`write` puts transcripts in place of the recordings, which are then kept with the answers."""
    assert isinstance(adapter, AudioLanguageModel)
    asked = [
        replace(
            chat_request(adapter, s, seed, load, ask, None if question is None else question.of(s)),
            max_new_tokens=max_new_tokens,
        )
        for s, seed in zip(samples, seeds, strict=True)
    ]
    if write is not None:
        asked = write(asked, samples)
    replies = one_each(adapter.reply(asked), asked)
    return [
        RawAnswer(
            text=reply.text,
            audio=None if reply.audio is None else checked_audio(reply.audio, sample.id),
            metadata={} if write is None else {"transcript": request.messages[0]["content"][0]["text"]},
        )
        for reply, sample, request in zip(replies, samples, asked, strict=True)
    ]


def _reconstruct(adapter: Any, samples: Sequence[Sample], seeds: Sequence[int], load: LoadAudio) -> list[RawAnswer]:
    assert isinstance(adapter, AudioCodec)
    audios = [recording(sample, adapter.sample_rate, load) for sample in samples]
    codes = one_each(adapter.encode(audios), audios)
    sound = one_each(adapter.decode(codes), codes)
    return [
        RawAnswer(audio=checked_audio(decoded, sample.id), codes=codes_record(code, audio))
        for sample, audio, code, decoded in zip(samples, audios, codes, sound, strict=True)
    ]


def _converse(adapter: Any, samples: Sequence[Sample], seeds: Sequence[int], load: LoadAudio) -> list[RawAnswer]:
    """The agent's channel of each conversation. A fake agent is told which conversation it is."""
    assert isinstance(adapter, DuplexAgent)
    found = []
    for sample in samples:
        if isinstance(adapter, ReferenceAware):
            adapter.expect(sample.id)
        audio = converse(adapter, user_channel(sample, load))
        words = adapter.words() if isinstance(adapter, WritesWords) else []
        said = {"words": [[word, round(start, 3)] for word, start in words]} if words else {}
        found.append(RawAnswer(audio=audio, metadata=said))
    return found


_ASK: dict[str, Callable[..., list[RawAnswer]]] = {
    "SpeechRecognizer": _recognize,
    "SpeechSynthesizer": _synthesize,
    "AudioLanguageModel": _reply,
    "AudioCodec": _reconstruct,
    "DuplexAgent": _converse,
}

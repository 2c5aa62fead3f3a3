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
    ReferenceAware,
    SpeechRecognizer,
    SpeechSynthesizer,
)
from speech_eval.engine.generate.conversation import converse, user_channel
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
)
from speech_eval.engine.generate.strategy import Ask, Batched, Work
from speech_eval.records import Sample


@dataclass(frozen=True)
class Answer(Batched):
    """One answer per sample. `max_new_tokens` is the longest reply of a language model."""

    max_new_tokens: int = ChatRequest.max_new_tokens

    def prepare(self, work: Work) -> Ask:
        return partial(answers, work.interface, work.adapter, max_new_tokens=self.max_new_tokens)


def answers(
    interface: str,
    adapter: Adapter,
    samples: Sequence[Sample],
    seeds: Sequence[int],
    load: LoadAudio,
    max_new_tokens: int = ChatRequest.max_new_tokens,
) -> list[RawAnswer]:
    """Ask the model once for all `samples`. Raises whatever the model raises, and on a wrong number of answers."""
    options = {"max_new_tokens": max_new_tokens} if interface == "AudioLanguageModel" else {}
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
    adapter: Any, samples: Sequence[Sample], seeds: Sequence[int], load: LoadAudio, max_new_tokens: int
) -> list[RawAnswer]:
    assert isinstance(adapter, AudioLanguageModel)
    asked = [chat_request(adapter, s, seed, load) for s, seed in zip(samples, seeds, strict=True)]
    replies = one_each(adapter.reply([replace(request, max_new_tokens=max_new_tokens) for request in asked]), asked)
    return [
        RawAnswer(text=reply.text, audio=None if reply.audio is None else checked_audio(reply.audio, sample.id))
        for reply, sample in zip(replies, samples, strict=True)
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
        found.append(RawAnswer(audio=converse(adapter, user_channel(sample, load))))
    return found


_ASK: dict[str, Callable[..., list[RawAnswer]]] = {
    "SpeechRecognizer": _recognize,
    "SpeechSynthesizer": _synthesize,
    "AudioLanguageModel": _reply,
    "AudioCodec": _reconstruct,
    "DuplexAgent": _converse,
}

"""Qwen2.5-Omni on transformers: answers in text and in speech."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from speech_eval.adapters.base import ChatReply, ChatRequest
from speech_eval.adapters.chat.audio_chat import AudioChat
from speech_eval.adapters.chat.families import Family, instruct
from speech_eval.adapters.chat.speech_processor import qwen25_omni
from speech_eval.adapters.checkpoints import seeded
from speech_eval.adapters.options import number
from speech_eval.audio import Audio
from speech_eval.errors import BadInput

SYSTEM = (
    "You are Qwen, a virtual human developed by the Qwen Team, Alibaba Group, capable of perceiving auditory and "
    "visual inputs, as well as generating text and speech."
)
RATE = 24_000  # of its speech
_CODES_PER_SECOND = 50


OMNI = Family(
    "Qwen2_5OmniForConditionalGeneration",
    instruct("Transcribe the audio into text. Answer with nothing but the transcript."),
    seconds=lambda processor: float(processor.feature_extractor.chunk_length),
    prepare=qwen25_omni,
)


class Omni(AudioChat):
    """`Qwen/Qwen2.5-Omni-7B` and kin. Replies are text and speech of `speaker`, at most `max_seconds` long;
    `speech=false` leaves the speech out. The system prompt that its speech needs is put before conversations without
    one.

    Other options are those of `AudioChat`. The talker samples as published, with the request's seed.
    """

    def __init__(
        self, path: str, speaker: str = "Chelsie", speech: bool = True, max_seconds: float = 60.0, **options: Any
    ) -> None:
        self._max_seconds = number("max_seconds", max_seconds, above=True, unit="seconds")
        super().__init__(path, **options)
        self._speech = speech and self._model.has_talker
        if self._speech:
            self._load_voices(path, speaker)
        self._speaker = speaker

    def _load_voices(self, path: str, speaker: str) -> None:
        voices = self._checkpoint.directory / "spk_dict.pt"
        if not voices.is_file():
            raise BadInput(f"{voices}: the voices are missing.", "Copy the file, or use speech=false.")
        self._model.load_speakers(voices)  # tensors only, no pickled code
        if speaker not in self._model.speaker_map:
            raise BadInput(
                f"{path} has no speaker '{speaker}'.", f"Use speaker={next(iter(self._model.speaker_map), 'Chelsie')}."
            )

    def _model_class(self) -> type[Any]:
        """The class without its own way of loading, which looks for the voices and cannot tell of missing weights."""
        from transformers import PreTrainedModel, Qwen2_5OmniForConditionalGeneration

        loader = {"from_pretrained": PreTrainedModel.__dict__["from_pretrained"]}
        return type(OMNI.model_class, (Qwen2_5OmniForConditionalGeneration,), loader)

    def _find_family(self, model_type: str, path: str) -> Family:
        return OMNI

    @property
    def _writer(self) -> Any:
        return self._model.thinker

    def _stated(self) -> dict[str, Any]:
        spoken = {"speaker": self._speaker, "max_seconds": self._max_seconds} if self._speech else {}
        return {"speech": self._speech, **spoken}

    def reply(self, requests: Sequence[ChatRequest]) -> list[ChatReply]:
        """One reply per request, with speech unless `speech=false`. Raises as `AudioChat.reply`."""
        told = [request if _has_system(request) else _with_system(request) for request in requests]
        return [self._spoken(request) for request in told] if self._speech else super().reply(told)

    def reply_stream(self, request: ChatRequest) -> Iterator[ChatReply]:
        """The text token by token, or the whole reply where it has speech, which begins after the text."""
        if self._speech:
            yield self.reply([request])[0]
        else:
            yield from super().reply_stream(request if _has_system(request) else _with_system(request))

    def _spoken(self, request: ChatRequest) -> ChatReply:
        inputs = self._conversation(request)
        length, new = inputs["input_ids"].shape[1], self._limit or request.max_new_tokens
        talker = self._model.config.talker_config
        settings = {f"thinker_{name}": value for name, value in self._settings.items()}
        with self._torch.inference_mode(), seeded(request.seed):
            ids, wave = self._model.generate(
                **self._placed(inputs),
                **settings,
                speaker=self._speaker,
                thinker_max_new_tokens=self._room(request.id, length, new),
                thinker_min_new_tokens=2,  # the talker needs a word to say
                talker_max_new_tokens=max(2, round(self._max_seconds * _CODES_PER_SECOND)),
                talker_eos_token_id=[talker.tts_codec_pad_token_id, talker.tts_codec_end_token_id],
            )
        text = self._plain(self._processor, ids[0, length:]).strip()
        return ChatReply(text, Audio(np.asarray(wave.float().cpu().numpy(), dtype=np.float32), RATE))


def _has_system(request: ChatRequest) -> bool:
    return any(message["role"] == "system" for message in request.messages)


def _with_system(request: ChatRequest) -> ChatRequest:
    system = {"role": "system", "content": [{"type": "text", "text": SYSTEM}]}
    return ChatRequest(request.id, [system, *request.messages], request.seed, request.max_new_tokens)

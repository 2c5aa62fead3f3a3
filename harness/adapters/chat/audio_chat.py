"""Audio language models of transformers: transcripts and answers through each family's processor and template."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from math import ceil
from typing import Any

import numpy as np

from speech_eval.adapters.base import (
    AudioLanguageModel,
    ChatReply,
    ChatRequest,
    SpeechRecognizer,
    TranscriptionRequest,
)
from speech_eval.adapters.chat import families
from speech_eval.adapters.chat.families import FAMILIES, Inputs, Question
from speech_eval.adapters.chat.generation import (
    generate,
    generate_stream,
    growing,
    pieces,
    place,
    room_for,
    sampling,
    stated,
)
from speech_eval.adapters.checkpoints import load_model, locate, need_template
from speech_eval.adapters.options import whole
from speech_eval.adapters.parts import load_part
from speech_eval.audio import Audio
from speech_eval.errors import BadAudio, BadInput, require
from speech_eval.records import ModelInfo

_TOKENS, _TOKENS_PER_SECOND = 128, 20  # of a transcript, where the user does not say


class AudioChat(SpeechRecognizer, AudioLanguageModel):
    """A checkpoint of a family in `families.FAMILIES`, such as Qwen2-Audio, Audio Flamingo 3, Granite Speech, Voxtral.

    As recognizer it is asked as its makers ask it, or with `prompt`, and decodes greedily up to 128 tokens and 20 per
    second of speech. Conversations go through its chat template, greedy at `temperature` 0, else sampled with the
    request's seed from the `top_k` likeliest tokens (0: all) within `top_p`. `max_new_tokens` overrides both limits.
    Requests run one by one, because padding and rounding in a batch would make an answer depend on the others.

    Audio that the family would cut is refused, and so is a prompt that leaves no room for an answer; an answer ends at
    the model's last position. The prompt of a transcription is kept in the manifest as the model sees it, each run of
    audio tokens written once.
    """

    def __init__(
        self,
        path: str,
        revision: str | None = None,
        dtype: str = "float32",
        device: str = "auto",
        prompt: str | None = None,
        max_new_tokens: int | None = None,
        temperature: float = 0.0,
        top_p: float = 1.0,
        top_k: int = 0,
        trust_remote_code: bool = False,
    ) -> None:
        self._torch = require("torch", "audio-chat")
        self._settings, self._greedy = sampling(temperature, top_p, top_k), sampling(0.0, 1.0, 0)
        self._limit = None if max_new_tokens is None else whole("max_new_tokens", max_new_tokens)
        self._prompt = prompt
        self._checkpoint = locate(path, revision, trust_remote_code=trust_remote_code)
        config = self._checkpoint.config()
        self._family = self._find_family(str(config.get("model_type")), path)
        self._family.check(self._checkpoint.directory, config)
        prepare = self._family.prepare or partial(load_part, "AutoProcessor", extra="audio-chat")
        self._processor = prepare(self._checkpoint.directory)
        if self._family.converse is None:
            need_template(self._processor, self._checkpoint.directory)
        self._model = load_model(
            self._model_class(),
            self._checkpoint,
            dtype=dtype,
            device=device,
            extra="audio-chat",
            trust_remote_code=trust_remote_code,
        )
        self._family.finish(self._model, self._checkpoint.directory)
        extractor = getattr(self._processor, "feature_extractor", None) or self._processor.audio_processor
        self.sample_rate = int(extractor.sampling_rate)

    def info(self) -> ModelInfo:
        settings = {"max_new_tokens": self._limit, **self._settings}
        shown = {"transcription_prompt": self._shown_prompt(), **self._stated()}
        return self._checkpoint.info(self._model, **stated(settings), **shown)

    def _stated(self) -> dict[str, Any]:
        """What else the manifest keeps."""
        return {}

    def _find_family(self, model_type: str, path: str) -> families.Family:
        if model_type not in FAMILIES:
            raise BadInput(f"{path}: audio-chat runs no '{model_type}'.", f"It runs {', '.join(FAMILIES)}.")
        return FAMILIES[model_type]

    def _model_class(self) -> str | type[Any]:
        return self._family.model_class

    def _shown_prompt(self) -> str:
        silence = Audio(np.zeros(self.sample_rate, np.float32), self.sample_rate)
        ids = self._family.transcription(self._processor, Question(silence, "en", self._prompt))["input_ids"]
        shown = families.collapsed(ids[0].tolist(), self._audio_token)
        return str(self._processor.tokenizer.decode(shown, skip_special_tokens=False))

    @property
    def _audio_token(self) -> int:
        known = getattr(self._writer.config, "audio_token_id", None)
        return int(self._processor.audio_token_id if known is None else known)

    @property
    def _writer(self) -> Any:
        """The part of the model that generates text."""
        return self._model

    def transcribe(self, requests: Sequence[TranscriptionRequest]) -> list[str]:
        """One transcript per request. Raises `BadInput` for audio longer than the family takes, and for a language
        that it does not know."""
        return [self._transcribe(request) for request in requests]

    def reply(self, requests: Sequence[ChatRequest]) -> list[ChatReply]:
        """One text reply per request. Raises `BadInput` for conversations that are too long or hold more recordings
        than the family takes."""
        return [ChatReply(text=self._answer(request)) for request in requests]

    def reply_stream(self, request: ChatRequest) -> Iterator[ChatReply]:
        """The same text token by token."""
        ids = generate_stream(*self._asked_in(request))
        for piece in pieces(growing(ids, lambda heard: self._plain(self._processor, heard).strip())):
            yield ChatReply(text=piece)

    def _transcribe(self, request: TranscriptionRequest) -> str:
        audio = request.audio
        new = self._limit or _TOKENS + ceil(_TOKENS_PER_SECOND * audio.seconds)
        ids = generate(*self._arguments(request.id, self._transcription(request), request.seed, new, self._greedy))
        read = self._family.read or self._plain
        return read(self._processor, ids).strip()

    def _transcription(self, request: TranscriptionRequest) -> Inputs:
        question = Question(self._heard(request.id, request.audio), request.language, self._prompt)
        return self._inputs(request.id, 1, self._family.transcription, question)

    def _answer(self, request: ChatRequest) -> str:
        return self._plain(self._processor, generate(*self._asked_in(request))).strip()

    def _asked_in(self, request: ChatRequest) -> tuple[Any, dict[str, Any], int, int, dict[str, Any]]:
        """A conversation as the arguments of `generate`."""
        inputs = self._conversation(request)
        new = self._limit or request.max_new_tokens
        return self._arguments(request.id, inputs, request.seed, new, self._settings)

    def _conversation(self, request: ChatRequest) -> Inputs:
        messages: families.Conversation = [
            {"role": str(message["role"]), "content": self._parts(request.id, message["content"])}
            for message in request.messages
        ]
        recordings = sum(part["type"] == "audio" for message in messages for part in message["content"])
        if recordings > self._family.recordings:
            raise BadInput(
                f"{request.id}: {self._checkpoint.name} takes {self._family.recordings} recording per conversation, "
                f"not {recordings}.",
                "Choose a task of single turns.",
            )
        return self._inputs(request.id, recordings, self._family.converse or families.converse, messages)

    def _parts(self, name: str, content: Any) -> list[dict[str, Any]]:
        if isinstance(content, str):
            return [{"type": "text", "text": content}]
        return [
            {"type": "audio", "audio": self._heard(name, part["audio"])} if part["type"] == "audio" else dict(part)
            for part in content
        ]

    def _heard(self, name: str, audio: Audio) -> Audio:
        audio, longest = audio.resampled(self.sample_rate), self._family.seconds(self._processor)
        if audio.seconds > longest:
            raise BadAudio(
                f"{name}: {audio.seconds:.1f} s of audio; {self._checkpoint.name} takes {longest:g} s and would cut "
                "the rest.",
                "Use shorter recordings, or a model that takes longer ones.",
            )
        return audio

    def _inputs(self, name: str, recordings: int, write: Any, asked: Any) -> Inputs:
        """The processor's tensors, with the placeholders of every recording in the prompt."""
        try:
            inputs: Inputs = write(self._processor, asked)
        except (ValueError, TypeError) as error:
            raise BadInput(f"{name}: the processor refuses the request ({error}).", "Check its language.") from error
        found = int((inputs["input_ids"] == self._audio_token).sum())
        if (found > 0) != (recordings > 0) or found < recordings:
            raise BadInput(
                f"{name}: {recordings} recordings became {found} audio tokens of the prompt.",
                "Check the chat template of the checkpoint, which must write the audio.",
            )
        return inputs

    def _arguments(
        self, name: str, inputs: Inputs, seed: int, new: int, settings: dict[str, Any]
    ) -> tuple[Any, dict[str, Any], int, int, dict[str, Any]]:
        room = self._room(name, inputs["input_ids"].shape[1], new)
        return self._writer, dict(inputs), seed, room, settings

    def _room(self, name: str, length: int, new: int) -> int:
        return room_for(name, length, new, self._writer.config)

    def _placed(self, inputs: Inputs) -> dict[str, Any]:
        return place(inputs, self._model)

    @staticmethod
    def _plain(processor: Any, ids: Any) -> str:
        return str(processor.tokenizer.decode(ids, skip_special_tokens=True))

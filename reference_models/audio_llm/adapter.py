"""An audio LLM of this project behind the harness's interfaces: transcripts, and conversations with recordings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speech_eval.adapters.base import (
    AudioLanguageModel,
    ChatReply,
    ChatRequest,
    SpeechRecognizer,
    TranscriptionRequest,
)
from speech_eval.adapters.checkpoints import choose_device, combined_digest, weights_digest
from speech_eval.adapters.options import number, whole
from speech_eval.audio import Audio, check_waveform
from speech_eval.errors import BadInput, require
from speech_eval.records import ModelInfo

if TYPE_CHECKING:
    from speech_eval.reference_models.audio_llm.generation import Decoding
    from speech_eval.reference_models.audio_llm.model import Example

_TOKENS, _TOKENS_PER_SECOND = 16, 8  # of a transcript at most
_BESIDE, _PER_TOKEN_HEARD = 4, 1.25  # of a transcript at most, where a CTC head says how many tokens were heard


class ReferenceAudioLLM(SpeechRecognizer, AudioLanguageModel):
    """A directory with `reference.json` of kind `audio-llm`.

    Transcripts are greedy, up to `max_new_tokens`; without it up to 16 tokens and 8 per second of speech, with a CTC
    head up to 4 tokens and 1.25 per token that it hears. Replies are greedy at `temperature` 0, else sampled with the
    request's seed within `top_p`. With `reading` `ctc`, a transcript is what the CTC head hears, without the LLM; with
    `hard`, its best tokens go into the LLM as text, the cascade that soft embeddings are compared with. English-only
    data make an English-only model: another language is refused.
    """

    batch_size = 8

    def __init__(
        self,
        path: str,
        reading: str = "soft",
        temperature: float = 0.0,
        top_p: float = 1.0,
        max_new_tokens: int | None = None,
        dtype: str = "float32",
        device: str = "auto",
    ) -> None:
        torch = require("torch", "audio-chat")
        require("transformers", "audio-chat")
        from speech_eval.adapters.options import choice
        from speech_eval.reference_models.audio_llm import building
        from speech_eval.reference_models.audio_llm.encoder import SpeechEncoder

        self._reading = choice("reading", reading, ("soft", "ctc", "hard"))
        self._temperature = number("temperature", temperature)
        self._top_p = number("top_p", top_p, 0.0, 1.0, above=True)
        self._most = None if max_new_tokens is None else whole("max_new_tokens", max_new_tokens)
        self._directory, where = Path(path), torch.device(choose_device(device))
        self._model, self._card = building.load(self._directory)
        section = self._model.config.encoder
        if self._reading != "soft" and self._model.ctc is None:
            raise BadInput(f"{path} has no CTC head.", "Leave out reading=.")
        self._encoder = SpeechEncoder(section.spec, section.layer, dtype)
        if section.weights_sha256 != self._encoder.weights_sha256:
            raise BadInput(
                f"{path} was trained with another {section.spec} ({section.weights_sha256[:12]}).",
                "Put the encoder's weights it was trained with in their place.",
            )
        self._model.to(where)
        self._encoder.to(where)

    def info(self) -> ModelInfo:
        from speech_eval.reference_models.training.checkpoint import WEIGHTS

        own, config = weights_digest([self._directory / WEIGHTS]), self._model.config
        parts = {"own": own, "encoder": config.encoder.weights_sha256, "llm": config.llm.weights_sha256}
        modules = (self._model, self._encoder)
        return ModelInfo(
            name=str(self._card.get("name", self._directory.resolve().name)),
            weights_sha256=combined_digest(parts),
            license=str(self._card.get("license", "")),
            parameters=sum(parameter.numel() for module in modules for parameter in module.parameters()),
            metadata={
                "reading": self._reading,
                "temperature": self._temperature,
                "encoder": config.encoder.spec,
                "llm": config.llm.spec,
                "prompt": self._model.prompter.prompt.ask,
            },
        )

    # ---------------------------------------------------------------------------------------- transcripts

    def transcribe(self, requests: Sequence[TranscriptionRequest]) -> list[str]:
        """One transcript per request. Raises `BadInput` for a language that it was not trained on, for audio that is
        longer than it takes, empty, or not finite."""
        if not requests:
            return []
        heard = self._heard([(request.id, self._speech(request)) for request in requests])
        if self._reading == "ctc":
            return [self._text(self._tokens(features)) for features in heard]
        from speech_eval.reference_models.audio_llm.generation import generate

        asked = [self._question(request.id, features) for request, features in zip(requests, heard, strict=True)]
        examples, rooms = [example for example, _ in asked], [room for _, room in asked]
        written = generate(self._model, examples, self._greedy(max(rooms)))
        return [self._text(ids[:room]) for ids, room in zip(written, rooms, strict=True)]

    def transcribe_stream(self, request: TranscriptionRequest) -> Iterator[str]:
        """The transcript as the LLM says it."""
        if self._reading == "ctc":
            yield self.transcribe([request])[0]
            return
        (features,) = self._heard([(request.id, self._speech(request))])
        example, room = self._question(request.id, features)
        text = ""
        for text in self._stream(example, self._greedy(room), 0):
            yield text.strip()
        if not text:
            yield ""

    def _speech(self, request: TranscriptionRequest) -> Audio:
        known = [str(language) for language in self._card.get("language", [])]
        from speech_eval.text import primary_language

        if known and primary_language(request.language) not in {primary_language(one) for one in known}:
            raise BadInput(
                f"{request.id}: {self._directory.name} was trained on {', '.join(known)}, not {request.language}.",
                "Choose data in that language.",
            )
        return request.audio

    def _question(self, name: str, features: Any) -> tuple[Example, int]:
        """How a transcript is asked for, and the most tokens that it may have."""
        from speech_eval.reference_models.audio_llm.model import Example
        from speech_eval.reference_models.audio_llm.prompts import as_text

        prompter = self._model.prompter
        room = _TOKENS + round(_TOKENS_PER_SECOND * len(features) / self._encoder.frame_rate)
        heard = None if self._model.ctc is None else self._tokens(features)
        if heard is not None:
            room = min(room, _BESIDE + round(_PER_TOKEN_HEARD * len(heard)))
        if self._reading == "hard" and heard is not None:
            said = prompter.segments(prompter.repetition(_PLACE, None), [self._text(heard)], after_examples=True)
            return Example(name, as_text(said), (), examples=True), self._most or room
        return Example(name, prompter.transcription(None), (features,), examples=True), self._most or room

    def _tokens(self, features: Any) -> list[int]:
        """What the CTC head hears."""
        torch = require("torch", "audio-chat")
        assert self._model.ctc is not None
        with torch.no_grad():
            (path,) = self._model.ctc.argmax(*self._model.frames([features]))
        return list(path)

    # ---------------------------------------------------------------------------------------- conversations

    def reply(self, requests: Sequence[ChatRequest]) -> list[ChatReply]:
        """One text reply per request, to any number of recordings and turns."""
        return [ChatReply(text="".join(piece.text or "" for piece in self.reply_stream(one))) for one in requests]

    def reply_stream(self, request: ChatRequest) -> Iterator[ChatReply]:
        """The reply as the LLM says it."""
        from speech_eval.reference_models.audio_llm.generation import Decoding

        decoding = Decoding(self._most or request.max_new_tokens, self._temperature, self._top_p)
        said = ""
        for text in self._stream(self._conversation(request), decoding, request.seed):
            if len(text) > len(said) and not text.endswith("\ufffd"):  # half of a character of several tokens
                yield ChatReply(text=text[len(said) :])
                said = text

    def _conversation(self, request: ChatRequest) -> Example:
        from speech_eval.reference_models.audio_llm.model import Example

        segments = self._model.prompter.segments(request.messages)
        audio = [
            (f"{request.id} (message {m})", part.get("audio"))
            for m, message in enumerate(request.messages)
            if not isinstance(message["content"], str)
            for part in message["content"]
            if part["type"] == "audio"
        ]
        return Example(request.id, segments, tuple(self._heard(audio)))

    def _heard(self, recordings: Sequence[tuple[str, Audio | None]]) -> list[Any]:
        """The encoder's features of each recording."""
        from speech_eval.reference_models.audio_llm.encoder import check_seconds

        waves = []
        for name, audio in recordings:
            if not isinstance(audio, Audio):
                raise BadInput(f"{name}: {type(audio).__name__} is no audio.", "Give an Audio: samples and their rate.")
            if audio.rate > 0:
                check_seconds(len(audio.samples) / audio.rate, self._model.config.longest_seconds, name)
            waves.append(check_waveform(audio.samples, audio.rate, name).resampled(self._encoder.rate).samples)
        found: list[Any] = self._encoder(waves, [name for name, _ in recordings])
        return found

    def _greedy(self, most: int) -> Decoding:
        from speech_eval.reference_models.audio_llm.generation import Decoding

        return Decoding(most)

    def _stream(self, example: Example, decoding: Decoding, seed: int) -> Iterator[str]:
        """The text so far, token by token."""
        from speech_eval.reference_models.audio_llm.generation import steps

        ids: list[int] = []
        for (token,) in steps(self._model, [example], decoding, [seed]):
            if token is not None:
                ids.append(token)
                yield self._model.text.tokenizer.decode(ids, skip_special_tokens=True)

    def _text(self, ids: Sequence[int]) -> str:
        return str(self._model.text.tokenizer.decode(list(ids), skip_special_tokens=True)).strip()


_PLACE = "<|audio|>"

"""A Thinker and its Talker behind the harness's interfaces: a voice for texts, and a partner that answers in speech."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from speech_eval.adapters import spec as modelspec
from speech_eval.adapters.base import (
    AudioLanguageModel,
    ChatReply,
    ChatRequest,
    Speech,
    SpeechRecognizer,
    SpeechSynthesizer,
    SynthesisRequest,
)
from speech_eval.adapters.chat.cascade import written_out
from speech_eval.adapters.checkpoints import choose_device, combined_digest, weights_digest
from speech_eval.adapters.options import number, whole
from speech_eval.audio import Audio
from speech_eval.errors import BadInput, SpeechEvalError, require
from speech_eval.records import ModelInfo

if TYPE_CHECKING:
    from speech_eval.reference_models.conversation.talker.thinker import Script
    from speech_eval.reference_models.speech_lm.interface import Generation


class Speaker:
    """A checkpoint directory of kind `talker`, its Thinker and its codec. `thinker` and `codec` name copies of them in
    other places."""

    def __init__(
        self,
        path: str,
        temperature: float = 0.7,
        top_p: float = 0.9,
        max_seconds: float | None = None,
        thinker: str | None = None,
        codec: str | None = None,
        device: str = "auto",
    ) -> None:
        require("torch", "tts")
        require("transformers", "tts")
        from speech_eval.reference_models.conversation.talker.model import Talker
        from speech_eval.reference_models.conversation.talker.thinker import Thinker
        from speech_eval.reference_models.speech_lm.codec_stream import SpeechCodec, load_codec
        from speech_eval.reference_models.speech_lm.sampling import Sampling

        self.directory = Path(path)
        model, self.card = Talker.load(self.directory)
        section, self.questions = model.config.codec, model.config.thinker.questions
        base = load_codec(codec or section.seen_from(self.directory))
        section.check_weights(base.info().weights_sha256, self.directory)
        self.codec = SpeechCodec(base, section.codebook_sizes, section.frame_rates)
        device = choose_device(device)
        listened = model.config.thinker
        self.thinker = Thinker(listened.model_copy(update={"path": thinker or listened.path}), device)
        self.model = model.to(device)
        tokens = None
        if max_seconds is not None:
            seconds = number("max_seconds", max_seconds, above=True, unit="seconds")
            tokens = max(1, round(seconds * self.codec.step_rate * model.tokenizer.tokens_per_step))
        self.sampling = Sampling(temperature=temperature, top_p=top_p, max_tokens=tokens)

    def speak(self, script: Script, name: str, seed: int, ended: list[Generation]) -> Iterator[Audio]:
        """The speech of a script as it is written; `ended` gets what was said. Raises `SpeechEvalError` for speech that
        the model's context cuts off."""
        from speech_eval.reference_models.conversation.talker.model import Speaking
        from speech_eval.reference_models.speech_lm.interface import Utterance
        from speech_eval.reference_models.speech_lm.sampling import generate_stream

        speaking, context = Speaking(self.model, script), self.model.tokenizer.context

        def parts() -> Iterator[Any]:
            asked = Utterance(name, "…", seed)  # the text is told on the way
            for books, complete in generate_stream(speaking, asked, self.sampling, self.codec.chunk):
                if complete is not None:
                    ended.append(complete)
                yield books

        yield from self.codec.stream(parts())
        if ended and not ended[0].stopped and len(ended[0].prompt) + len(ended[0].ids) >= context:
            raise SpeechEvalError(
                f"{name}: the speech does not end within the Talker's {context} positions.",
                "Ask for fewer words, or limit the speech: max_seconds.",
            )

    def info(self, **metadata: Any) -> ModelInfo:
        from speech_eval.reference_models.training.checkpoint import WEIGHTS

        own = weights_digest([self.directory / WEIGHTS])
        codec = self.codec.codec.info()
        return ModelInfo(
            spec="",
            name=str(self.card.get("name", self.directory.resolve().name)),
            interfaces=[],
            weights_sha256=combined_digest(
                {"talker": own, "thinker": self.thinker.digest, "codec": codec.weights_sha256}
            ),
            license=str(self.card.get("license", "")),
            parameters=sum(p.numel() for model in (self.model, self.thinker.model) for p in model.parameters()),
            metadata={
                "thinker": self.thinker.name,
                "codec": codec.name,
                "temperature": self.sampling.temperature,
                "top_p": self.sampling.top_p,
                **metadata,
            },
        )


class TalkerVoice(SpeechSynthesizer):
    """Texts, which the Thinker is given as if it had written them. Options are those of `Speaker`. It has one voice and
    ignores voice prompts."""

    def __init__(self, path: str, **options: Any) -> None:
        self._speaker = Speaker(path, **options)

    def info(self) -> ModelInfo:
        return self._speaker.info()

    def synthesize(self, requests: Sequence[SynthesisRequest]) -> list[Audio]:
        return [self._whole(request) for request in requests]

    def stream(self, request: SynthesisRequest) -> Iterator[Audio]:
        """The first chunk after the first few words; the Thinker has read the whole text by then."""
        from speech_eval.reference_models.conversation.talker.thinker import Script

        if not request.text.strip():
            raise BadInput(f"{request.id}: there is no text to speak.", "Give at least one word.")
        ended: list[Generation] = []
        script = Script(iter(self._speaker.thinker.say(request.text, self._speaker.questions[0])))
        last: Audio | None = None
        for audio in self._speaker.speak(script, request.id, request.seed, ended):
            if last is not None:
                yield last
            last = audio
        if last is not None:
            yield Speech(last.samples, last.rate, ended[0].report())

    def _whole(self, request: SynthesisRequest) -> Audio:
        chunks = list(self.stream(request))
        samples = np.concatenate([chunk.samples for chunk in chunks] or [np.zeros(0, np.float32)])
        report = chunks[-1].metadata if chunks and isinstance(chunks[-1], Speech) else {}
        return Speech(samples, self._speaker.codec.sample_rate, report)


class ThinkerTalker(AudioLanguageModel):
    """Conversations, answered in text and speech: the Talker begins when the Thinker has written its first words.

    Recordings reach the Thinker as what the recognizer `asr`, a model spec, hears in `language`. `max_new_tokens`
    overrides the request's. Other options are those of `Speaker`.
    """

    def __init__(
        self,
        path: str,
        asr: str = "whisper-tiny.en",
        language: str = "en",
        max_new_tokens: int | None = None,
        **options: Any,
    ) -> None:
        self._speaker, self._language = Speaker(path, **options), language
        self._most = None if max_new_tokens is None else whole("max_new_tokens", max_new_tokens)
        recognizer = modelspec.resolve(asr).build()
        if not isinstance(recognizer, SpeechRecognizer):
            raise BadInput(f"asr={asr} is not a recognizer.", "Give one, such as asr=whisper-tiny.en.")
        self._asr, self.sample_rate = recognizer, recognizer.sample_rate

    def info(self) -> ModelInfo:
        return self._speaker.info(asr=self._asr.info().name, language=self._language)

    def close(self) -> None:
        self._asr.close()

    def reply(self, requests: Sequence[ChatRequest]) -> list[ChatReply]:
        return [self._whole(request) for request in requests]

    def written(self, requests: Sequence[ChatRequest]) -> list[ChatRequest]:
        """The same conversations with the transcript in place of each recording."""
        return written_out(requests, self._asr.transcribe, self._asr.sample_rate, self._language)

    def reply_stream(self, request: ChatRequest) -> Iterator[ChatReply]:
        """The first words, then speech with the words that were written meanwhile."""
        from speech_eval.reference_models.conversation.talker.thinker import Script

        speaker, (asked,) = self._speaker, self.written([request])
        most = self._most or request.max_new_tokens
        script = Script(speaker.thinker.write(request.id, asked.messages, most))
        given = ""

        def more() -> str:
            nonlocal given
            text = speaker.thinker.text(script.thoughts)
            new, given = text[len(given) :], text
            return new

        if not script.reach(speaker.model.config.lead):
            return  # the Thinker has nothing to say
        yield ChatReply(text=more())
        for audio in speaker.speak(script, request.id, request.seed, []):
            yield ChatReply(text=more() or None, audio=audio)
        script.reach()
        if rest := more():
            yield ChatReply(text=rest)

    def _whole(self, request: ChatRequest) -> ChatReply:
        pieces = list(self.reply_stream(request))
        heard = [piece.audio.samples for piece in pieces if piece.audio is not None]
        audio = Audio(np.concatenate(heard), self._speaker.codec.sample_rate) if heard else None
        return ChatReply(text="".join(piece.text or "" for piece in pieces), audio=audio)

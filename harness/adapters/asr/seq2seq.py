"""Recognizers of transformers with an encoder and a decoder of their own: Moonshine, Canary, Cohere ASR, and what those
that stream share with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from speech_eval.adapters.base import SpeechRecognizer, TranscriptionRequest
from speech_eval.adapters.chat.generation import place
from speech_eval.adapters.checkpoints import load_model, locate, need_template, seeded
from speech_eval.adapters.options import whole
from speech_eval.adapters.parts import load_part
from speech_eval.audio import Audio
from speech_eval.errors import BadInput, require
from speech_eval.records import ModelInfo
from speech_eval.text import primary_language

Inputs = Mapping[str, Any]


def _plain(processor: Any, audio: Audio, language: str) -> Inputs:
    return processor(audio=audio.samples, sampling_rate=audio.rate, return_tensors="pt")  # type: ignore[no-any-return]


def _canary(processor: Any, audio: Audio, language: str) -> Inputs:
    return processor.apply_transcription_request(audio.samples, source_language=language)  # type: ignore[no-any-return]


def _cohere(processor: Any, audio: Audio, language: str) -> Inputs:
    return processor(audio.samples, language=language, sampling_rate=audio.rate, return_tensors="pt")  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Family:
    """One `model_type`: its class, how it is asked, whether the decoder's prompt stands before the answer, and how many
    tokens per second an answer may have (0: the model ends with the audio)."""

    model_class: str
    ask: Callable[[Any, Audio, str], Inputs] = _plain
    tokens_per_second: float = 20.0


FAMILIES: Mapping[str, Family] = {
    "moonshine": Family("MoonshineForConditionalGeneration", tokens_per_second=6.5),
    "moonshine_streaming": Family("MoonshineStreamingForConditionalGeneration", tokens_per_second=6.5),
    "kyutai_speech_to_text": Family("KyutaiSpeechToTextForConditionalGeneration", tokens_per_second=0),
    "canary": Family("CanaryForConditionalGeneration", _canary),
    "cohere_asr": Family("CohereAsrForConditionalGeneration", _cohere),
}


class Seq2Seq(SpeechRecognizer):
    """A checkpoint of a family in `FAMILIES`, greedy, one recording at a time. Canary and Cohere ASR are told the
    request's language; the others know their own. Moonshine ends after 6.5 tokens per second, as its makers advise.
    """

    def __init__(
        self,
        path: str,
        revision: str | None = None,
        dtype: str = "float32",
        device: str = "auto",
        max_new_tokens: int | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        self._torch = require("torch", "asr")
        self._limit = None if max_new_tokens is None else whole("max_new_tokens", max_new_tokens)
        self._checkpoint = locate(path, revision, trust_remote_code=trust_remote_code)
        model_type = str(self._checkpoint.config().get("model_type"))
        if model_type not in FAMILIES:
            raise BadInput(f"{path}: no such recognizer as '{model_type}'.", f"These run: {', '.join(FAMILIES)}.")
        self._family = FAMILIES[model_type]
        self._processor = load_part("AutoProcessor", self._checkpoint.directory)
        if self._family.ask is _canary:
            need_template(self._processor, self._checkpoint.directory)
        self._model = load_model(self._family.model_class, self._checkpoint, dtype=dtype, device=device, extra="asr")
        self.sample_rate = int(self._processor.feature_extractor.sampling_rate)

    def info(self) -> ModelInfo:
        limit = {} if self._limit is None else {"max_new_tokens": self._limit}
        return self._checkpoint.info(self._model, decoding="greedy", **limit)

    def transcribe(self, requests: Sequence[TranscriptionRequest]) -> list[str]:
        """One transcript per request. Raises `BadInput` for a language that the model does not know."""
        return [self._hear(request, request.audio) for request in requests]

    def _inputs(self, request: TranscriptionRequest, audio: Audio | None = None) -> dict[str, Any]:
        heard = request.audio if audio is None else audio
        try:
            return dict(self._family.ask(self._processor, heard, primary_language(request.language)))
        except ValueError as error:
            raise BadInput(
                f"{request.id}: the processor refuses the request ({error}).", "Check its language."
            ) from error

    def _hear(self, request: TranscriptionRequest, audio: Audio) -> str:
        """The transcript of `audio`, in the language of the request."""
        inputs = self._inputs(request, audio)
        chunks = inputs.pop("audio_chunk_index", None)
        new = self._limit or ceil(self._family.tokens_per_second * audio.seconds) or None
        length = {} if new is None else {"max_new_tokens": max(new, 2)}
        with self._torch.inference_mode(), seeded(0):
            ids = self._model.generate(**place(inputs, self._model), do_sample=False, num_beams=1, **length)
        prompt = inputs["decoder_input_ids"].shape[1] if "decoder_input_ids" in inputs else 0
        texts = [str(text).strip() for text in self._processor.batch_decode(ids[:, prompt:], skip_special_tokens=True)]
        separator = "" if primary_language(request.language) in ("zh", "ja") else " "
        return separator.join(texts) if chunks is not None else texts[0]

"""Voxtral Realtime on transformers: a recognizer that writes while it listens, a fixed delay behind the speech."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from speech_eval.adapters.asr.live import Pace
from speech_eval.adapters.base import SpeechRecognizer, TranscriptionRequest
from speech_eval.adapters.chat.generation import growing
from speech_eval.adapters.checkpoints import load_model, locate
from speech_eval.adapters.parts import load_part
from speech_eval.audio import Samples
from speech_eval.errors import require
from speech_eval.records import ModelInfo


class VoxtralRealtime(SpeechRecognizer):
    """`mistralai/Voxtral-Mini-4B-Realtime-2602` and kin. For each 80 ms of speech it writes one token, which may be
    none, `delay_seconds` behind; the delay is in its tekken.json and in the manifest. It finds the language by itself.

    Whole recordings go the same way as streams, step by step, so both give the same text. A recording ends with
    silence, as its makers pad it, so that the last words come out. With `realtime`, a stream hears no faster than the
    recording was spoken, so that its latencies are those of a live microphone.
    """

    def __init__(
        self,
        path: str,
        revision: str | None = None,
        dtype: str = "float32",
        device: str = "auto",
        realtime: bool = False,
        trust_remote_code: bool = False,
    ) -> None:
        self._realtime = realtime
        self._torch = require("torch", "audio-chat")
        require("mistral_common", "audio-chat", "mistral-common")
        self._checkpoint = locate(path, revision, trust_remote_code=trust_remote_code)
        self._processor = load_part("AutoProcessor", self._checkpoint.directory, extra="audio-chat")
        self._model = load_model(
            "VoxtralRealtimeForConditionalGeneration", self._checkpoint, dtype=dtype, device=device, extra="audio-chat"
        )
        self.sample_rate = int(self._processor.feature_extractor.sampling_rate)
        self._samples_per_token = int(self._processor.raw_audio_length_per_tok)

    def info(self) -> ModelInfo:
        delay = self._processor.num_delay_tokens * self._samples_per_token / self.sample_rate
        return self._checkpoint.info(self._model, decoding="greedy", delay_seconds=delay, realtime=self._realtime)

    def transcribe(self, requests: Sequence[TranscriptionRequest]) -> list[str]:
        """One transcript per request."""
        return [self._text(list(self._tokens(request.audio.samples))) for request in requests]

    def transcribe_stream(self, request: TranscriptionRequest) -> Iterator[str]:
        """The transcript so far whenever it has grown, and at the end."""
        tokens = self._tokens(request.audio.samples, Pace(self.clock) if self._realtime else None)
        yield from growing(tokens, self._text)

    def _text(self, tokens: list[int]) -> str:
        return str(self._processor.tokenizer.decode(tokens, skip_special_tokens=True)).strip()

    def _tokens(self, wave: Samples, pace: Pace | None = None) -> Iterator[int]:
        """One token per step; each depends on the audio up to its own step alone."""
        state: dict[str, Any] = {}
        token = -1
        for heard, inputs in self._steps(wave):
            if pace is not None:
                pace.wait(min(heard, len(wave)) / self.sample_rate)
            ids = inputs.get("input_ids")
            with self._torch.inference_mode():
                out = self._model(
                    input_ids=self._torch.tensor([[token]], device=self._model.device) if ids is None else ids,
                    input_features=inputs["input_features"].to(self._model.device, self._model.dtype),
                    num_delay_tokens=self._processor.num_delay_tokens,
                    use_cache=True,
                    **state,
                )
            state = {
                "past_key_values": out.past_key_values,
                "encoder_past_key_values": out.encoder_past_key_values,
                "padding_cache": out.padding_cache,
            }
            token = int(out.logits[0, -1].argmax())
            yield token

    def _steps(self, wave: Samples) -> Iterator[tuple[int, dict[str, Any]]]:
        """How many samples are heard by each step, and its inputs: the prompt with the first audio, then more audio."""
        processor, extractor = self._processor, self._processor.feature_extractor
        first, step = processor.num_samples_first_audio_chunk, processor.num_samples_per_audio_chunk
        silence = processor.num_right_pad_tokens * self._samples_per_token
        whole = np.pad(wave, (0, silence + -len(wave) % self._samples_per_token))
        whole = np.pad(whole, (0, max(0, first - len(whole))))
        prompt = processor(whole[:first], is_streaming=True, is_first_audio_chunk=True, return_tensors="pt")
        ids = prompt["input_ids"].to(self._model.device)
        yield first, {"input_ids": ids, "input_features": prompt["input_features"]}
        frame = processor.num_mel_frames_first_audio_chunk
        while (start := frame * extractor.hop_length - extractor.win_length // 2) + step <= len(whole):
            more = whole[start : start + step]
            inputs = processor(more, is_streaming=True, is_first_audio_chunk=False, return_tensors="pt")
            yield start + step, dict(inputs)
            frame += processor.audio_length_per_tok

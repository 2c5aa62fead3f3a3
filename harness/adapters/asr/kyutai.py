"""Kyutai STT on transformers: a recognizer that writes one token per frame of 80 ms while it listens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from speech_eval.adapters.asr.live import Pace
from speech_eval.adapters.asr.seq2seq import Seq2Seq
from speech_eval.adapters.base import TranscriptionRequest
from speech_eval.adapters.chat.generation import growing, place, stream_ids
from speech_eval.adapters.checkpoints import seeded
from speech_eval.records import ModelInfo


class KyutaiSTT(Seq2Seq):
    """`kyutai/stt-2.6b-en-trfs` and kin. A token, which may be none, follows each frame of speech; the words come
    `delay_seconds` later, as the checkpoint states and the manifest keeps.

    Whole recordings go the same way as streams, frame by frame, so both give the same text. With `realtime`, a stream
    hears no faster than the recording was spoken, so that its latencies are those of a live microphone.
    """

    def __init__(self, path: str, realtime: bool = False, **options: Any) -> None:
        super().__init__(path, **options)
        self._realtime = realtime
        self._model.generation_config.audio_window_size = 1  # frames that are encoded at once
        extractor = self._processor.feature_extractor
        self._silence = float(extractor.audio_silence_prefix_seconds or 0)
        self._delay = float(extractor.audio_delay_seconds or 0)

    def info(self) -> ModelInfo:
        told = super().info()
        more = {"delay_seconds": self._delay, "realtime": self._realtime}
        return told.model_copy(update={"metadata": {**told.metadata, **more}})

    def transcribe(self, requests: Sequence[TranscriptionRequest]) -> list[str]:
        """One transcript per request."""
        return [self._text(list(self._tokens(request, None))) for request in requests]

    def transcribe_stream(self, request: TranscriptionRequest) -> Iterator[str]:
        """The transcript so far whenever it has grown, and at the end."""
        yield from growing(self._tokens(request, Pace(self.clock) if self._realtime else None), self._text)

    def _text(self, tokens: list[int]) -> str:
        return str(self._processor.tokenizer.decode(tokens, skip_special_tokens=True)).strip()

    def _tokens(self, request: TranscriptionRequest, pace: Pace | None) -> Iterator[int]:
        inputs = place(self._inputs(request), self._model)
        frame = self._model.config.frame_size / self.sample_rate
        spoken = request.audio.seconds

        def heed(count: int) -> None:
            """The first step hears nothing, each other one the frame after; silence stands before the speech."""
            if pace is not None:
                pace.wait(min(max(0.0, count * frame - self._silence), spoken))

        def run(streamer: Any, stopping: Any) -> None:
            length = {} if self._limit is None else {"max_new_tokens": self._limit}
            encoding = _frame_by_frame(self._model.codec_model, inputs["input_values"], self._model.config.frame_size)
            with self._torch.inference_mode(), seeded(0), encoding:
                self._model.generate(
                    **inputs, **length, do_sample=False, num_beams=1, streamer=streamer, stopping_criteria=stopping
                )

        return stream_ids(run, heed)


@contextmanager
def _frame_by_frame(codec: Any, wave: Any, size: int) -> Iterator[None]:
    """Within it, each call of the codec encodes the next `size` samples of `wave` as what follows those before.
    Generation hands over its first frame twice, and each one without the state that Mimi needs for the codes of the
    whole."""
    encode, frames = codec.encode, iter(wave.split(size, dim=-1))
    state: dict[str, Any] = {}

    def encode_next(values: Any, **given: Any) -> Any:
        heard = encode(next(frames), use_streaming=True, **state)
        state.update(padding_cache=heard.padding_cache, encoder_past_key_values=heard.encoder_past_key_values)
        return heard

    codec.encode = encode_next
    try:
        yield
    finally:
        del codec.encode

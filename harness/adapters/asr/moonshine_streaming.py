"""Moonshine streaming on transformers: an encoder that needs little of the future, and a decoder that starts anew."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from speech_eval.adapters.asr.live import Pace
from speech_eval.adapters.asr.seq2seq import Seq2Seq
from speech_eval.adapters.base import TranscriptionRequest
from speech_eval.adapters.options import number
from speech_eval.audio import Audio
from speech_eval.records import ModelInfo


class MoonshineStreaming(Seq2Seq):
    """`UsefulSensors/moonshine-streaming-tiny` and kin. A stream is decoded anew after every `step_seconds` of speech,
    from its beginning, since the decoder reads all that the encoder heard; the last text is that of the whole
    recording. With `realtime`, it hears no faster than the recording was spoken."""

    def __init__(self, path: str, step_seconds: float = 0.5, realtime: bool = False, **options: Any) -> None:
        self._step = number("step_seconds", step_seconds, 0.02, 60, unit="seconds")
        self._realtime = realtime
        super().__init__(path, **options)

    def info(self) -> ModelInfo:
        told = super().info()
        more = {"step_seconds": self._step, "realtime": self._realtime}
        return told.model_copy(update={"metadata": {**told.metadata, **more}})

    def transcribe_stream(self, request: TranscriptionRequest) -> Iterator[str]:
        """The transcript of what has been heard, after every step in which it has changed, and of the whole."""
        audio, pace, said = request.audio, Pace(self.clock) if self._realtime else None, ""
        step = round(self._step * audio.rate)
        for end in range(step, len(audio.samples), step):
            if pace is not None:
                pace.wait(end / audio.rate)
            text = self._hear(request, Audio(audio.samples[:end], audio.rate))
            if text != said:
                said = text
                yield said
        if pace is not None:
            pace.wait(audio.seconds)
        yield self._hear(request, audio)

"""The turn oracle: a fake duplex agent that knows when the user's turn ends. No agent takes turns better."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from speech_eval.adapters.base import LoadReference
from speech_eval.adapters.duplex.recorded_reply import RecordedReply
from speech_eval.adapters.options import number
from speech_eval.audio import Audio, Samples
from speech_eval.errors import BadInput
from speech_eval.records import ModelInfo, Sample


class TurnOracle(RecordedReply):
    """Takes every turn `delay` seconds after its annotated end, whatever it hears."""

    def __init__(self, delay: float = 0.2, chunk_seconds: float = 0.08, reply: str | None = None) -> None:
        super().__init__(chunk_seconds, reply)
        self.delay = number("delay", delay, 0.0, 60.0, unit="seconds")
        self._samples: Mapping[str, Sample] = {}
        self._channel: Samples = np.zeros(0, dtype=np.float32)
        self.reset()

    def info(self) -> ModelInfo:
        return ModelInfo(
            name=f"turn oracle, delay {self.delay:g} s",
            revision="1",
            license="Apache-2.0",
            metadata={"delay": self.delay, "chunk_seconds": self.chunk_seconds},
        )

    def bind(self, samples: Mapping[str, Sample], load_reference: LoadReference) -> None:
        self._samples = samples

    def expect(self, sample_id: str) -> None:
        start = float(self._samples[sample_id].metadata["turn_end"]) + self.delay - self.chunk_seconds
        if start < 0:
            raise BadInput(f"{sample_id}: the turn ends within the first chunk.", "Give a longer user channel.")
        self._channel = np.concatenate([np.zeros(round(start * self.sample_rate), dtype=np.float32), self.reply])

    def reset(self) -> None:
        self._at = 0

    def step(self, user_chunk: Audio) -> Audio:
        # The audio returned for this chunk is heard one chunk later; `expect` starts one chunk earlier for that.
        size = len(user_chunk.samples)
        said = self._channel[self._at : self._at + size]
        self._at += size
        return self.chunk(said)

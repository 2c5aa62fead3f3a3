"""Two duplex agents whose turn taking is known: one waits for silence, one knows when the turn ends.

Both say the same recording. They measure the task and mark its ends: what an endpointer with nothing but a timeout
reaches, and what nobody beats.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from speech_eval.adapters.base import DuplexAgent
from speech_eval.assets import store as assets
from speech_eval.audio import Audio, Samples, load
from speech_eval.errors import BadInput
from speech_eval.records import ModelInfo, Sample
from speech_eval.signal import vad
from speech_eval.signal.timeout_rule import TimeoutRule

_REPLY_ASSET = "librivox-pocketsphinx"
_REPLY_FILE = "sense_and_sensibility_01_austen_64kb-0880.wav"
_REPLY_ONSET = 0.256  # where the reader begins in that file


class _Speaker(DuplexAgent):
    """Says a reply of about two and a half seconds of recorded speech, chunk by chunk."""

    def __init__(self, chunk_seconds: float = 0.08, reply: str | None = None) -> None:
        if not isinstance(chunk_seconds, int | float) or not 0.01 <= chunk_seconds <= 1.0:
            raise BadInput(f"chunk_seconds={chunk_seconds} is no chunk of a stream.", "Give 0.01 to 1 s.")
        self.chunk_seconds = float(chunk_seconds)
        if reply is None:
            spoken = load(assets.ensure(_REPLY_ASSET) / _REPLY_FILE, self.sample_rate).samples
            self.reply: Samples = spoken[round(_REPLY_ONSET * self.sample_rate) :]
        else:
            self.reply = load(reply, self.sample_rate).samples

    def _chunk(self, samples: Samples) -> Audio:
        size = round(self.chunk_seconds * self.sample_rate)
        return Audio(np.pad(samples, (0, size - len(samples))), self.sample_rate)


class VadTimeout(_Speaker):
    """Takes the turn once Silero VAD has heard no speech for `timeout` seconds, and stops when the user speaks.

    The rule is `speech_eval.signal.timeout_rule.TimeoutRule`, so a sweep over speech probabilities predicts this agent.
    """

    def __init__(
        self, timeout: float = 0.7, threshold: float = 0.5, chunk_seconds: float = 0.08, reply: str | None = None
    ) -> None:
        super().__init__(chunk_seconds, reply)
        self.timeout, self.threshold = float(timeout), float(threshold)
        self._rule = TimeoutRule(self.threshold, self.timeout, vad.FRAME_SECONDS)
        self._vad = vad.SileroVAD()
        self.reset()

    def info(self) -> ModelInfo:
        asset = assets.ASSETS["silero-vad"]
        return ModelInfo(
            spec="",
            name=f"Silero VAD, timeout {self.timeout:g} s",
            interfaces=[],
            revision=f"silero-vad {asset.packages[0].version}",
            weights_sha256=vad.weights_sha256(),
            license=asset.license,
            metadata={"timeout": self.timeout, "threshold": self.threshold, "chunk_seconds": self.chunk_seconds},
        )

    def reset(self) -> None:
        self._vad.reset()
        self._rule.reset()
        self._left: Samples = self.reply[:0]

    def speech_probabilities(self, user: Audio) -> tuple[vad.Probabilities, float]:
        """What the decisions are made of: speech probability of each frame [frames], and the seconds of a frame."""
        return vad.probabilities(user), vad.FRAME_SECONDS

    def step(self, user_chunk: Audio) -> Audio:
        for probability in self._vad.push(user_chunk.samples):
            if probability >= self.threshold:
                self._left = self.reply[:0]
            if self._rule.step(probability):
                self._left = self.reply
        size = round(self.chunk_seconds * self.sample_rate)
        said, self._left = self._left[:size], self._left[size:]
        return self._chunk(said)


class TurnOracle(_Speaker):
    """Takes every turn `delay` seconds after its annotated end, whatever it hears."""

    def __init__(self, delay: float = 0.2, chunk_seconds: float = 0.08, reply: str | None = None) -> None:
        super().__init__(chunk_seconds, reply)
        if not isinstance(delay, int | float) or not 0.0 <= delay <= 60.0:
            raise BadInput(f"delay={delay} is not a delay.", "Give seconds, such as delay=0.2.")
        self.delay = float(delay)
        self._samples: Mapping[str, Sample] = {}
        self._channel: Samples = np.zeros(0, dtype=np.float32)
        self.reset()

    def info(self) -> ModelInfo:
        return ModelInfo(
            spec="",
            name=f"turn oracle, delay {self.delay:g} s",
            interfaces=[],
            revision="1",
            license="Apache-2.0",
            metadata={"delay": self.delay, "chunk_seconds": self.chunk_seconds},
        )

    def bind(self, references: Mapping[str, Sample]) -> None:
        """Give the annotated samples by id; the runner calls this before it generates."""
        self._samples = references

    def expect(self, sample_id: str) -> None:
        """Say whose turn comes next; the duplex driver calls this before `reset`."""
        start = float(self._samples[sample_id].metadata["turn_end"]) + self.delay - self.chunk_seconds
        if start < 0:
            raise BadInput(f"{sample_id}: the turn ends within the first chunk.", "Give a longer user channel.")
        self._channel = np.concatenate([np.zeros(round(start * self.sample_rate), dtype=np.float32), self.reply])

    def reset(self) -> None:
        self._at = 0

    def step(self, user_chunk: Audio) -> Audio:
        # What is returned for this chunk is heard one chunk later, hence the chunk taken off in `expect`.
        size = len(user_chunk.samples)
        said = self._channel[self._at : self._at + size]
        self._at += size
        return self._chunk(said)

"""A duplex agent that takes the turn after a silence: what an endpointer with nothing but a timeout reaches."""

from __future__ import annotations

from speech_eval.adapters.duplex.recorded_reply import RecordedReply
from speech_eval.assets import store as assets
from speech_eval.audio import Audio, Samples
from speech_eval.records import ModelInfo
from speech_eval.signal import vad
from speech_eval.signal.timeout_rule import TimeoutRule


class VadTimeout(RecordedReply):
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
            name=f"Silero VAD, timeout {self.timeout:g} s",
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
        """The speech probability of each frame [frames] and the duration of a frame in seconds."""
        return vad.probabilities(user), vad.FRAME_SECONDS

    def step(self, user_chunk: Audio) -> Audio:
        for probability in self._vad.push(user_chunk.samples):
            if probability >= self.threshold:
                self._left = self.reply[:0]
            if self._rule.step(probability):
                self._left = self.reply
        size = round(self.chunk_seconds * self.sample_rate)
        said, self._left = self._left[:size], self._left[size:]
        return self.chunk(said)

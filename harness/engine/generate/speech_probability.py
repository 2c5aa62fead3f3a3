"""How the task `turn-taking-policy` asks an agent: not for a conversation, but for what its decisions are made of.

The answer is the agent's speech probability of each frame, stored as it came. Which rule acts when is scored from that,
so other thresholds and delays need no model.
"""

from __future__ import annotations

from collections.abc import Sequence

from speech_eval.engine.generate.conversation import user_channel
from speech_eval.engine.generate.requests import Answer, Driver, LoadAudio
from speech_eval.errors import BadInput
from speech_eval.progress import Progress
from speech_eval.records import Sample, SpeechProbabilities

PLACES = 4  # decimals of a stored probability


class ProbabilityDriver(Driver):
    """Asks for `speech_probabilities(user: Audio)` of each user channel: (probabilities [frames], seconds a frame)."""

    def prepare(self, progress: Progress) -> None:
        """Raises `BadInput` for an agent that decides by anything but a probability a frame."""
        if not callable(getattr(self.adapter, "speech_probabilities", None)):
            raise BadInput(
                f"{self.adapter.info().name} gives no speech probability of a frame, so there is no rule to sweep.",
                "Run turn-taking, or give the agent a method speech_probabilities (docs/adapters.md).",
            )

    def answer(self, samples: Sequence[Sample], seeds: Sequence[int], load: LoadAudio) -> list[Answer]:
        """One answer per sample, its `speech_probabilities` filled."""
        answers = []
        for sample in samples:
            found, seconds = self.adapter.speech_probabilities(user_channel(sample, load))
            stored = SpeechProbabilities(frame_seconds=seconds, values=[round(float(value), PLACES) for value in found])
            text = f"{len(stored.values)} frames of {seconds:g} s"
            answers.append(Answer(text=text, speech_probabilities=stored))
        return answers

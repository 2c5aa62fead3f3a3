"""A duplex agent's speech probabilities, in place of a conversation.

Which rule acts when is scored from the stored probabilities, so other thresholds and delays need no model.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from speech_eval.adapters.base import ReferenceAware, ScoresFrames
from speech_eval.engine.generate.conversation import user_channel
from speech_eval.engine.generate.requests import LoadAudio, RawAnswer
from speech_eval.engine.generate.strategy import Ask, Batched, Work
from speech_eval.errors import BadInput
from speech_eval.records import Sample, SpeechProbabilities

PLACES = 4  # decimals of a stored probability


@dataclass(frozen=True)
class SpeechProbability(Batched):
    """Ask for `speech_probabilities(user)` of each user channel: (probabilities [frames], seconds per frame)."""

    def prepare(self, work: Work) -> Ask:
        """Raises `BadInput` for an agent that decides by anything but a probability per frame."""
        agent = work.adapter
        if not isinstance(agent, ScoresFrames):
            raise BadInput(
                f"{work.adapter.info().name} has no speech probability per frame to sweep rules over.",
                "Run turn-taking, or give the agent a method speech_probabilities (docs/adapters.md).",
            )

        def ask(samples: Sequence[Sample], seeds: Sequence[int], load: LoadAudio) -> list[RawAnswer]:
            found = []
            for sample in samples:
                if isinstance(agent, ReferenceAware):
                    agent.expect(sample.id)
                found.append(_answer(*agent.speech_probabilities(user_channel(sample, load))))
            return found

        return ask


def _answer(found: Iterable[float], seconds: float) -> RawAnswer:
    stored = SpeechProbabilities(frame_seconds=seconds, values=[round(float(value), PLACES) for value in found])
    return RawAnswer(text=f"{len(stored.values)} frames of {seconds:g} s", speech_probabilities=stored)

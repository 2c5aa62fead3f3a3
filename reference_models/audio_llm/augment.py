"""Recordings as a user's microphone might give them: rooms, noise, other people, levels, telephone lines and codecs.

What is done to a recording follows from its id and a seed, so that features of augmented speech can be stored, computed
again, and told apart by name. The changes themselves are those under which tasks are run (`speech_eval.signal`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field, model_validator

from speech_eval.audio import Audio
from speech_eval.reference_models.training.config import Section, knob
from speech_eval.signal.conditions import KINDS, Condition, LoadOther, Step

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Range = tuple[float, float]
ORDER = ("room", "babble", "noise", "level", "telephone", "opus")  # from the mouth to the model


class AugmentSection(Section):
    """How often each change occurs, independently of the others, and from what range its value is drawn."""

    room: Share = knob(0.3, "Share of recordings in a simulated room.")
    room_seconds: Range = knob((0.2, 0.8), "Its reverberation time in seconds.")
    babble: Share = knob(0.2, "Share with other recordings of the data in the background.")
    babble_db: Range = knob((10.0, 25.0), "Their signal-to-noise ratio in dB.")
    noise: Share = knob(0.3, "Share with stationary noise.")
    noise_db: Range = knob((5.0, 25.0), "Its signal-to-noise ratio in dB.")
    level: Share = knob(1.0, "Share at another level.")
    level_db: Range = knob((-38.0, -16.0), "The active level in dBFS.")
    telephone: Share = knob(0.15, "Share over a telephone line.")
    opus: Share = knob(0.15, "Share through the codec Opus.")
    opus_kbits: Range = knob((6.0, 24.0), "Its bitrate in kbit/s.")
    seed: int = knob(0, "Another seed gives every recording other changes.")

    @model_validator(mode="after")
    def _in_bounds(self) -> AugmentSection:
        for kind, (low, high) in self.ranges().items():
            values = KINDS[kind].values
            if values is not None and not values.low <= low <= high <= values.high:
                raise ValueError(f"{kind}: from {values.low:g} to {values.high:g} {values.unit}, the lower value first")
        return self

    def ranges(self) -> dict[str, Range]:
        """The range of each kind of change that has values."""
        return {
            "room": self.room_seconds,
            "babble": self.babble_db,
            "noise": self.noise_db,
            "level": self.level_db,
            "opus": self.opus_kbits,
        }

    def condition(self, key: str, babble: bool = True) -> Condition | None:
        """What is done to the recording `key`, without `babble` where there is nobody else; None for nothing."""
        draw = np.random.default_rng(_seed(self.seed, key))
        steps = []
        for kind in ORDER:  # two draws per kind, so that one share changes nothing about the others
            happens, place = draw.random(2)
            low, high = self.ranges().get(kind, (0.0, 0.0))
            if happens < getattr(self, kind) and (babble or kind != "babble"):
                steps.append(Step(kind, round(low + place * (high - low), 2) if kind in self.ranges() else None))
        return Condition(tuple(steps)) if steps else None

    def apply(self, audio: Audio, key: str, others: Sequence[LoadOther] = ()) -> tuple[Audio, str]:
        """`audio` under `condition(key)`, and the name of that condition, empty for none. `others` are recordings for
        babble, which takes two of them or more."""
        condition = self.condition(key, babble=len(others) >= 2)
        if condition is None:
            return audio, ""
        return condition.apply(audio, _seed(self.seed, key), others), str(condition)


def _seed(seed: int, key: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{key}".encode()).digest()[:8])

"""Conditions under which speech reaches a listener: noise, rooms, codecs, lines, speed and level, by name.

`babble=10` is one condition, `room=0.6+babble=10+opus=6` three of them in that order. What is random follows from a
seed alone; at another value of a condition the same seed gives the same talkers, noise and room, so that two points of
a curve differ in the value and in nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from speech_eval.audio import Audio
from speech_eval.errors import BadInput
from speech_eval.signal import channels, noise, rooms

LoadOther = noise.LoadOther
_Change = Callable[[Audio, float, np.random.Generator, Sequence[LoadOther]], Audio]


@dataclass(frozen=True)
class Values:
    """The values of a kind of condition: from `low` to `high` in `unit`, which commands call `shown`."""

    shown: str
    unit: str
    low: float
    high: float
    example: float


@dataclass(frozen=True)
class Kind:
    """A kind of condition: what it does, in words and in fact, and its values, None for a kind without."""

    means: str
    change: _Change
    values: Values | None = None


def _babble(audio: Audio, snr: float, rng: np.random.Generator, others: Sequence[LoadOther]) -> Audio:
    if len(others) < 2:
        raise BadInput("Babble takes two other recordings or more.", "Give data with more recordings, or use noise=DB.")
    return noise.mixed(audio, noise.babble(others, len(audio.samples), audio.rate, rng), snr)


def _noise(audio: Audio, snr: float, rng: np.random.Generator, others: Sequence[LoadOther]) -> Audio:
    return noise.mixed(audio, noise.speech_shaped(audio, rng), snr)


_RATIO = Values("DB", "dB", -30, 60, 10)

KINDS = {
    "babble": Kind("up to six other recordings of the data at this signal-to-noise ratio", _babble, _RATIO),
    "noise": Kind("stationary noise with the spectrum of the recording at this ratio", _noise, _RATIO),
    "room": Kind(
        "a simulated room with this reverberation time",
        lambda audio, value, rng, _: rooms.reverberant(audio, value, rng),
        Values("SECONDS", "s", 0.1, 3, 0.6),
    ),
    "opus": Kind(
        "the codec Opus at this bitrate",
        lambda audio, value, *_: channels.compressed(audio, value),
        Values("KBITS", "kbit/s", 6, 256, 6),
    ),
    "telephone": Kind("300 to 3400 Hz at 8 kHz in µ-law", lambda audio, *_: channels.telephone(audio)),
    "speed": Kind(
        "so many times as fast, and as much higher",
        lambda audio, value, *_: channels.sped(audio, value),
        Values("FACTOR", "×", 0.5, 2, 1.25),
    ),
    "level": Kind(
        "this active level of the speech; beyond full scale it is clipped",
        lambda audio, value, *_: channels.at_level(audio, value),
        Values("DBFS", "dBFS", -70, 0, -40),
    ),
}


_CLEAN = "clean"
_LONGEST_SHOWN = 60  # characters of a text that is not a condition


@dataclass(frozen=True)
class Step:
    """One condition: a name of `KINDS` and its value, None for a kind without one."""

    kind: str
    value: float | None = None

    def __str__(self) -> str:
        return self.kind if self.value is None else f"{self.kind}={self.value:g}"


@dataclass(frozen=True)
class Condition:
    """Changes of a recording, one after the other; none at all is the condition `clean`."""

    steps: tuple[Step, ...]

    def __str__(self) -> str:
        return "+".join(map(str, self.steps)) or _CLEAN

    @property
    def axis(self) -> str:
        """What conditions that differ in the value of their last step have in common: `room=0.6+babble`."""
        return "+".join([*map(str, self.steps[:-1]), *(step.kind for step in self.steps[-1:])])

    @property
    def value(self) -> float | None:
        """The value of the last step."""
        return self.steps[-1].value if self.steps else None

    @property
    def takes_others(self) -> bool:
        """Whether other recordings are mixed in."""
        return any(step.kind == "babble" for step in self.steps)

    def apply(self, audio: Audio, seed: int, others: Sequence[LoadOther] = ()) -> Audio:
        """`audio` under this condition, at its own rate; a function of the arguments alone.

        `others` load recordings of other people for babble. Raises `BadInput` where there are fewer than two of them,
        and `BadAudio` where none of those chosen is audible.
        """
        for place, step in enumerate(self.steps):
            rng = np.random.default_rng([seed, place])
            audio = KINDS[step.kind].change(audio, step.value or 0.0, rng, others)
        return audio


CLEAN = Condition(())


def parse(text: str) -> Condition:
    """The condition that a text such as `room=0.6+babble=10` names; `clean` changes nothing. Raises `BadInput` for an
    unknown name or value."""
    return CLEAN if text == _CLEAN else Condition(tuple(_step(part.strip()) for part in text.split("+")))


def _step(text: str) -> Step:
    shown = text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
    name, given, value = map(str.strip, text.partition("="))
    if name == _CLEAN:
        raise BadInput(f"'{shown}' is the recording as it is, and joins no other condition.", f"Write {_CLEAN} alone.")
    if name not in KINDS:
        known = ", ".join(map(usage, KINDS))
        raise BadInput(f"There is no condition '{shown}'.", f"Use {_CLEAN}, {known}; join several with +.")
    values = KINDS[name].values
    if values is None:
        if given:
            raise BadInput(f"The condition '{name}' has no value.", f"Write {name}.")
        return Step(name)
    try:
        number = float(f"{float(value):g}") + 0.0  # as its name says it, and 0 for -0
    except ValueError:
        number = np.nan
    if not values.low <= number <= values.high:
        raise BadInput(
            f"The condition '{shown}' needs a number from {values.low:g} to {values.high:g} {values.unit}.",
            f"Write {usage(name)}, such as {name}={values.example:g}.",
        )
    return Step(name, number)


def usage(name: str) -> str:
    """How a condition is written: `babble=DB`."""
    values = KINDS[name].values
    return name if values is None else f"{name}={values.shown}"


def unit_of(axis: str) -> str:
    """The unit of the values along an axis (`Condition.axis`); empty where there is none."""
    kind = KINDS.get(axis.rpartition("+")[2])
    return kind.values.unit if kind and kind.values else ""

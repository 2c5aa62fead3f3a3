"""What a synthesized answer is worth, from what was measured of it: pure functions, each to a `Reward` in [0, 1].

Nothing listens here; `verifiers.Listener` does. A reward that could not be taken says so (`valid` false, value 0, the
worst): silence and noise get no credit for words that nobody heard.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, NamedTuple

import jiwer

from speech_eval.errors import BadInput
from speech_eval.text import whisper_normalize

# Characters a second. Read speech runs at 10 to 20; the band is wide, for it guards and does not teach.
PACE = (6.0, 30.0)


class Reward(NamedTuple):
    """`value` in [0, 1], more is better; 0 where it is not `valid`."""

    value: float
    valid: bool


INVALID = Reward(0.0, False)


def character_error_rate(text: str, transcript: str, language: str = "en") -> float | None:
    """Edits over characters of `text`, both normalized as Whisper does; None for a transcript without a letter.

    Raises `BadInput` for a text without one.
    """
    reference = whisper_normalize(text, language)
    if not any(character.isalnum() for character in reference):
        raise BadInput(f"Nothing can be heard of the text '{text}'.", "Leave it out of the training texts.")
    heard = whisper_normalize(transcript, language)
    if not any(character.isalnum() for character in heard):
        return None
    return float(jiwer.process_characters(reference, heard).cer)


def intelligibility(text: str, transcript: str, language: str = "en", alpha: float = 3.0) -> Reward:
    """1 − tanh(α·CER) (arXiv 2509.18798). An empty transcript is no transcript: invalid."""
    cer = character_error_rate(text, transcript, language)
    return INVALID if cer is None else Reward(1.0 - math.tanh(alpha * cer), True)


def likelihood(nll: float, scale: float = 3.0) -> Reward:
    """exp(−NLL/3): `nll` is the recognizer's mean nats a token of the text, given the speech (arXiv 2509.18798)."""
    return Reward(math.exp(-nll / scale), True) if math.isfinite(nll) and nll >= 0.0 else INVALID


def speaker(similarity: float) -> Reward:
    """The cosine of two voices; what is below 0 is another voice and worth 0."""
    return Reward(min(1.0, max(0.0, similarity)), True) if math.isfinite(similarity) else INVALID


def duration(text: str, seconds: float, pace: tuple[float, float] = PACE) -> Reward:
    """1 within a band of characters a second, falling to 0 at half its lower and twice its upper edge."""
    if not (math.isfinite(seconds) and seconds > 0.0):
        return INVALID
    slow, fast = pace
    rate = len(text.strip()) / seconds
    outside = max(slow / max(rate, 1e-9), rate / fast, 1.0)
    return Reward(max(0.0, 2.0 - outside), True)


def opinion(mos: float) -> Reward:
    """A predicted opinion score, 1 to 5, brought to [0, 1]."""
    return Reward(min(1.0, max(0.0, (mos - 1.0) / 4.0)), True) if math.isfinite(mos) else INVALID


def composite(
    rewards: Mapping[str, Reward], weights: Mapping[str, float], form: Literal["mean", "harmonic"] = "mean"
) -> Reward:
    """The weighted mean of the rewards named in `weights`, or their weighted harmonic mean, which is 0 as soon as one
    of them is. Invalid as soon as one of them is. Raises `BadInput` for weights that are not positive or name a reward
    that was not taken."""
    lacking = sorted(weights.keys() - rewards.keys())
    if lacking or not weights or min(weights.values()) <= 0.0:
        raise BadInput(
            f"Weights {dict(weights)} do not fit the rewards {sorted(rewards)}.",
            "Give a positive weight to each of some of them.",
        )
    total = sum(weights.values())
    if not all(rewards[name].valid for name in weights):
        return INVALID
    values = {name: rewards[name].value for name in weights}
    if form == "mean":
        return Reward(sum(weights[name] * values[name] for name in weights) / total, True)
    if min(values.values()) == 0.0:
        return Reward(0.0, True)
    return Reward(total / sum(weights[name] / values[name] for name in weights), True)

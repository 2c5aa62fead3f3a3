"""Rewards of generated speech: pure functions from measurements to a `Reward` in [0, 1].

The measurements come from `verifiers.Verifier`. A reward that could not be measured is not `valid` and has the worst
value, 0: silence and noise get no credit for words that were not recognized.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, NamedTuple

import jiwer

from speech_eval.errors import BadInput
from speech_eval.reference_models.speech_lm.script import pace
from speech_eval.text import compared_letters


class Reward(NamedTuple):
    """`value` in [0, 1], more is better; 0 if it is not `valid`."""

    value: float
    valid: bool


INVALID = Reward(0.0, False)


def has_letters(text: str, language: str = "en") -> bool:
    """Whether anything of a text is left to compare: a normalizer removes `Hmm.` and `(laughs)`."""
    return any(character.isalnum() for character in compared_letters(text, "", language)[0])


def character_error_rate(text: str, transcript: str, language: str = "en") -> float | None:
    """Edits per character of `text`, both normalized by the language; None for a transcript without letters.

    Raises `BadInput` for a text without letters.
    """
    reference, heard = compared_letters(text, transcript, language)
    if not any(character.isalnum() for character in reference):
        raise BadInput(f"The text '{text}' has no letters to recognize.", "Leave it out of the texts.")
    if not any(character.isalnum() for character in heard):
        return None
    return float(jiwer.process_characters(reference, heard).cer)


def intelligibility(text: str, transcript: str, language: str = "en", alpha: float = 3.0) -> Reward:
    """1 − tanh(α·CER) (arXiv 2509.18798). An empty transcript is invalid."""
    cer = character_error_rate(text, transcript, language)
    return INVALID if cer is None else Reward(1.0 - math.tanh(alpha * cer), True)


def likelihood(nll: float, scale: float = 3.0) -> Reward:
    """exp(−NLL/3): `nll` is the recognizer's mean nats per token of the text, given the speech (arXiv 2509.18798)."""
    return Reward(math.exp(-nll / scale), True) if math.isfinite(nll) and nll >= 0.0 else INVALID


def speaker(similarity: float) -> Reward:
    """The cosine similarity of two voices; below 0 it counts as 0."""
    return Reward(min(1.0, max(0.0, similarity)), True) if math.isfinite(similarity) else INVALID


def duration(text: str, seconds: float, language: str = "en") -> Reward:
    """1 within the language's characters per second, falling to 0 at half the lower and twice the upper edge."""
    if not (math.isfinite(seconds) and seconds > 0.0):
        return INVALID
    slow, fast = pace(language)
    rate = len(text.strip()) / seconds
    outside = max(slow / max(rate, 1e-9), rate / fast, 1.0)
    return Reward(max(0.0, 2.0 - outside), True)


def opinion(mos: float) -> Reward:
    """A predicted opinion score from 1 to 5, mapped to [0, 1]."""
    return Reward(min(1.0, max(0.0, (mos - 1.0) / 4.0)), True) if math.isfinite(mos) else INVALID


def composite(
    rewards: Mapping[str, Reward], weights: Mapping[str, float], form: Literal["mean", "harmonic"] = "mean"
) -> Reward:
    """The weighted mean of the rewards named in `weights`, or their weighted harmonic mean, which is 0 if one of
    them is. Invalid if one of them is. Raises `BadInput` for weights that are not positive, and for a
    reward that was not measured."""
    lacking = sorted(weights.keys() - rewards.keys())
    if lacking or not weights or min(weights.values()) <= 0.0:
        raise BadInput(
            f"Weights {dict(weights)} do not fit the rewards {sorted(rewards)}.",
            "Give positive weights to rewards among these.",
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

"""More voices from one: hibari spoken faster or slower and played back at the rate that restores the pace.

Pitch and formants move by the same factor, as they do between speakers of different size. The voices differ in nothing
else, so they stand for other speakers in training and say nothing about other microphones or accents.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from speech_eval.audio import Audio

if TYPE_CHECKING:
    from speech_eval.adapters.tts.hibari import Hibari

ASSISTANT = "hibari-heart"
FACTORS = {
    **{"hibari-heart": 1.0, "hibari-low": 1.2, "hibari-high": 0.88, "hibari-mid": 1.1, "hibari-small": 0.8},
    **{"hibari-deep": 1.15, "hibari-even": 1.05, "hibari-clear": 0.91, "hibari-bright": 0.94, "hibari-light": 0.84},
}
"""Pitch and formants are divided by these."""


def say(voice: str, text: str, seed: int) -> Audio:
    """English text in a voice of `FACTORS`, at 24 kHz. A text without a pronounceable word gives no samples."""
    from speech_eval.adapters.base import SynthesisRequest

    factor = FACTORS[voice]
    (audio,) = _hibari(factor).synthesize([SynthesisRequest(id=voice, text=text, seed=seed)])
    return Audio(audio.samples, round(audio.rate / factor)).resampled(audio.rate)


@cache
def _hibari(speed: float) -> Hibari:
    from speech_eval.adapters.tts.hibari import Hibari

    return Hibari(speed=speed)

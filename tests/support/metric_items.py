"""Scoring items from waveforms, for tests of the audio metrics."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speech_eval.assets import store as assets
from speech_eval.audio import Audio, load
from speech_eval.metrics.base import ScoringItem
from speech_eval.records import Output, Sample

READER = "sense_and_sensibility_01_austen_64kb-"


@cache
def reader(number: str) -> Audio:
    """A sentence of one LibriVox reader, 16 kHz."""
    return load(assets.ensure("librivox-pocketsphinx") / f"{READER}{number}.wav")


@cache
def announcer(name: str) -> Audio:
    """A telephone prompt of another speaker, 16 kHz."""
    return load(assets.ensure("asterisk-en") / f"{name}.g722")


def speech_item(speech: Audio | None, prompt: Audio | None = None, **output: Any) -> ScoringItem:
    """What a metric sees of a synthesizer's answer."""
    return ScoringItem(
        sample=Sample(id="s", text="words", prompt_audio="prompt.wav"),
        output=Output(id="s", task="t", status="ok", seed=0, **output),
        load_audio=_loader(speech),
        load_prompt=_loader(prompt),
    )


def _loader(audio: Audio | None) -> Callable[[int | None], Audio] | None:
    return None if audio is None else (lambda rate: audio if rate is None else audio.resampled(rate))


def tone(seconds: float, *, silence: float = 0.0, rate: int = 16_000) -> Audio:
    """A 440 Hz tone at half of full scale, after some silence."""
    time: NDArray[np.float64] = np.arange(round(seconds * rate)) / rate
    samples = np.concatenate([np.zeros(round(silence * rate)), 0.5 * np.sin(2 * np.pi * 440 * time)])
    return Audio(samples.astype(np.float32), rate)

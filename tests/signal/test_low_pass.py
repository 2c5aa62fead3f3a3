"""The anchor's filter keeps to the mask of BS.1534-3."""

from __future__ import annotations

import numpy as np
import pytest

from speech_eval.audio import Audio
from speech_eval.signal.low_pass import low_pass


def gain(frequency: float, rate: int, cutoff: float) -> float:
    """Decibels that a tone keeps."""
    tone = np.sin(2 * np.pi * frequency * np.arange(rate) / rate).astype(np.float32)
    middle = slice(rate // 4, 3 * rate // 4)
    kept = low_pass(Audio(tone, rate), cutoff).samples[middle]
    return float(10 * np.log10((kept**2).mean() / (tone[middle] ** 2).mean()))


@pytest.mark.parametrize("rate", [16000, 24000, 48000])
def test_the_anchor_keeps_to_the_mask(rate: int) -> None:
    assert all(abs(gain(f, rate, 3500)) < 0.1 for f in (100, 1000, 3000, 3500))
    assert gain(4000, rate, 3500) < -25 and gain(4500, rate, 3500) < -50


def test_time_and_length_stay_and_narrow_audio_is_left_alone() -> None:
    click = np.zeros(4001, np.float32)
    click[1234] = 1
    filtered = low_pass(Audio(click, 16000), 3500).samples
    assert len(filtered) == 4001 and int(np.abs(filtered).argmax()) == 1234
    narrow = Audio(click, 6000)
    assert low_pass(narrow, 3500) is narrow

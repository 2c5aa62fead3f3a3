"""The headphone check of Woods et al. 2017 ("Headphone screening to facilitate web-based auditory experiments").

Each item has three tones, and the listener says which is the quietest. One is 6 dB below the others; another has its
two channels in opposite phase, so that over loudspeakers it seems the quietest instead.
"""

from __future__ import annotations

import io
import random

import numpy as np

ITEMS, NEEDED = 6, 5  # who gets so many of the items right passes
_RATE, _FREQUENCY, _SECONDS, _GAP, _RAMP = 8_000, 200.0, 1.0, 0.5, 0.1
_PEAK = 0.2


def orders(seed: int) -> list[tuple[int, int]]:
    """For each item the place (0 to 2) of the quiet tone, and that of the tone in opposite phase. Each order of the
    three tones occurs once."""
    found = [(quiet, opposite) for quiet in range(3) for opposite in range(3) if quiet != opposite]
    random.Random(f"{seed}/headphones").shuffle(found)
    return found


def item(quiet: int, opposite: int) -> bytes:
    """One item as a stereo WAV file."""
    import soundfile

    time = np.arange(round(_SECONDS * _RATE)) / _RATE
    ramp = np.minimum(1.0, np.minimum(time, _SECONDS - time) / _RAMP)
    tone = _PEAK * np.sin(2 * np.pi * _FREQUENCY * time) * np.sin(np.pi / 2 * ramp) ** 2
    gap = np.zeros((round(_GAP * _RATE), 2))
    pieces = []
    for place in range(3):
        own = tone * (10 ** (-6 / 20) if place == quiet else 1.0)
        pieces += [np.stack([own, -own if place == opposite else own], axis=1), gap]
    buffer = io.BytesIO()
    soundfile.write(buffer, np.concatenate(pieces[:-1]), _RATE, format="WAV", subtype="PCM_16")
    return buffer.getvalue()

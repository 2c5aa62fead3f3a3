"""The low-pass filter of the anchors of ITU-R BS.1534."""

from __future__ import annotations

import numpy as np

from speech_eval.audio import Audio

_RIPPLE = 0.1  # dB in the pass band
_STOP = 60.0  # dB; the recommendation wants 25 at 8/7 of the cutoff and 50 at 9/7


def low_pass(audio: Audio, cutoff: float) -> Audio:
    """Audio without what is above `cutoff` Hz, at the same rate, length and place in time: linear phase, ±0.1 dB up to
    the cutoff and 60 dB less from 8/7 of it. Audio that has nothing there comes back as it is."""
    from scipy.signal import firwin, kaiserord, oaconvolve

    stop = cutoff * 8 / 7
    if audio.rate / 2 <= cutoff:
        return audio
    attenuation = max(_STOP, -20 * np.log10(1 - 10 ** (-_RIPPLE / 20)))
    taps, beta = kaiserord(attenuation, (stop - cutoff) / (audio.rate / 2))
    taps |= 1  # odd: the delay is a whole number of samples
    center = min((cutoff + stop) / 2, 0.999 * audio.rate / 2)
    kernel = firwin(taps, center, window=("kaiser", beta), fs=audio.rate)
    filtered = oaconvolve(audio.samples.astype(np.float64), kernel, mode="full")
    start = taps // 2
    return Audio(filtered[start : start + len(audio.samples)].astype(np.float32), audio.rate)

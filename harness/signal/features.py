"""Acoustic front ends that the metrics' networks were trained with. NumPy only, double precision inside."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Features = NDArray[np.float32]

_RATE = 16_000
_BANDS = 80


def kaldi_fbank(samples: NDArray[np.float32]) -> Features:
    """Log mel filter-bank energies as Kaldi computes them, of 16 kHz samples in [-1, 1].

    25 ms Povey window every 10 ms (whole windows only), mean removed, pre-emphasis 0.97, power spectrum of 512
    points, 80 triangles from 20 Hz to 8 kHz on Kaldi's mel scale, floored at float32's epsilon; no dither.
    Returns [frames, 80]; fewer than 400 samples give no frame.
    """
    length, hop, size = 400, 160, 512
    if len(samples) < length:
        return np.zeros((0, _BANDS), dtype=np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float64), length)[::hop]
    frames = frames - frames.mean(axis=1, keepdims=True)
    previous = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    window = np.hanning(length) ** 0.85
    power = np.abs(np.fft.rfft((frames - 0.97 * previous) * window, size)) ** 2
    energies = power @ _kaldi_filters(_BANDS, size).T
    return np.log(np.maximum(energies, np.finfo(np.float32).eps)).astype(np.float32)


@cache
def _kaldi_filters(bands: int, size: int) -> Floats:
    """Triangles that are straight on the mel scale, [bands, size / 2 + 1]; the Nyquist bin belongs to none."""

    def mel(hertz: float | Floats) -> Floats:
        return np.asarray(1127.0 * np.log1p(np.asarray(hertz) / 700.0))

    edges = np.linspace(mel(20.0), mel(_RATE / 2), bands + 2)
    left, center, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    bins = mel(np.arange(size // 2) * _RATE / size)
    triangles = np.maximum(0.0, np.minimum((bins - left) / (center - left), (right - bins) / (right - center)))
    return np.pad(triangles, ((0, 0), (0, 1)))


def mel_power(samples: NDArray[np.float32], bands: int = 40) -> Features:
    """Mel power (no logarithm) of 16 kHz samples, as librosa's `melspectrogram` has it: [frames, bands].

    25 ms Hann window every 10 ms, centered on zero-padded samples; Slaney's mel scale from 0 to 8 kHz, each triangle
    of unit area.
    """
    length, hop = 400, 160
    padded = np.pad(samples.astype(np.float64), length // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, length)[::hop]
    window = np.hanning(length + 1)[:-1]
    power = np.abs(np.fft.rfft(frames * window)) ** 2
    return (power @ slaney_filters(bands, length, _RATE).T).astype(np.float32)


@cache
def slaney_filters(bands: int, size: int, rate: int) -> Floats:
    """Triangles of unit area up to half of `rate`, straight in Hz, [bands, size / 2 + 1]; centers linear in mel below
    1 kHz, logarithmic above (librosa's `filters.mel`)."""
    per_mel, knee, step = 200.0 / 3.0, 1000.0, np.log(6.4) / 27.0
    top = knee / per_mel + np.log(rate / 2 / knee) / step
    mels = np.linspace(0.0, top, bands + 2)
    above = knee * np.exp(step * (mels - knee / per_mel))
    edges = np.where(mels < knee / per_mel, per_mel * mels, above)
    left, center, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    bins = np.arange(size // 2 + 1) * rate / size
    triangles = np.maximum(0.0, np.minimum((bins - left) / (center - left), (right - bins) / (right - center)))
    return triangles * 2.0 / (right - left)


def sinc_resample(samples: NDArray[np.float32], rate: int, target: int) -> Features:
    """Samples at another rate by torchaudio's default filter: a sinc of six zero crossings a side in a Hann window,
    cutting off at 99 % of the lower Nyquist frequency.

    Coarser than `Audio.resampled`: only for protocols whose originals use it. Returns [ceil(T × target / rate)].
    """
    if rate == target:
        return samples
    divisor = math.gcd(rate, target)
    step, phases = rate // divisor, target // divisor
    crossings, cut = 6, 0.99 * min(step, phases)
    reach = math.ceil(crossings * step / cut)
    # One filter for each of the `phases` places that an output sample may have between input samples.
    places = np.arange(-reach, reach + step) / step - np.arange(phases)[:, None] / phases
    at = np.clip(places * cut, -crossings, crossings)
    filters = np.sinc(at) * np.cos(at * np.pi / crossings / 2) ** 2 * (cut / step)
    padded = np.pad(samples.astype(np.float64), (reach, reach + step))
    frames = np.lib.stride_tricks.sliding_window_view(padded, filters.shape[1])[::step]
    return (frames @ filters.T).reshape(-1)[: math.ceil(len(samples) * target / rate)].astype(np.float32)

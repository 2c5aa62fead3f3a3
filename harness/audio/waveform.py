"""The mono waveform that all models and metrics take, and the checks that every waveform passes."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from speech_eval.errors import BadAudio, BadInput

Samples = NDArray[np.float32]

LONGEST_SECONDS = 3600.0  # a recording or an answer; an hour at 48 kHz is 0.7 GB in memory
LONGEST_VARIABLE = "SPEECH_EVAL_MAX_AUDIO_SECONDS"
MOST_CHANNELS = 32
HIGHEST_RATE = 384_000
_LARGEST_RATE = 96_000  # Hz × channels of the longest audio that is decoded: 1.4 GB of float32 for an hour
LOUDEST = 8.0  # the largest peak taken; models that overshoot stay below it, integers as floats do not


@dataclass(frozen=True, eq=False)
class Audio:
    """A mono waveform: `samples` float32 of shape [frames] in about [-1, 1], at `rate` Hz."""

    samples: Samples
    rate: int

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate

    def resampled(self, rate: int) -> Audio:
        """The same sound at another rate (soxr, very high quality); itself where the rate is already right."""
        if rate == self.rate:
            return self
        import soxr

        return Audio(soxr.resample(self.samples, self.rate, rate, quality="VHQ").astype(np.float32), rate)


def longest_seconds() -> float:
    """How long audio may be: an hour, or what `SPEECH_EVAL_MAX_AUDIO_SECONDS` says."""
    text = os.environ.get(LONGEST_VARIABLE, "")
    try:
        longest = float(text) if text else LONGEST_SECONDS
    except ValueError:
        longest = 0.0
    if not 0.0 < longest < float("inf"):
        raise BadInput(f"{LONGEST_VARIABLE}={text} is not a number of seconds.", "Give seconds, such as 7200.")
    return longest


def largest_bytes() -> int:
    """How large an audio file may be: the longest audio as floats of 64 bits, 2.8 GB for an hour."""
    return int(longest_seconds() * _LARGEST_RATE * 8)


def check_length(seconds: float, what: str) -> None:
    """Raise `BadAudio` for what is too long to be held in memory beside others."""
    longest = longest_seconds()
    if seconds > longest:
        raise BadAudio(
            f"{what}: the audio lasts {seconds:.0f} s, longer than {longest:.0f} s.",
            f"Cut it into pieces, or set {LONGEST_VARIABLE} (an hour at 48 kHz takes 0.7 GB).",
        )


def check_header(rate: int, channels: int, frames: int, what: str) -> None:
    """Raise `BadAudio` for audio that must not be decoded, from what its header states: `frames` per channel.

    A small file may state any rate, length and number of channels, and decoding it would fill the memory.
    """
    _check_rate(rate, what)
    if not 1 <= channels <= MOST_CHANNELS:
        raise BadAudio(f"{what}: {channels} channels.", "Mix down to mono.")
    check_length(frames / rate, what)
    if frames * channels > longest_seconds() * _LARGEST_RATE:
        raise BadAudio(
            f"{what}: {channels} channels of {frames / rate:.0f} s at {rate} Hz are too much to decode.",
            f"Mix down to mono, resample, cut it into pieces, or set {LONGEST_VARIABLE}.",
        )


def _check_rate(rate: object, what: str) -> int:
    real = isinstance(rate, int | float | np.integer | np.floating) and 1000 <= rate <= HIGHEST_RATE
    if not real or rate != int(rate):  # type: ignore[call-overload]
        raise BadAudio(f"{what}: a sample rate of {rate!r} Hz is not plausible.", "Give the rate in Hz, such as 16000.")
    return int(rate)  # type: ignore[call-overload,no-any-return]


def check_waveform(samples: object, rate: object, what: str) -> Audio:
    """Turn what a model or a file gave into `Audio`.

    Takes [frames], [1, frames] or [frames, 1]. Raises `BadAudio` for two or more channels, no samples, other numbers
    than floats, NaN or infinity (in float32), a peak above 8 (integers as floats), a rate outside 1–384 kHz, or more
    than `longest_seconds`; `what` names the thing in the message.
    """
    try:
        array = np.asarray(samples)
    except Exception as error:
        raise BadAudio(
            f"{what}: {type(samples).__name__} is not an array ({type(error).__name__}: {error}).",
            "Give a NumPy array of float32 in [-1, 1].",
        ) from error
    if array.ndim == 2 and 1 in array.shape:
        array = array.reshape(-1)
    if array.ndim != 1:
        raise BadAudio(f"{what}: {array.shape} is not one channel.", "Mix down to mono, one dimension [frames].")
    if array.size == 0:
        raise BadAudio(f"{what}: the audio has no samples.", "Leave the sample out or record it again.")
    if not np.issubdtype(array.dtype, np.floating):
        raise BadAudio(f"{what}: samples are {array.dtype}, not floats.", "Give float32 samples in [-1, 1].")
    hertz = _check_rate(rate, what)
    check_length(array.size / hertz, what)
    with np.errstate(over="ignore"):
        converted = np.ascontiguousarray(array, dtype=np.float32)
    if not np.isfinite(converted).all():
        found = "NaN or infinity" if not np.isfinite(array).all() else f"{array.dtype} numbers beyond float32"
        raise BadAudio(f"{what}: the audio holds {found}.", "Check the model or file that made it.")
    peak = float(max(converted.max(), -converted.min()))
    if peak > LOUDEST:
        raise BadAudio(
            f"{what}: float samples lie in [-1, 1], and the peak is {peak:.5g}.",
            "Divide by the full scale of the integers that they were: 32768 for 16 bits.",
        )
    return Audio(converted, hertz)


def mono(samples: Samples) -> Samples:
    """The mean of the channels of [frames, channels], as [frames]."""
    return samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1, dtype=np.float32)

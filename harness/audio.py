"""Audio in and out: one small value type, checked at the door, resampled by soxr, stored as FLAC."""

from __future__ import annotations

import io
import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speech_eval.errors import BadAudio, BadInput

Samples = NDArray[np.float32]

LONGEST_SECONDS = 3600.0  # a recording or an answer; an hour at 48 kHz is 0.7 GB in memory
LONGEST_VARIABLE = "SPEECH_EVAL_MAX_AUDIO_SECONDS"
MOST_CHANNELS = 32
HIGHEST_RATE = 384_000
_LARGEST_RATE = 96_000  # Hz × channels of the longest audio that is decoded: 1.4 GB of float32 for an hour
_STREAMED = 1 << 40  # frames a header states that was written before the end was known


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
    than floats, NaN or infinity (in float32), a rate outside 1–384 kHz, or more than `longest_seconds`; `what` names
    the thing in the message.
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
    return Audio(converted, hertz)


def load(path: str | os.PathLike[str], rate: int | None = None) -> Audio:
    """Read an audio file (wav, flac, ogg, mp3; G.722 through PyAV) as mono float32, resampled to `rate` if given.

    Two or more channels are an error, not a silent mix-down: which channel is meant is the dataset's to say. So is a
    file that ends before its header says, or lasts longer than `longest_seconds`. Raises `BadAudio` naming the file.
    """
    path = Path(path)
    if not path.is_file():
        raise BadAudio(f"{path}: no such audio file.", "Check the manifest, or fetch the data: speech-eval data fetch.")
    audio = _load_g722(path) if path.suffix == ".g722" else _load_soundfile(path)
    return audio if rate is None else audio.resampled(rate)


def _load_soundfile(path: Path) -> Audio:
    import soundfile

    try:
        with soundfile.SoundFile(path) as file:
            rate, stated = file.samplerate, file.frames
            if stated >= _STREAMED:
                raise BadAudio(f"{path}: the header does not say how long the audio is.", "Write it to a file anew.")
            check_header(rate, file.channels, stated, str(path))
            if file.channels > 1:
                raise BadAudio(f"{path}: audio of {file.channels} channels is not one channel.", "Mix down to mono.")
            samples = file.read(dtype="float32", always_2d=False)
            cut = _cut_short(file.extra_info)
    except soundfile.LibsndfileError as error:
        raise BadAudio(f"{path}: not a readable audio file ({error}).", "Convert it to WAV or FLAC.") from error
    if cut or len(samples) < stated:
        raise BadAudio(f"{path}: the file ends before its header says: it was cut short.", "Copy or make it again.")
    return check_waveform(samples, rate, str(path))


def _cut_short(log: str) -> bool:
    """Whether libsndfile met a WAV with less data than its header states. A stream's header states no real size."""
    found = re.search(r"^data\s*:\s*(\d+) \(should be (\d+)\)", log, re.MULTILINE)
    return found is not None and int(found[2]) < int(found[1]) < 0x7FFF_0000


def _load_g722(path: Path) -> Audio:
    from speech_eval.errors import require

    av = require("av", "demo")
    check_length(path.stat().st_size / 8000, str(path))  # 64 kbit/s
    with av.open(str(path), format="g722", options={"sample_rate": "16000"}) as container:
        frames = [frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)]
    if not frames:
        raise BadAudio(f"{path}: no audio could be decoded.", "Fetch the file again.")
    return check_waveform(np.concatenate(frames).astype(np.float32) / 32768.0, 16000, str(path))


def flac_bytes(audio: Audio) -> bytes:
    """The waveform as 24-bit FLAC; samples outside [-1, 1] are clipped, as any file would."""
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, np.clip(audio.samples, -1.0, 1.0), audio.rate, format="FLAC", subtype="PCM_24")
    return buffer.getvalue()


def leading_silence(audio: Audio, threshold_db: float = -40.0, window_seconds: float = 0.01) -> float | None:
    """Seconds before the first audible sound; None where nothing is audible at all.

    Audible: the first 10 ms window whose RMS reaches `threshold_db` below full scale (dBFS).
    """
    window = max(1, round(audio.rate * window_seconds))
    padded = np.pad(audio.samples, (0, -len(audio.samples) % window)).reshape(-1, window)
    rms = np.sqrt(np.mean(np.square(padded, dtype=np.float64), axis=1))
    loud = np.flatnonzero(rms >= 10.0 ** (threshold_db / 20.0))
    return None if len(loud) == 0 else float(loud[0] * window / audio.rate)

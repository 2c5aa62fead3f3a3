"""Waveforms as bytes of a file."""

from __future__ import annotations

import io
import wave

import numpy as np

from speech_eval.audio.waveform import Audio


def flac_bytes(audio: Audio, right: Audio | None = None) -> bytes:
    """The waveform as 24-bit FLAC; samples outside [-1, 1] are clipped, which the peak in the run's record shows. With
    `right`, of the same rate and length, a stereo file."""
    import soundfile

    buffer = io.BytesIO()
    samples = audio.samples if right is None else np.stack([audio.samples, right.samples], axis=1)
    soundfile.write(buffer, np.clip(samples, -1.0, 1.0), audio.rate, format="FLAC", subtype="PCM_24")
    return buffer.getvalue()


def wav_bytes(audio: Audio) -> bytes:
    """The waveform as a 16-bit mono WAV file; samples outside [-1, 1] are clipped."""
    pcm = np.clip(np.round(audio.samples * 32767.0), -32768, 32767).astype("<i2")
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(audio.rate)
        file.writeframes(pcm.tobytes())
    return buffer.getvalue()

"""Audio in and out: one mono value type, one reader of files, bytes and streams, and the writers."""

from speech_eval.audio.read import audio_sha256, load, read
from speech_eval.audio.stream import stream
from speech_eval.audio.waveform import (
    LONGEST_VARIABLE,
    LOUDEST,
    Audio,
    Samples,
    check_header,
    check_length,
    check_waveform,
    largest_bytes,
    longest_seconds,
)
from speech_eval.audio.write import flac_bytes, wav_bytes

__all__ = [
    "LONGEST_VARIABLE",
    "LOUDEST",
    "Audio",
    "Samples",
    "audio_sha256",
    "check_header",
    "check_length",
    "check_waveform",
    "flac_bytes",
    "largest_bytes",
    "load",
    "longest_seconds",
    "read",
    "stream",
    "wav_bytes",
]

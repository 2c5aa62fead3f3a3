"""Audio in and out: one mono value type, one reader of files, bytes and streams, and the writers."""

from speech_eval.audio.read import load, read
from speech_eval.audio.stream import stream
from speech_eval.audio.waveform import (
    LONGEST_VARIABLE,
    LOUDEST,
    Audio,
    Samples,
    check_header,
    check_length,
    check_waveform,
    longest_seconds,
)
from speech_eval.audio.write import flac_bytes, wav_bytes

__all__ = [
    "LONGEST_VARIABLE",
    "LOUDEST",
    "Audio",
    "Samples",
    "check_header",
    "check_length",
    "check_waveform",
    "flac_bytes",
    "load",
    "longest_seconds",
    "read",
    "stream",
    "wav_bytes",
]

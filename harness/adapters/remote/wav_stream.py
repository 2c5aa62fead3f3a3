"""WAV and raw PCM as bytes that arrive piece by piece: samples out as soon as they are in."""

from __future__ import annotations

import io
import math
import struct
import wave

import numpy as np

from speech_eval.audio import Audio, Samples
from speech_eval.errors import BadAudio

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
# A server that does not know the length beforehand writes 0 or a number near the 32-bit limits.
_UNKNOWN_SIZE = 0x7FFF_0000
_LARGEST_CHUNK = 1 << 20  # of a chunk that is not audio


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


class PCMReader:
    """Headerless 16-bit little-endian mono samples at `rate` Hz. `what` names the source in errors."""

    def __init__(self, rate: int, what: str) -> None:
        self.rate = rate
        self._what = what
        self._left = b""

    def feed(self, data: bytes) -> Samples:
        """The samples that `data` completes, float32 [frames]; possibly none."""
        data = self._left + data
        whole = len(data) // 2 * 2
        self._left = data[whole:]
        return np.frombuffer(data[:whole], dtype="<i2").astype(np.float32) / np.float32(32768.0)

    def finish(self) -> None:
        """Raise `BadAudio` where the bytes end inside a sample."""
        if self._left:
            raise BadAudio(f"{self._what}: the audio ends inside a sample.", "The answer was cut short: ask again.")


class WAVReader:
    """A mono WAV file of 16-, 24- or 32-bit integers or 32-bit floats; `rate` is known once `feed` gave samples.

    Chunks before and after the samples (header, LIST) are skipped.
    """

    def __init__(self, what: str) -> None:
        self.rate = 0
        self._what = what
        self._buffer = b""
        self._opened = False
        self._format: tuple[int, int] | None = None  # (tag, bits per sample)
        self._remaining: float | None = None  # bytes of samples still to come; None before the data chunk

    def feed(self, data: bytes) -> Samples:
        """The samples that `data` completes, float32 [frames]; possibly none. Raises `BadAudio`."""
        self._buffer += data
        while self._remaining is None and self._read_chunk():
            pass
        if self._remaining is None or self._format is None:
            return np.zeros(0, dtype=np.float32)
        usable = int(min(len(self._buffer), self._remaining))
        usable -= usable % (self._format[1] // 8)
        pcm, self._buffer = self._buffer[:usable], self._buffer[usable:]
        self._remaining -= usable
        return _decode(pcm, *self._format)

    def finish(self) -> None:
        """Raise `BadAudio` where the bytes end before the header does, or before the length it states."""
        if self._remaining is None:
            raise self._not_wav()
        unfinished = self._buffer if self._remaining == math.inf else self._remaining
        if unfinished:
            raise BadAudio(f"{self._what}: the WAV file is cut short.", "The answer was cut short: ask again.")

    def _read_chunk(self) -> bool:
        """Take the RIFF header or one chunk off the buffer; False where it has not arrived whole."""
        if not self._opened:
            if len(self._buffer) < 12:
                return False
            if self._buffer[:4] != b"RIFF" or self._buffer[8:12] != b"WAVE":
                raise self._not_wav()
            self._opened, self._buffer = True, self._buffer[12:]
        if len(self._buffer) < 8:
            return False
        name, size = self._buffer[:4], struct.unpack("<I", self._buffer[4:8])[0]
        if name == b"data":
            if self._format is None:
                raise self._not_wav()
            self._buffer = self._buffer[8:]
            self._remaining = math.inf if size == 0 or size >= _UNKNOWN_SIZE else size
            return True
        padded = size + size % 2
        if padded > _LARGEST_CHUNK:
            raise self._not_wav()
        if len(self._buffer) < 8 + padded:
            return False
        if name == b"fmt ":
            self._read_format(self._buffer[8 : 8 + size])
        self._buffer = self._buffer[8 + padded :]
        return True

    def _read_format(self, body: bytes) -> None:
        if len(body) < 16:
            raise self._not_wav()
        tag, channels, rate, _, _, bits = struct.unpack("<HHIIHH", body[:16])
        if tag == _EXTENSIBLE and len(body) >= 26:
            tag = struct.unpack("<H", body[24:26])[0]
        if channels != 1:
            raise BadAudio(f"{self._what}: {channels} channels.", "Have the server send mono.")
        if (tag, bits) not in ((_PCM, 16), (_PCM, 24), (_PCM, 32), (_FLOAT, 32)):
            raise BadAudio(f"{self._what}: WAV format {tag} with {bits} bits.", "Have the server send 16-bit PCM.")
        self._format, self.rate = (tag, bits), rate

    def _not_wav(self) -> BadAudio:
        return BadAudio(f"{self._what}: the answer is not a WAV file.", "Set response_format to what the server sends.")


def _decode(pcm: bytes, tag: int, bits: int) -> Samples:
    if tag == _FLOAT:
        return np.frombuffer(pcm, dtype="<f4").astype(np.float32)
    if bits == 24:
        # Three bytes become the upper three of four.
        wide = np.zeros((len(pcm) // 3, 4), dtype=np.uint8)
        wide[:, 1:] = np.frombuffer(pcm, dtype=np.uint8).reshape(-1, 3)
        pcm, bits = wide.tobytes(), 32
    values = np.frombuffer(pcm, dtype=f"<i{bits // 8}")
    return (values / 2.0 ** (bits - 1)).astype(np.float32)

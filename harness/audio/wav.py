"""WAV and raw PCM as bytes that arrive piece by piece: samples out as soon as they are in."""

from __future__ import annotations

import math
import re
import struct

import numpy as np

from speech_eval.audio.waveform import Samples, check_header, longest_seconds, mono
from speech_eval.errors import BadAudio

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_DTYPES = {(_PCM, 8): "u1", (_PCM, 16): "<i2", (_PCM, 24): "u1", (_PCM, 32): "<i4", (_FLOAT, 32): "<f4"}
_DTYPES |= {(_FLOAT, 64): "<f8"}
# Writers that do not know the length beforehand state 0, a round number, or one near the 32-bit limits.
PLACEHOLDER = 1_000_000_000
_LONGEST_FORMAT = 1024  # bytes of a format chunk
_TRAILING = 1024  # bytes after the last chunk that are ignored; more may be lost speech
_HEADER = re.compile(rb"RIFF.{4}WAVE", re.DOTALL)
_HEADER_START = re.compile(rb"R(?:I(?:F(?:F.{0,7})?)?)?\Z", re.DOTALL)


class OtherEncoding(BadAudio):
    """A WAV file in an encoding that is not linear PCM, which `WAVReader` does not decode."""


def is_wav(head: bytes) -> bool:
    """Whether bytes begin as a WAV file does."""
    return _HEADER.match(head) is not None


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

    def finish(self) -> Samples:
        """No samples. Raises `BadAudio` where the bytes end inside a sample."""
        if self._left:
            raise BadAudio(f"{self._what}: the audio ends inside a sample.", "The answer was cut short: ask again.")
        return np.zeros(0, dtype=np.float32)


class WAVReader:
    """WAV files of integers (8 to 32 bits) or floats, one after another: a file that follows another continues it.

    Channels are averaged. `rate` is known once `feed` gave samples. Chunks other than the format and the samples are
    skipped. A stated length of 0, of 10^9 bytes and more, or of more than `longest_seconds` is a placeholder: the
    samples then end where the bytes do, or the next file begins. `available`, the number of bytes where it is known,
    tells a placeholder from a long recording.
    """

    def __init__(self, what: str, available: int | None = None) -> None:
        self.rate = 0
        self._what = what
        self._available = math.inf if available is None else available
        self._buffer = b""
        self._opened = False  # the RIFF header has been read
        self._format: tuple[int, int, int] | None = None  # (tag, bits per sample, channels)
        self._remaining: float | None = None  # bytes of samples to come, infinite if unknown; None between chunks
        self._skip = 0  # bytes of another chunk to come
        self._frames = 0
        self._heard = False  # a chunk of samples has been met
        self._trailing: int | None = None  # bytes after the last chunk

    def feed(self, data: bytes) -> Samples:
        """The samples that `data` completes, float32 [frames]; possibly none. Raises `BadAudio`."""
        self._buffer += data
        found: list[Samples] = []
        while self._advance(found):
            pass
        return np.concatenate(found) if found else np.zeros(0, dtype=np.float32)

    def finish(self) -> Samples:
        """The samples held back. Raises `BadAudio` where the bytes end before the header does, before the length it
        states, or long after it."""
        if not self._heard:
            raise self._not_wav()
        rest = np.zeros(0, dtype=np.float32)
        if self._remaining == math.inf:
            rest = self._decode(len(self._buffer))
        if bool(self._buffer) if self._remaining == math.inf else (self._remaining or 0) > len(self._buffer):
            raise BadAudio(f"{self._what}: the WAV file is cut short.", "Copy or make it again.")
        if (self._trailing or 0) > _TRAILING:
            raise BadAudio(
                f"{self._what}: {self._trailing} bytes follow the samples that the WAV header states.",
                "Have the length of all samples written to the header.",
            )
        return rest

    def _advance(self, found: list[Samples]) -> bool:
        """Take what came of the samples, or one chunk, off the buffer; False where more bytes are needed."""
        if self._trailing is not None:
            self._trailing, self._buffer = self._trailing + len(self._buffer), b""
            return False
        if self._skip:
            skipped = min(self._skip, len(self._buffer))
            self._skip, self._buffer = self._skip - skipped, self._buffer[skipped:]
            return self._skip == 0
        if self._remaining is None:
            return self._read_chunk() if self._opened else self._open()
        end, ended = self._end_of_samples()
        found.append(self._decode(end))
        if ended:
            # A part of a frame, and the byte that makes the length even.
            self._buffer = self._buffer[0 if self._remaining == math.inf else int(self._remaining) :]
            self._buffer = self._buffer[1:] if self._buffer[:1] == b"\0" else self._buffer
            self._remaining = None
        return ended

    def _end_of_samples(self) -> tuple[int, bool]:
        """How many bytes of the buffer are samples, and whether these are the last of the chunk."""
        assert self._remaining is not None
        if self._remaining != math.inf:
            return int(min(len(self._buffer), self._remaining)), len(self._buffer) > self._remaining
        if (header := _HEADER.search(self._buffer)) is not None:
            return header.start(), True
        begun = _HEADER_START.search(self._buffer, max(0, len(self._buffer) - 11))
        return len(self._buffer) if begun is None else begun.start(), False

    def _decode(self, end: int) -> Samples:
        """The whole frames of the first `end` bytes of the buffer, which they leave."""
        assert self._format is not None and self._remaining is not None
        tag, bits, channels = self._format
        end -= end % (bits // 8 * channels)
        pcm, self._buffer = self._buffer[:end], self._buffer[end:]
        self._remaining -= end
        self._frames += end // (bits // 8 * channels)
        check_header(self.rate, channels, self._frames, self._what)
        return mono(_values(pcm, tag, bits).reshape(-1, channels))

    def _open(self) -> bool:
        if len(self._buffer) < 12:
            return False
        if not is_wav(self._buffer):
            raise self._not_wav()
        self._opened, self._buffer = True, self._buffer[12:]
        return True

    def _read_chunk(self) -> bool:
        """Take the head of one chunk off the buffer; False where it has not arrived whole."""
        if len(self._buffer) < 8:
            return False
        name, size = self._buffer[:4], struct.unpack("<I", self._buffer[4:8])[0]
        if name == b"RIFF":
            self._opened = False
        elif name == b"data":
            self._open_samples(size)
        elif name == b"fmt " and size <= _LONGEST_FORMAT:
            if len(self._buffer) < 8 + size:
                return False
            self._read_format(self._buffer[8 : 8 + size])
            self._skip_chunk(size)
        elif all(32 <= byte < 127 for byte in name):
            self._skip_chunk(size)
        elif self._heard:
            self._trailing = 0
        else:
            raise self._not_wav()
        return True

    def _skip_chunk(self, size: int) -> None:
        self._buffer, self._skip = self._buffer[8:], size + size % 2

    def _open_samples(self, size: int) -> None:
        if self._format is None:
            raise self._not_wav()
        _, bits, channels = self._format
        frames = size // (channels * bits // 8)
        placeholder = size == 0 or size >= PLACEHOLDER or frames > longest_seconds() * self.rate
        if size and size <= self._available < math.inf:
            check_header(self.rate, channels, frames, self._what)
            placeholder = False
        self._buffer, self._heard = self._buffer[8:], True
        self._remaining = math.inf if placeholder else size

    def _read_format(self, body: bytes) -> None:
        if len(body) < 16:
            raise self._not_wav()
        tag, channels, rate, _, block, bits = struct.unpack("<HHIIHH", body[:16])
        if tag == _EXTENSIBLE and len(body) >= 26:
            tag = struct.unpack("<H", body[24:26])[0]
        if (tag, bits) not in _DTYPES or block != channels * bits // 8:
            raise OtherEncoding(f"{self._what}: WAV format {tag} with {bits} bits.", "Use 16-bit PCM.")
        check_header(rate, channels, 0, self._what)
        if self._format not in (None, (tag, bits, channels)) or self.rate not in (0, rate):
            raise BadAudio(f"{self._what}: WAV files of different formats follow each other.", "Use one format.")
        self._format, self.rate = (tag, bits, channels), rate

    def _not_wav(self) -> BadAudio:
        return BadAudio(f"{self._what}: not a WAV file.", "Check what the file or the server's answer holds.")


def _values(pcm: bytes, tag: int, bits: int) -> Samples:
    """The samples of all channels, float32 in [-1, 1]."""
    values = np.frombuffer(pcm, dtype=_DTYPES[tag, bits])
    if tag == _FLOAT:
        return values.astype(np.float32)
    if bits == 8:
        return (values.astype(np.float32) - 128.0) / np.float32(128.0)
    if bits == 24:
        # Three bytes become the upper three of four.
        wide = np.zeros((len(pcm) // 3, 4), dtype=np.uint8)
        wide[:, 1:] = values.reshape(-1, 3)
        values, bits = wide.reshape(-1).view("<i4"), 32
    return (values / 2.0 ** (bits - 1)).astype(np.float32)

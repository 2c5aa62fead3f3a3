"""Spectrogram pictures without a plotting library: a PNG is a header and one zlib stream."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from speech_eval.audio import Audio
from speech_eval.metrics.codec.spectral import magnitudes

# Black over violet and orange to pale yellow, evenly spaced; between them colors are mixed.
_COLORS = np.array([(0, 0, 4), (80, 18, 123), (182, 54, 121), (251, 136, 97), (252, 253, 191)], dtype=np.float64)
_RANGE_DB = 80.0


def spectrograms(tracks: list[Audio], height: int = 160) -> bytes:
    """Log spectrograms one above the other as a PNG, low frequencies at the bottom; black is 80 dB below the peak."""
    pictures = [_decibels(track) for track in tracks]
    top = max(float(picture.max()) for picture in pictures)
    width = max(picture.shape[0] for picture in pictures)
    strips = []
    for picture in pictures:
        rows = np.linspace(picture.shape[1] - 1, 0, height).astype(int)
        level = np.clip(1.0 + (picture[:, rows].T - top) / _RANGE_DB, 0.0, 1.0)  # [height, frames]
        strips += [np.pad(level, ((0, 0), (0, width - level.shape[1]))), np.ones((2, width))]
    return png(_colored(np.concatenate(strips[:-1])))


def _decibels(track: Audio) -> NDArray[np.float64]:
    samples = np.pad(track.samples, (0, max(0, 1024 - len(track.samples))))
    return 20.0 * np.log10(np.maximum(magnitudes(samples, 1024), 1e-5))


def _colored(level: NDArray[np.float64]) -> NDArray[np.uint8]:
    places = np.linspace(0.0, 1.0, len(_COLORS))
    return np.stack([np.interp(level, places, channel) for channel in _COLORS.T], axis=-1).astype(np.uint8)


def png(pixels: NDArray[np.uint8]) -> bytes:
    """RGB pixels [height, width, 3] as a PNG file (RFC 2083)."""
    height, width, _ = pixels.shape
    lines = b"".join(b"\0" + line.tobytes() for line in np.ascontiguousarray(pixels))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in ((b"IHDR", header), (b"IDAT", zlib.compress(lines, 6)), (b"IEND", b""))
    )

"""Pictures of log spectrograms with axes, as SVG: time in seconds, frequency in kHz."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from speech_eval.audio import Audio
from speech_eval.metrics.codec.spectral import magnitudes
from speech_eval.reference_models.training.charts import text, ticks

# From black through violet and orange to pale yellow, evenly spaced; colors in between are interpolated.
_COLORS = np.array([(0, 0, 4), (80, 18, 123), (182, 54, 121), (251, 136, 97), (252, 253, 191)], dtype=np.float64)
_RANGE_DB = 80.0
_WINDOW = 1024
_WIDTH, _HEIGHT = 900, 240  # of one spectrogram
_LEFT, _TOP, _GAP, _BOTTOM = 56, 26, 46, 18


def spectrograms(tracks: Mapping[str, Audio]) -> str:
    """The tracks' spectrograms below each other under their names. Black is 80 dB below the loudest bin of all."""
    levels = {name: _decibels(track) for name, track in tracks.items()}
    top = max(float(level.max()) for level in levels.values())
    longest = max(track.seconds for track in tracks.values())
    marks = []
    for index, (name, track) in enumerate(tracks.items()):
        y = _TOP + index * (_HEIGHT + _GAP)
        width, highest = _WIDTH * track.seconds / longest, track.rate / 2000.0
        image = base64.b64encode(png(_colored(np.clip(1.0 + (levels[name].T[::-1] - top) / _RANGE_DB, 0.0, 1.0))))
        marks += [
            f'<rect x="{_LEFT}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" fill="black"/>',
            f'<image x="{_LEFT}" y="{y}" width="{width:.1f}" height="{_HEIGHT}" preserveAspectRatio="none" '
            f'href="data:image/png;base64,{image.decode()}"/>',
            text(_LEFT, y - 8, name, "start", "#111", "bold"),
        ]
        for hertz in ticks(0.0, highest, 4):
            marks.append(text(_LEFT - 6, y + _HEIGHT * (1 - hertz / highest) + 4, f"{hertz:g}", "end"))
        for second in ticks(0.0, longest, 8):
            marks.append(text(_LEFT + _WIDTH * second / longest, y + _HEIGHT + 15, f"{second:g}"))
        marks.append(text(_LEFT - 40, y - 8, "kHz", "start"))
        marks.append(text(_LEFT + _WIDTH, y + _HEIGHT + 30, "seconds", "end"))
    height = _TOP + len(tracks) * (_HEIGHT + _GAP) + _BOTTOM
    size = f'width="{_LEFT + _WIDTH + 20}" height="{height}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(marks)}</svg>\n'
    )


def _decibels(track: Audio) -> NDArray[np.float64]:
    """Decibels [frames, bins]."""
    samples = np.pad(track.samples, (0, max(0, _WINDOW - len(track.samples))))
    return 20.0 * np.log10(np.maximum(magnitudes(samples, _WINDOW), 1e-5))


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

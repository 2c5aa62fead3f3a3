"""Opus (RFC 6716) through libopus: constant bitrate, mono, packets of 20 ms at 48 kHz."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from speech_eval.audio import Samples
from speech_eval.errors import require

RATE = 48_000
PACKET_SECONDS = 0.02


def library() -> Any:
    """PyAV, which brings libopus. Raises `MissingExtra` where it is not installed."""
    return require("av", "codec")


@dataclass(frozen=True)
class Packets:
    """`data` of whole packets of `size` bytes each, for `frames` samples; `header` is the OpusHead (RFC 7845)."""

    data: bytes
    size: int
    frames: int
    header: bytes

    def decode(self) -> Samples:
        """The samples [frames] at 48 kHz. The look-ahead that the header states is dropped from the front."""
        av = library()
        decoder = av.CodecContext.create("libopus", "r")
        decoder.sample_rate, decoder.layout, decoder.extradata = RATE, "mono", self.header
        decoder.open()
        packets = [av.Packet(self.data[start : start + self.size]) for start in range(0, len(self.data), self.size)]
        pieces = [frame.to_ndarray().reshape(-1) for packet in packets for frame in decoder.decode(packet)]
        return (np.concatenate(pieces)[: self.frames] / 32768.0).astype(np.float32)


def encode(samples: Samples, bitrate: int, application: str = "audio") -> Packets:
    """`samples` [frames] at 48 kHz as packets at `bitrate` bits per second (6000 to 256000).

    The bitrate is constant so that all packets have the same size. `application` is libopus' tuning: audio, voip or
    lowdelay.
    """
    encoder = library().CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format = RATE, "mono", "flt"
    encoder.bit_rate, encoder.time_base = bitrate, Fraction(1, RATE)
    milliseconds = str(round(1000 * PACKET_SECONDS))
    encoder.options = {"application": application, "vbr": "off", "frame_duration": milliseconds}
    encoder.open()
    header = bytes(encoder.extradata)
    packets = _packets(encoder, samples, _look_ahead(header))
    return Packets(b"".join(packets), len(packets[0]), len(samples), header)


def _packets(encoder: Any, samples: Samples, look_ahead: int) -> list[bytes]:
    """Whole packets, the last filled up with silence, as many as it takes to decode the last sample."""
    size = encoder.frame_size
    padded = np.pad(samples, (0, look_ahead + -(len(samples) + look_ahead) % size))
    packets = []
    for start in range(0, len(padded), size):
        frame = library().AudioFrame.from_ndarray(padded[None, start : start + size], format="flt", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, start, Fraction(1, RATE)
        packets += [bytes(packet) for packet in encoder.encode(frame)]
    return packets[: len(padded) // size]


def _look_ahead(header: bytes) -> int:
    """The encoder's delay in samples at 48 kHz: `pre-skip` of an OpusHead (RFC 7845). The decoder drops it itself."""
    return int.from_bytes(header[10:12], "little")

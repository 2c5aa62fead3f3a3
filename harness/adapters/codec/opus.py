"""Opus (RFC 6716) through libopus: the classical codec that neural ones are measured against."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from speech_eval.adapters.base import AudioCodec, Codes
from speech_eval.adapters.options import choice, whole
from speech_eval.audio import Audio, Samples
from speech_eval.errors import BadAudio, require
from speech_eval.records import ModelInfo

_RATE = 48_000
_PACKET_SECONDS = 0.02
_APPLICATIONS = ("audio", "voip", "lowdelay")


class Opus(AudioCodec):
    """Opus at a constant `bitrate` in bits per second, mono, 20 ms packets, at its own rate of 48 kHz.

    The codes are the bytes of the packets: one codebook of 256 symbols. The bitrate is constant so that all packets
    have the same size; with a variable one, their lengths would be bits that no code carries. The encoder's look-ahead
    is removed from the front of the decoded audio. A delay of a few samples (0.1 ms) remains in SILK's modes, below
    about 50 kbit/s: inaudible, but it costs a few dB of SI-SDR. `application` is libopus' tuning: audio, voip (which
    also filters out the lowest frequencies and so shifts the phase) or lowdelay.
    """

    sample_rate = _RATE

    def __init__(self, bitrate: int = 12_000, application: str = "audio") -> None:
        self._av = require("av", "codec")
        self._bitrate = whole("bitrate", bitrate, 6000, 256_000)
        self._application = choice("application", application, _APPLICATIONS)

    def info(self) -> ModelInfo:
        return ModelInfo(
            name="opus",
            revision=f"PyAV {self._av.__version__}",
            license="BSD-3-Clause",
            parameters=0,
            metadata={"bitrate": self._bitrate, "application": self._application, "packet_seconds": _PACKET_SECONDS},
        )

    def encode(self, audios: Sequence[Audio]) -> list[Codes]:
        return [self._encode(audio) for audio in audios]

    def decode(self, codes: Sequence[Codes]) -> list[Audio]:
        return [Audio(self._decode(item), _RATE) for item in codes]

    def _encode(self, audio: Audio) -> Codes:
        if audio.rate != _RATE:
            raise BadAudio(f"opus: audio at {audio.rate} Hz.", f"Resample it to {_RATE} Hz.")
        encoder = self._av.CodecContext.create("libopus", "w")
        encoder.sample_rate, encoder.layout, encoder.format = _RATE, "mono", "flt"
        encoder.bit_rate, encoder.time_base = self._bitrate, Fraction(1, _RATE)
        milliseconds = str(round(1000 * _PACKET_SECONDS))
        encoder.options = {"application": self._application, "vbr": "off", "frame_duration": milliseconds}
        encoder.open()
        header = bytes(encoder.extradata)
        packets = self._packets(encoder, audio.samples, _look_ahead(header))
        data = np.frombuffer(b"".join(packets), dtype=np.uint8).astype(np.int64)
        metadata = {"packet_bytes": len(packets[0]), "frames": len(audio.samples), "header": header}
        return Codes([data], [len(packets[0]) / _PACKET_SECONDS], [256], metadata)

    def _packets(self, encoder: Any, samples: Samples, look_ahead: int) -> list[bytes]:
        """Whole packets, the last filled up with silence, as many as it takes to decode the last sample."""
        size = encoder.frame_size
        padded = np.pad(samples, (0, look_ahead + -(len(samples) + look_ahead) % size))
        packets = []
        for start in range(0, len(padded), size):
            frame = self._av.AudioFrame.from_ndarray(padded[None, start : start + size], format="flt", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = _RATE, start, Fraction(1, _RATE)
            packets += [bytes(packet) for packet in encoder.encode(frame)]
        return packets[: len(padded) // size]

    def _decode(self, codes: Codes) -> Samples:
        size, frames = codes.metadata["packet_bytes"], codes.metadata["frames"]
        data = np.asarray(codes.codebooks[0]).astype(np.uint8).tobytes()
        decoder = self._av.CodecContext.create("libopus", "r")
        decoder.sample_rate, decoder.layout, decoder.extradata = _RATE, "mono", codes.metadata["header"]
        decoder.open()
        packets = [self._av.Packet(data[start : start + size]) for start in range(0, len(data), size)]
        pieces = [frame.to_ndarray().reshape(-1) for packet in packets for frame in decoder.decode(packet)]
        return (np.concatenate(pieces)[:frames] / 32768.0).astype(np.float32)


def _look_ahead(header: bytes) -> int:
    """The encoder's delay in samples at 48 kHz: `pre-skip` of an OpusHead (RFC 7845). The decoder drops it itself."""
    return int.from_bytes(header[10:12], "little")

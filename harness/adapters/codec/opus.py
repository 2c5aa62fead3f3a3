"""Opus (RFC 6716) through libopus: the classical codec that neural ones are measured against."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from speech_eval.adapters.base import AudioCodec, Codes
from speech_eval.adapters.options import choice, whole
from speech_eval.audio import Audio
from speech_eval.errors import BadAudio
from speech_eval.records import ModelInfo
from speech_eval.signal import opus

_APPLICATIONS = ("audio", "voip", "lowdelay")


class Opus(AudioCodec):
    """Opus at a constant `bitrate` in bits per second, mono, 20 ms packets, at its own rate of 48 kHz.

    The codes are the bytes of the packets: one codebook of 256 symbols. The bitrate is constant so that all packets
    have the same size; with a variable one, their lengths would be bits that no code carries. The encoder's look-ahead
    is removed from the front of the decoded audio. A delay of a few samples (0.1 ms) remains in SILK's modes, below
    about 50 kbit/s: inaudible, but it costs a few dB of SI-SDR. `application` is libopus' tuning: audio, voip (which
    also filters out the lowest frequencies and so shifts the phase) or lowdelay.
    """

    sample_rate = opus.RATE

    def __init__(self, bitrate: int = 12_000, application: str = "audio") -> None:
        self._revision = f"PyAV {opus.library().__version__}"
        self._bitrate = whole("bitrate", bitrate, 6000, 256_000)
        self._application = choice("application", application, _APPLICATIONS)

    def info(self) -> ModelInfo:
        return ModelInfo(
            name="opus",
            revision=self._revision,
            license="BSD-3-Clause",
            parameters=0,
            metadata={
                "bitrate": self._bitrate,
                "application": self._application,
                "packet_seconds": opus.PACKET_SECONDS,
            },
        )

    def encode(self, audios: Sequence[Audio]) -> list[Codes]:
        return [self._encode(audio) for audio in audios]

    def decode(self, codes: Sequence[Codes]) -> list[Audio]:
        return [Audio(_packets(item).decode(), opus.RATE) for item in codes]

    def _encode(self, audio: Audio) -> Codes:
        if audio.rate != opus.RATE:
            raise BadAudio(f"opus: audio at {audio.rate} Hz.", f"Resample it to {opus.RATE} Hz.")
        packets = opus.encode(audio.samples, self._bitrate, self._application)
        data = np.frombuffer(packets.data, dtype=np.uint8).astype(np.int64)
        metadata = {"packet_bytes": packets.size, "frames": packets.frames, "header": packets.header}
        return Codes([data], [packets.size / opus.PACKET_SECONDS], [256], metadata)


def _packets(codes: Codes) -> opus.Packets:
    data = np.asarray(codes.codebooks[0]).astype(np.uint8).tobytes()
    return opus.Packets(data, codes.metadata["packet_bytes"], codes.metadata["frames"], codes.metadata["header"])

"""A duplex agent's voice: a recorded reply, said chunk by chunk."""

from __future__ import annotations

import numpy as np

from speech_eval.adapters.base import DuplexAgent
from speech_eval.adapters.options import number
from speech_eval.assets import store as assets
from speech_eval.audio import Audio, Samples, load

_REPLY_ASSET = "librivox-pocketsphinx"
_REPLY_FILE = "sense_and_sensibility_01_austen_64kb-0880.wav"
_REPLY_ONSET = 0.256  # where the reader begins in that file


class RecordedReply(DuplexAgent):
    """Says a reply of about two and a half seconds of recorded speech, or the recording `reply`."""

    def __init__(self, chunk_seconds: float = 0.08, reply: str | None = None) -> None:
        self.chunk_seconds = number("chunk_seconds", chunk_seconds, 0.01, 1.0, unit="seconds")
        if reply is None:
            spoken = load(assets.ensure(_REPLY_ASSET) / _REPLY_FILE, self.sample_rate).samples
            self.reply: Samples = spoken[round(_REPLY_ONSET * self.sample_rate) :]
        else:
            self.reply = load(reply, self.sample_rate).samples

    def chunk(self, samples: Samples) -> Audio:
        """The samples as one chunk, filled up with silence."""
        size = round(self.chunk_seconds * self.sample_rate)
        return Audio(np.pad(samples, (0, size - len(samples))), self.sample_rate)

"""Voice activity detection with Silero's network: speech probabilities frame by frame, and segments from them."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speech_eval.assets import store as assets
from speech_eval.audio import Audio, Samples
from speech_eval.errors import require

RATE = 16_000
FRAME = 512  # samples per probability
FRAME_SECONDS = FRAME / RATE
_CONTEXT = 64  # samples of the previous frame that are part of the network's input
_WEIGHTS = "silero_vad.onnx"

Probabilities = NDArray[np.float64]


class SileroVAD:
    """A stream of 16 kHz samples to one speech probability per 32 ms frame. Causal: a probability depends on its frame
    and earlier ones."""

    def __init__(self) -> None:
        self._session = _session()
        self.reset()

    def reset(self) -> None:
        """Forget the stream."""
        self._state = np.zeros((2, 1, 128), dtype=np.float32)
        self._context: Samples = np.zeros(_CONTEXT, dtype=np.float32)
        self._waiting: Samples = np.zeros(0, dtype=np.float32)

    def push(self, samples: Samples) -> list[float]:
        """Probabilities of the frames that these samples complete; samples of an incomplete frame are kept."""
        self._waiting = np.concatenate([self._waiting, samples.astype(np.float32)])
        found = []
        while len(self._waiting) >= FRAME:
            frame, self._waiting = self._waiting[:FRAME], self._waiting[FRAME:]
            found.append(self._frame(frame))
        return found

    def _frame(self, frame: Samples) -> float:
        window = np.concatenate([self._context, frame])
        inputs = {"input": window[None], "state": self._state, "sr": np.array(RATE, dtype=np.int64)}
        probability, self._state = self._session.run(None, inputs)
        self._context = window[-_CONTEXT:]
        return float(probability[0, 0])


def identity() -> str:
    """Name and digest of the weights."""
    return f"silero-vad@{assets.ASSETS['silero-vad'].files[_WEIGHTS][:12]}"


def weights_sha256() -> str:
    return assets.ASSETS["silero-vad"].files[_WEIGHTS]


@cache
def _session() -> Any:
    runtime = require("onnxruntime", "metrics")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    path = assets.ensure("silero-vad") / _WEIGHTS
    return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def probabilities(audio: Audio) -> Probabilities:
    """Speech probability of each 32 ms frame [frames]; the last frame is filled up with zeros."""
    samples = audio.resampled(RATE).samples
    padded = np.pad(samples, (0, -len(samples) % FRAME))
    return np.array(SileroVAD().push(padded), dtype=np.float64)


def speech_segments(probability: Probabilities, frames: int) -> list[tuple[float, float]]:
    """Start and end in seconds of each stretch of speech in `frames` samples at 16 kHz, by Silero's rule.

    Speech begins where the probability reaches 0.5 and ends where it falls below 0.35 and does not reach 0.5 again for
    0.1 seconds. Stretches of at most 0.25 seconds are dropped; both ends are moved out by 0.03 seconds. This equals
    `get_speech_timestamps` of silero-vad 6.2 with its defaults, in samples.
    """
    enter, leave, min_silence, min_speech, pad = 0.5, 0.35, 0.1, 0.25, 0.03
    found: list[tuple[int, int]] = []
    start: int | None = None
    quiet: int | None = None  # where the speech would end if it did not come back
    for index, value in enumerate(probability):
        at = index * FRAME
        if value >= enter:
            start, quiet = (at if start is None else start), None
        elif start is not None and (value < leave):
            quiet = at if quiet is None else quiet
            if at - quiet >= min_silence * RATE:
                found.append((start, quiet))
                start = quiet = None
    if start is not None:
        found.append((start, frames))
    kept = [(first, last) for first, last in found if last - first > min_speech * RATE]
    return [(max(0.0, first / RATE - pad), min(frames / RATE, last / RATE + pad)) for first, last in kept]


def segments_of(audio: Audio) -> list[tuple[float, float]]:
    """Speech segments in seconds of any audio, resampled to 16 kHz first."""
    heard = audio.resampled(RATE)
    return speech_segments(probabilities(heard), len(heard.samples))

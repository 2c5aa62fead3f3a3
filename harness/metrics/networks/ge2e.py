"""The GE2E speaker encoder (Wan et al. 2018, arXiv:1710.10467) with the weights of Resemblyzer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from speech_eval.signal.features import mel_power

_HOP = 160  # samples between two mel frames
_PARTIAL = 160  # frames of a partial utterance: 1.6 s
_STEP = 77  # frames from one partial to the next: 1.3 partials a second
_MIN_COVERAGE = 0.75  # the part of a last partial that must be speech, not padding
_LOUDNESS = -30.0  # dBFS that quieter speech is raised to


class GE2E(nn.Module):
    """Mel power [B, 160, 40] to embeddings [B, 256] of unit length and without negative components."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(40, 256, num_layers=3, batch_first=True)
        self.linear = nn.Linear(256, 256)

    def forward(self, mels: Tensor) -> Tensor:
        _, (hidden, _) = self.lstm(mels)
        return functional.normalize(functional.relu(self.linear(hidden[-1])), dim=1)

    @classmethod
    def load(cls, path: Path) -> GE2E:
        """The network with the published weights; the scale and offset of the training loss are left out by name."""
        state = dict(torch.load(path, map_location="cpu", weights_only=True)["model_state"])
        for name in ("similarity_weight", "similarity_bias"):
            state.pop(name)
        network = cls()
        network.load_state_dict(state, strict=True)
        return network.eval()

    @torch.no_grad()
    def embed(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """One embedding [256] of unit length for 16 kHz samples: the mean over overlapping partials of 1.6 s.

        Quiet speech is first raised to -30 dBFS, for the mel power is not logarithmic. Pauses are not cut out.
        """
        starts = partial_starts(len(samples))
        end = (starts[-1] + _PARTIAL) * _HOP
        padded = np.pad(raise_level(samples), (0, max(0, end - len(samples))))
        mels = mel_power(padded)
        partials = np.stack([mels[start : start + _PARTIAL] for start in starts])
        mean = self(torch.from_numpy(partials)).mean(dim=0)
        embedding: NDArray[np.float32] = functional.normalize(mean, dim=0).numpy()
        return embedding


def partial_starts(length: int) -> list[int]:
    """First mel frames of the partials of `length` samples: always one, and no last one that is mostly padding."""
    frames = -(-(length + 1) // _HOP)
    starts = list(range(0, max(1, frames - _PARTIAL + _STEP + 1), _STEP))
    coverage = (length - starts[-1] * _HOP) / (_PARTIAL * _HOP)
    return starts[:-1] if coverage < _MIN_COVERAGE and len(starts) > 1 else starts


def raise_level(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Samples of at least -30 dBFS RMS; louder ones as they are."""
    rms = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
    gain = 10.0 ** (_LOUDNESS / 20.0) / rms
    return samples * np.float32(gain) if gain > 1.0 else samples

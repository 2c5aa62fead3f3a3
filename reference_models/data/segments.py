"""Random segments of recordings in an order that is a pure function of the seed, so that batch 1234 is the same in an
uninterrupted run and in a resumed one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from speech_eval.audio import Audio, check_waveform, load
from speech_eval.audio.waveform import mono
from speech_eval.errors import BadAudio
from speech_eval.reference_models.data.corpus import Clip, LeftOut
from speech_eval.reference_models.data.inspection import SILENT_PEAK
from speech_eval.reference_models.training.config import Policy

_OFFSETS_TRIED = 4  # random places tried before a recording counts as silent


@dataclass(frozen=True)
class Batch:
    """`audio` [B, 1, T], the ids of its clips, and the recordings that were skipped to fill it."""

    audio: Tensor
    clips: list[str]
    incidents: list[LeftOut] = field(default_factory=list)


class Segments:
    """An endless sequence of segments of `seconds`, `rate` Hz: item i is a function of i, the seed and the clips.

    An epoch visits every clip about once per segment length that it contains, in shuffled order, at a random place each
    time; shorter clips are padded with silence. `gain_db` is the largest random change of level, `policy` says whether
    a recording that is unreadable or silent is skipped and reported, or ends the training.
    """

    def __init__(
        self, clips: list[Clip], rate: int, seconds: float, *, seed: int, gain_db: float = 0.0, policy: Policy = "skip"
    ) -> None:
        self.clips, self.rate, self.seconds = clips, rate, seconds
        self.seed, self.gain_db, self.policy = seed, gain_db, policy
        visits = [max(1, round(clip.seconds / seconds)) for clip in clips]
        self._slots = np.repeat(np.arange(len(clips)), visits)

    @property
    def epoch(self) -> int:
        """Segments per epoch."""
        return len(self._slots)

    def __getitem__(self, index: int) -> tuple[Tensor, str, list[LeftOut]]:
        """A segment [1, T], its clip's id, and the clips skipped to find it."""
        incidents: list[LeftOut] = []
        for attempt in range(len(self._slots)):
            # What follows in the epoch takes the place of a clip that is passed over.
            epoch, place = divmod(index, self.epoch)
            place = (place + attempt) % self.epoch
            clip = self.clips[self._order(epoch)[place]]
            try:
                return self._segment(clip, np.random.default_rng((self.seed, epoch, place))), clip.id, incidents
            except BadAudio as error:
                if self.policy == "stop":
                    raise
                incidents.append(
                    LeftOut(clip.id, "silent" if isinstance(error, Silent) else "unreadable", error.problem)
                )
        raise BadAudio(f"None of the {len(self.clips)} recordings can be used.", "Check them: speech-eval data check.")

    @lru_cache(maxsize=2)  # noqa: B019 - one object a training run
    def _order(self, epoch: int) -> np.ndarray[Any, np.dtype[np.int64]]:
        return np.random.default_rng((self.seed, epoch)).permutation(self._slots)

    def _segment(self, clip: Clip, random: np.random.Generator) -> Tensor:
        frames = round(self.seconds * self.rate)
        gain = 10.0 ** (random.uniform(-self.gain_db, self.gain_db) / 20.0)
        for _ in range(_OFFSETS_TRIED):
            start = random.uniform(0.0, max(0.0, clip.seconds - self.seconds))
            samples = read(clip, start, self.seconds).resampled(self.rate).samples[:frames]
            if len(samples) and abs(samples).max() >= SILENT_PEAK:
                # Louder than full scale would be clipped by every file format.
                samples = samples * min(gain, 1.0 / float(abs(samples).max()))
                return torch.from_numpy(np.pad(samples, (0, frames - len(samples))).astype(np.float32))[None]
        raise Silent(f"{clip.id}: silent at {_OFFSETS_TRIED} random places.", "Take it out of the folder.")


class Silent(BadAudio):
    """A recording that is silent at every place that was tried."""


def read(clip: Clip, start: float, seconds: float) -> Audio:
    """A part of a recording at the file's own rate, the mean of its channels. Raises `BadAudio` naming the clip."""
    frames, first = math.ceil(seconds * clip.rate), int(start * clip.rate)
    if not clip.seekable:
        audio = load(clip.path)
        return check_waveform(audio.samples[first : first + frames], audio.rate, clip.id)
    import soundfile

    try:
        samples, rate = soundfile.read(clip.path, frames=frames, start=first, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise BadAudio(f"{clip.id}: cannot be decoded at {start:.2f} s ({error}).", "Record it again.") from error
    return check_waveform(mono(samples), rate, clip.id)


class Batches(torch.utils.data.Dataset[Batch]):
    """Batch k of a process: items k·B·W + r·B … of the sequence, for batch size B and process r of W."""

    def __init__(self, segments: Segments, size: int, rank: int = 0, world: int = 1) -> None:
        self.segments, self.size, self.rank, self.world = segments, size, rank, world

    @property
    def epoch(self) -> int:
        """Whole batches per epoch, at least one."""
        return max(1, self.segments.epoch // (self.size * self.world))

    def __getitem__(self, step: int) -> Batch:
        first = (step * self.world + self.rank) * self.size
        items = [self.segments[index] for index in range(first, first + self.size)]
        incidents = [incident for item in items for incident in item[2]]
        return Batch(torch.stack([item[0] for item in items]), [item[1] for item in items], incidents)

    def from_step(self, start: int, stop: int, workers: int = 0) -> Iterator[Batch]:
        """The batches of steps `start` to `stop`, decoded in advance by `workers` processes."""
        loader = torch.utils.data.DataLoader(
            self,
            batch_size=None,
            sampler=range(start, stop),
            num_workers=workers,
            persistent_workers=False,
            multiprocessing_context="spawn" if workers else None,
        )
        return iter(loader)

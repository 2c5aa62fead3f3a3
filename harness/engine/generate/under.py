"""A task under a condition: the model gets each recording, or voice prompt, in noise, in a room or over a line.

What a condition does follows from the run's seed and the path of the recording. Metrics see the recordings as they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from speech_eval.audio import Audio, load
from speech_eval.datasets.dataset import Dataset
from speech_eval.records import Sample
from speech_eval.signal.conditions import CLEAN, Condition

if TYPE_CHECKING:
    from speech_eval.engine.task import Task

# Interfaces whose requests have recordings, beside those whose tasks measure what comes back against them.
CHANGEABLE = ("SpeechRecognizer", "AudioLanguageModel", "SpeechSynthesizer")
LEAST = 2  # other recordings that a babble is made of
_KEPT = 64  # recordings in memory that babble is made of


def given(sample: Sample, interface: str) -> str | None:
    """The path of the recording that a request of the interface holds."""
    return sample.prompt_audio if interface == "SpeechSynthesizer" else sample.audio


def obstacle(task: Task, interface: str, dataset: Dataset, condition: Condition, *, hears: bool) -> str:
    """Why a task cannot be asked under a condition; empty where it can."""
    if condition == CLEAN:
        return ""
    paths = {path for sample in dataset.samples if (path := given(sample, interface))}
    if interface not in CHANGEABLE or not task.generate.changeable:
        reason = f"the recordings of {task.name} are not changed"
    elif task.ask == "text" or not hears:
        reason = "the model is given no recording"
    elif not paths:
        reason = f"{dataset.info.name} has no {'voice prompts' if interface == 'SpeechSynthesizer' else 'recordings'}"
    elif condition.takes_others and len(paths) <= LEAST:
        reason = f"{dataset.info.name} has too few recordings to make babble of"
    else:
        return ""
    return f"{task.name} under {condition}: {reason}"


class Changed:
    """The recordings of `dataset` under a condition; babble is made of those of `pool`.

    The recordings of a babble are of other speakers than its sample's, where the data states speakers and at least two
    recordings are of others; else they are any but the sample's own.
    """

    def __init__(
        self, condition: Condition, interface: str, dataset: Dataset, pool: Sequence[Sample], seed: int
    ) -> None:
        self._condition, self._seed = condition, seed
        self._speakers = {path: sample.speaker for sample in pool if (path := given(sample, interface))}
        self._load = lru_cache(_KEPT)(lambda path: load(dataset.audio_path(path)))

    def __call__(self, path: str, audio: Audio) -> Audio:
        digest = hashlib.sha256(f"{self._seed}/under/{path}".encode()).digest()
        others = self._others(path) if self._condition.takes_others else []
        loads = [partial(self._load, other) for other in others]
        return self._condition.apply(audio, int.from_bytes(digest[:8], "big"), loads)

    def _others(self, path: str) -> list[str]:
        """Paths of other recordings, in an order that does not hang on that of the data."""
        rest, own = sorted(self._speakers.keys() - {path}), self._speakers.get(path)
        strangers = [other for other in rest if own is not None and self._speakers[other] != own]
        return strangers if len(strangers) >= LEAST else rest

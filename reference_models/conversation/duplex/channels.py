"""Two-channel recordings with one speaker per channel, and when the words of each are said.

A sample is a stereo recording, the agent on the left, with one of two columns (metadata of the sample):

words   [[channel, word, start, end], …]   seconds, from an aligner or a synthesizer
turns   [[channel, text, start, end], …]   each word takes its letters' share of the turn
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from speech_eval.audio import Audio, check_waveform
from speech_eval.errors import BadAudio, BadInput
from speech_eval.records import Sample
from speech_eval.reference_models.conversation.duplex.layout import Word, aligned

AGENT, USER = 0, 1


def load_channels(path: Path, rate: int) -> list[Audio]:
    """The channels of a recording at `rate`, as many as it has. Raises `BadAudio` naming the file."""
    import soundfile

    try:
        samples, own = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise BadAudio(f"{path}: not a readable audio file ({error}).", "Convert it to WAV or FLAC.") from error
    return [check_waveform(np.ascontiguousarray(one), own, str(path)).resampled(rate) for one in samples.T]


def words_in(sample: Sample) -> list[list[Word]]:
    """The words of the agent and of the user, in order. Raises `BadInput` saying what cannot be read."""
    rows = sample.metadata.get("words")
    if rows is not None:
        found = [(channel, [Word(text, start, end)]) for channel, text, start, end in _rows(sample, rows, "words")]
    elif (rows := sample.metadata.get("turns")) is not None:
        found = [(channel, aligned(text, start, end)) for channel, text, start, end in _rows(sample, rows, "turns")]
    else:
        raise BadInput(
            f"{sample.id}: neither 'words' nor 'turns' tell what is said on each channel.",
            "Add [[channel, text, start, end], …] as the column turns; channel 0 is the agent.",
        )
    channels: list[list[Word]] = [[], []]
    for channel, words in sorted(found, key=lambda item: item[1][0].start if item[1] else 0.0):
        channels[channel] += words
    return channels


def _rows(sample: Sample, rows: Any, column: str) -> Iterator[tuple[int, str, float, float]]:
    for number, row in enumerate(rows if isinstance(rows, Sequence) else [rows]):
        try:
            channel, text, start, end = row
            good = channel in (AGENT, USER) and isinstance(text, str) and 0.0 <= float(start) <= float(end) < math.inf
        except (TypeError, ValueError, OverflowError):
            good = False
        if not good:
            raise BadInput(
                f"{sample.id}: row {number} of '{column}' is {row!r:.200}.",
                "Each is [channel, text, start, end]: 0 (agent) or 1 (user), a text, and seconds.",
            )
        yield int(channel), text, float(start), float(end)


def turns_of(words: Sequence[Word], gap: float = 1.0) -> list[list[Word]]:
    """Words of one channel in groups with less than `gap` seconds between two."""
    starts = [0, *(n for n, (a, b) in enumerate(itertools.pairwise(words), 1) if b.start - a.end >= gap), len(words)]
    return [list(words[a:b]) for a, b in itertools.pairwise(starts) if b > a]

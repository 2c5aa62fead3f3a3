"""Which split of an AudioFolder a sample belongs to."""

from __future__ import annotations

from speech_eval import datasets
from speech_eval.records import Sample


def split_of(sample: Sample) -> str:
    """The split that a prepared folder states; without one, by id: `held-out` for the eighth that
    `datasets.held_out` names, `train` for the others."""
    stated = sample.metadata.get("split")
    if stated is not None:
        return str(stated)
    return "held-out" if datasets.held_out(sample.id) else "train"

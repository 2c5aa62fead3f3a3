"""Which split of its data a sample belongs to."""

from __future__ import annotations

import re

from speech_eval import datasets
from speech_eval.datasets.formats.splits import is_split
from speech_eval.records import Sample

TRAIN, HELD_OUT, HELD_OUT_SPEAKER = SPLITS = ("train", "held-out", "held-out-speaker")


def split_of(sample: Sample) -> str | None:
    """The split that the column `split` states: `train` for names such as `train-clean-100`, `held-out` for those of
    validation and test splits, None for a name that is not known as a split.

    Without the column, by id: `held-out` for the eighth that `datasets.held_out` names, `train` for the others.
    """
    stated = sample.metadata.get("split")
    if stated is None:
        return HELD_OUT if datasets.held_out(sample.id) else TRAIN
    name = re.sub(r"[\s_]+", "-", str(stated).strip().lower())
    if name in SPLITS:
        return name
    if not (is_split(name) or name == "heldout"):
        return None
    return TRAIN if re.split(r"[-.]", name)[0] in ("train", "training") else HELD_OUT

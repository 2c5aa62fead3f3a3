"""The one number of VoiceBench's board: the mean over its subsets, ratings of 1 to 5 brought to 100."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from harness.errors import BadInput
from harness.metrics.base import Metric, ScoringItem, Summary, Unscorable, Value
from harness.metrics.voicebench.records import SOURCE
from harness.types import Sample

RATED = ("alpacaeval", "commoneval", "wildvoice")
SUBSETS = (*RATED, "sd-qa", "mmsu", "openbookqa", "bbh", "ifeval", "advbench")
# The board had six subsets until mmsu came in December 2024, then seven until bbh and wildvoice in April 2025.
SEVEN = tuple(name for name in SUBSETS if name not in ("wildvoice", "bbh"))
SIX = tuple(name for name in SEVEN if name != "mmsu")
_ALIASES = {"alpacaeval-full": "alpacaeval", "sdqa": "sd-qa", "obqa": "openbookqa", "openbook-qa": "openbookqa"}


def _mean_over(
    names: tuple[str, ...], columns: dict[str, NDArray[np.float64]], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The mean over `names`; undefined unless each is there once, so in every resample too: subsets are no sample."""
    rows = [np.flatnonzero(columns["subset"] == SUBSETS.index(name)) for name in names]
    if any(len(found) != 1 for found in rows):
        return np.full(len(weights), np.nan)
    mean = columns["value"][np.concatenate(rows)].mean()
    return np.where((weights == 1).all(axis=1), mean, np.nan)


class Overall(Metric):
    """Mean over the subsets, from records of one subset each: `{"id": "mmsu", "value": 62.17}`.

    Values are as the board prints them: ratings from 1 to 5 for alpacaeval (636 questions, `alpacaeval_full`),
    commoneval and wildvoice, which count twenty-fold, and per cent for the rest. A mean whose subsets are not all
    there, each once, is undefined. A subset whose `value` is null counts 0 in `strict`.
    """

    id = "overall[voicebench]"
    description = "VoiceBench's overall: mean over nine subsets, with the older means over seven and six"
    source = f"{SOURCE}: the board in README.md"
    summaries = tuple(
        Summary(name, "function", ("subset", "value"), "%", "higher", headline=names is SUBSETS, function=function)
        for name, names, function in (
            ("overall", SUBSETS, partial(_mean_over, SUBSETS)),
            ("overall-7", SEVEN, partial(_mean_over, SEVEN)),
            ("overall-6", SIX, partial(_mean_over, SIX)),
        )
    )

    def score(self, item: ScoringItem) -> Value:
        """Parts: `subset`, its place in `SUBSETS`, and `value` out of 100."""
        sample = item.sample
        name = subset_of(sample)
        if "value" not in sample.metadata:
            raise BadInput(f"Sample {sample.id} has no `value`.", "Give the subset's number as the board prints it.")
        value = sample.metadata["value"]
        if value is None:
            raise Unscorable(f"The subset {name} has no number.", "Run it.")
        most = 5 if name in RATED else 100
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
            raise BadInput(f"{name}: {value!r} is not a number from 0 to {most}.", "Give it as the board prints it.")
        scaled = value * (20.0 if name in RATED else 1.0)
        return Value(parts={"subset": float(SUBSETS.index(name)), "value": scaled}, detail={"subset": name})

    def failure(self, sample: Sample) -> dict[str, float]:
        return {"subset": float(SUBSETS.index(subset_of(sample))), "value": 0.0}


def subset_of(sample: Sample) -> str:
    """The subset a record is about, by its id; raises `BadInput` for another name."""
    name = sample.id.lower().replace("_", "-").removeprefix("voicebench-")
    name = _ALIASES.get(name, name)
    if name not in SUBSETS:
        raise BadInput(f"'{sample.id}' is no subset of VoiceBench's overall.", f"Use {', '.join(SUBSETS)}.")
    return name

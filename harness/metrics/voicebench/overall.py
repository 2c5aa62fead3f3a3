"""The one number of VoiceBench's board: the mean over its subsets, ratings of 1 to 5 brought to 100."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speech_eval.errors import BadInput
from speech_eval.metrics.base import Metric, ScoringItem, Summary, Unscorable, Value
from speech_eval.metrics.voicebench.records import SOURCE
from speech_eval.records import Sample

RATED = ("alpacaeval", "commoneval", "wildvoice")
SUBSETS = (*RATED, "sd-qa", "mmsu", "openbookqa", "bbh", "ifeval", "advbench")
# The board had six subsets until mmsu came in December 2024, then seven until bbh and wildvoice in April 2025.
SEVEN = tuple(name for name in SUBSETS if name not in ("wildvoice", "bbh"))
SIX = tuple(name for name in SEVEN if name != "mmsu")
_ALIASES = {"alpacaeval-full": "alpacaeval", "sdqa": "sd-qa", "obqa": "openbookqa", "openbook-qa": "openbookqa"}


def _mean_over(
    names: tuple[str, ...], columns: dict[str, NDArray[np.float64]], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The mean over `names`; undefined unless each is there equally often. Subsets are no sample, so a resample that
    leaves one out has no mean either."""
    counts = np.stack([weights @ columns[f"{name}-given"] for name in names])
    sums = np.stack([weights @ columns[name] for name in names])
    with np.errstate(invalid="ignore"):
        means = (sums / counts).mean(axis=0)
    return np.where((counts == counts[0]).all(axis=0) & (counts[0] > 0), means, np.nan)


def _summary(name: str, names: tuple[str, ...]) -> Summary:
    parts = (*names, *(f"{subset}-given" for subset in names))
    headline = names is SUBSETS
    return Summary(name, "function", parts, "%", "higher", headline=headline, function=partial(_mean_over, names))


class Overall(Metric):
    """Mean over the subsets, from records of one subset each, `{"id": "mmsu", "value": 62.17}`, or of one model each,
    `{"id": "moshi", "alpacaeval": 2.01, "mmsu": 24.04, …}`, whose `value` is its overall.

    Values are as the board prints them: ratings from 1 to 5 for alpacaeval (636 questions, `alpacaeval_full`),
    commoneval and wildvoice, which count twenty-fold, and per cent for the rest. A mean whose subsets are not all
    there, each once, is undefined. A subset whose `value` is null counts 0 in `strict`.
    """

    id = "overall[voicebench]"
    description = "VoiceBench's overall: mean over nine subsets, with the older means over seven and six"
    source = f"{SOURCE}: the board in README.md"
    summaries = (_summary("overall", SUBSETS), _summary("overall-7", SEVEN), _summary("overall-6", SIX))

    def score(self, item: ScoringItem) -> Value:
        """Parts: each subset's number out of 100, and `SUBSET-given`, 1 where the record has it, else 0."""
        given = values_of(item.sample)
        if set(given.values()) == {None}:
            raise Unscorable(f"{', '.join(given)}: no number.", "Run it.")
        known = {name: value for name, value in given.items() if value is not None}
        return Value(_parts(given), {"subsets": known}, _parts(known))

    def failure(self, sample: Sample) -> dict[str, float]:
        return _parts(dict.fromkeys(values_of(sample), None))


def values_of(sample: Sample) -> dict[str, float | None]:
    """The subsets a record is about and their numbers as the board prints them, null for none.

    A record is one subset (its name in `id` or `subset`, its number in `value` or `score`), or a model with a field
    for each of its subsets. Raises `BadInput` for other names and for numbers that are not the board's.
    """
    data = sample.metadata
    whole = {name: value for key, value in data.items() if (name := _canonical(key)) in SUBSETS}
    if whole:
        return {name: _checked(name, value) for name, value in whole.items()}
    name = subset_of(sample)
    if not {"value", "score"} & data.keys():
        raise BadInput(f"Sample {sample.id} has no `value`.", "Give the subset's number as the board prints it.")
    return {name: _checked(name, data.get("value", data.get("score")))}


def _checked(name: str, value: Any) -> float | None:
    if value is None:
        return None
    most = 5 if name in RATED else 100
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise BadInput(f"{name}: {value!r} is not a number from 0 to {most}.", "Give it as the board prints it.")
    return value * (20.0 if name in RATED else 1.0)


def _parts(given: dict[str, Any]) -> dict[str, float]:
    values = {name: float(given.get(name) or 0.0) for name in SUBSETS}
    return values | {f"{name}-given": float(name in given) for name in SUBSETS}


def _canonical(name: str) -> str:
    name = name.lower().replace("_", "-").removeprefix("voicebench-")
    return _ALIASES.get(name, name)


def subset_of(sample: Sample) -> str:
    """The subset a record is about, by its id or its `subset`; raises `BadInput` for another name."""
    named = sample.metadata.get("subset", sample.id)
    name = _canonical(str(named))
    if name not in SUBSETS:
        raise BadInput(f"'{named}' is no subset of VoiceBench's overall.", f"Use {', '.join(SUBSETS)}.")
    return name

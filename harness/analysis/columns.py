"""Columns of stored samples, and the slices that a column cuts a task into.

A column is a field of `Sample`, a key of its `metadata`, or `length`: the words of its text, or the characters where
the language does not separate words. Numbers are cut at their quartiles or at given bounds, other values stand for
themselves.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from speech_eval.engine.run_files import brief
from speech_eval.errors import BadInput
from speech_eval.records import Sample
from speech_eval.text import separates_words

LENGTH = "length"
MOST_SLICES = 200
_FEW = 4  # so many different numbers are not cut
_NO_COLUMNS = {"schema_version", "id", "audio_sha256", "prompt_audio_sha256", "metadata"}
FIELDS = tuple(name for name in Sample.model_fields if name not in _NO_COLUMNS)


@dataclass(frozen=True)
class Cut:
    """The slices of a task: `ids` of the samples by the slice's name, in order, and the samples without a value."""

    ids: dict[str, frozenset[str]]
    unstated: frozenset[str]


def columns(samples: Sequence[Sample]) -> list[str]:
    """The columns that some sample states: fields first, then the keys of `metadata`, then `length`."""
    fields = [name for name in FIELDS if any(_stated(getattr(sample, name)) for sample in samples)]
    keys = sorted({key for sample in samples for key, value in sample.metadata.items() if _stated(value)})
    length = [LENGTH] if any(sample.text for sample in samples) else []
    return list(dict.fromkeys([*fields, *keys, *length]))


def cut(samples: Sequence[Sample], column: str, bounds: Sequence[float] = ()) -> Cut | None:
    """The slices of `samples` by `column`; None where no sample states it. With `bounds`, numbers below the first, from
    each to the next, and from the last on.

    Raises `BadInput` for more than `MOST_SLICES` slices, and for `bounds` on values that are not numbers.
    """
    if column not in columns(samples):
        return None
    read = _reader(samples, column)
    values = {sample.id: value for sample in samples if _stated(value := read(sample))}
    numbers = {key: number for key, value in values.items() if (number := _number(value, bool(bounds))) is not None}
    if bounds and (others := values.keys() - numbers.keys()):
        raise BadInput(
            f"Column '{brief(column)}' is not a number in sample {brief(min(others))} and {len(others) - 1} others.",
            "Leave --bins out.",
        )
    edges = sorted(set(bounds))
    if not bounds and len(numbers) == len(values) and len(set(numbers.values())) > _FEW:
        quartiles = np.quantile(list(numbers.values()), (0.25, 0.5, 0.75), method="higher")
        lowest = min(numbers.values())
        edges = sorted({float(edge) for edge in quartiles} - {lowest})
        edges = edges or [min(number for number in numbers.values() if number > lowest)]
    if edges:
        names = [f"< {edges[0]:.12g}", *(f"{a:.12g} to < {b:.12g}" for a, b in pairwise(edges))]
        names.append(f"≥ {edges[-1]:.12g}")
        placed = {key: names[int(np.searchsorted(edges, number, "right"))] for key, number in numbers.items()}
    else:
        placed = {key: _text(value) for key, value in values.items()}
        by_number = {placed[key]: number for key, number in numbers.items()} if len(numbers) == len(values) else {}
        names = sorted(set(placed.values()), key=lambda name: (by_number.get(name, 0.0), name))
    found: dict[str, set[str]] = {name: set() for name in names}
    for key, name in placed.items():
        found[name].add(key)
    if len(found) > MOST_SLICES:
        raise BadInput(
            f"Column '{brief(column)}' has {len(found)} different values; at most {MOST_SLICES} slices are tested.",
            "Give another column with --by, or for numbers the bounds of slices with --bins.",
        )
    unstated = frozenset(sample.id for sample in samples if sample.id not in values)
    return Cut({name: frozenset(ids) for name, ids in found.items() if ids}, unstated)


def check_bounds(column: str | None, bounds: Sequence[float]) -> None:
    """Raise `BadInput` for bounds of slices without the column that they cut."""
    if bounds and column is None:
        raise BadInput("--bins cuts a column of the samples, and none is named.", "Add --by COLUMN, or leave it out.")


def no_column(column: str, samples: Sequence[Sample]) -> BadInput:
    """The error for a column that no sample states: it names the columns there are."""
    known = [brief(name, 60) for name in columns(samples)]
    shown = ", ".join(known[:30]) + (f" and {len(known) - 30} more" if len(known) > 30 else "")
    return BadInput(
        f"No sample states a column '{brief(column)}'.", f"Give with --by one of: {shown}." if known else ""
    )


def _reader(samples: Sequence[Sample], column: str) -> Callable[[Sample], Any]:
    """How to read a column: a field that some sample states hides a key of the same name, and either hides `length`."""
    if column in FIELDS and any(_stated(getattr(sample, column)) for sample in samples):
        return lambda sample: getattr(sample, column)
    if any(_stated(sample.metadata.get(column)) for sample in samples):
        return lambda sample: sample.metadata.get(column)
    return _length


def _length(sample: Sample) -> int | None:
    if not sample.text:
        return None
    words = sample.text.split()
    return len(words) if separates_words(sample.language) else len("".join(words))


def _stated(value: Any) -> bool:
    if isinstance(value, str):
        return bool(value.strip())
    return value not in (None, [], {}) and not (isinstance(value, float) and math.isnan(value))


def _number(value: Any, texts: bool) -> float | None:
    """The value as a number, with `texts` also a text that states one. Names of speakers such as "1089" stay names."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str) if texts else (int, float)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)

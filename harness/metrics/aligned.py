"""Fields of turn-taking records: time-aligned words, segments, and numbers, each checked where it is read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from harness.errors import BadInput
from harness.types import Sample


@dataclass(frozen=True)
class Word:
    """A word with its times in seconds; an aligner may leave either open."""

    text: str
    start: float | None
    end: float | None

    @property
    def times(self) -> list[float]:
        return [time for time in (self.start, self.end) if time is not None]


@dataclass(frozen=True)
class Segment:
    """A stretch of speech in seconds; `words` where the record counts them itself."""

    start: float
    end: float
    words: int | None = None

    @property
    def duration(self) -> float:
        return self.end - self.start


def field(sample: Sample, name: str) -> Any:
    """A field of the sample's metadata; raises `BadInput` where it is absent (null is an answer)."""
    if name not in sample.metadata:
        raise BadInput(f"Sample {sample.id} has no field '{name}'.", f"Add it; docs/protocols.md says what {name} is.")
    return sample.metadata[name]


def number(sample: Sample, name: str) -> float | None:
    """A number of the metadata, None where it is null."""
    return _time(sample, name, field(sample, name))


def words(sample: Sample) -> list[Word] | None:
    """The field `words`: `[[text, start, end], …]` or `[{"text", "start", "end"}, …]`; None where it is null."""
    entries = _entries(sample, "words")
    if entries is None:
        return None
    found = []
    for entry in entries:
        text, start, end = _triple(entry, ("text", "start", "end"))
        if not isinstance(text, str):
            raise BadInput(f"Sample {sample.id}: a word is not text: {entry!r}.", "Write [text, start, end].")
        found.append(Word(text, _time(sample, "words", start), _time(sample, "words", end)))
    return found


def segments(sample: Sample) -> list[Segment]:
    """The field `segments`: `[[start, end], …]` or `[{"start", "end"[, "words"]}, …]`, `words` a list or a number."""
    found = []
    for entry in _entries(sample, "segments") or []:
        start, end, count = _triple(entry, ("start", "end", "words"))
        start, end = _time(sample, "segments", start), _time(sample, "segments", end)
        if start is None or end is None or end < start:
            raise BadInput(f"Sample {sample.id}: not a segment: {entry!r}.", "Write [start, end] in seconds.")
        count = len(count) if isinstance(count, list) else count
        if not (count is None or (isinstance(count, int) and count >= 0)):
            raise BadInput(f"Sample {sample.id}: not words: {entry!r}.", "Give a segment its words or their number.")
        found.append(Segment(start, end, count))
    return found


def _entries(sample: Sample, name: str) -> list[Any] | None:
    entries = field(sample, name)
    if entries is not None and not isinstance(entries, list):
        raise BadInput(f"Sample {sample.id}: '{name}' is not a list.", "See docs/protocols.md for the fields.")
    return entries


def _triple(entry: Any, keys: tuple[str, str, str]) -> tuple[Any, Any, Any]:
    if isinstance(entry, dict):
        first, second, third = (entry.get(key) for key in keys)
        return first, second, third
    if isinstance(entry, list) and 2 <= len(entry) <= 3:
        return entry[0], entry[1], entry[2] if len(entry) == 3 else None
    return None, None, None


def _time(sample: Sample, name: str, value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadInput(f"Sample {sample.id}: '{name}' holds {value!r}, which is no time.", "Give seconds.")
    return float(value)

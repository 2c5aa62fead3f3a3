"""Fields of turn-taking records: time-aligned words, segments and numbers, checked when they are read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from speech_eval.errors import BadInput
from speech_eval.records import Sample


@dataclass(frozen=True)
class Word:
    """A word with its times in seconds; either is None where the aligner gave none."""

    text: str
    start: float | None
    end: float | None

    @property
    def times(self) -> list[float]:
        return [time for time in (self.start, self.end) if time is not None]


@dataclass(frozen=True)
class Segment:
    """A segment of speech in seconds; `words` is its number of words, where the record has one."""

    start: float
    end: float
    words: int | None = None

    @property
    def duration(self) -> float:
        return self.end - self.start


# Other names of a field; the first that a record has is read. The nested ones occur in the original's files.
ALIASES = {
    "words": ("words", "chunks", "output.chunks"),
    "segments": ("segments", "speech", "vad", "agent_segments", "model_segments", "output_segments"),
    "user_segments": ("user_segments", "user_speech", "user_vad", "input_segments"),
    "behavior": ("behavior", "behaviour", "tags", "tag", "content_tag"),
    "turn_end": (
        *("turn_end", "user_turn_end", "user_end", "turn_end_time", "input_end_time", "input_end", "end_time"),
        *("turn_taking.0.timestamp.0", "interrupt.0.timestamp.1"),
    ),
    "judge": ("judge", "judge_reply", "judge_replies", "judge_response", "replies", "rating"),
    "duration": ("duration", "audio_duration", "total_duration", "seconds"),
    "distribution": ("distribution", "gt_distribution", "reference_distribution", "ground_truth_distribution"),
}


def columns_of(*names: str) -> frozenset[str]:
    """The columns of a dataset under which the fields `names` may stand."""
    return frozenset(path.partition(".")[0] for name in names for path in ALIASES[name])


# Keys of the two times of an entry.
STARTS, ENDS = ("start", "start_time", "begin", "t_start"), ("end", "end_time", "stop", "t_end")
_MISSING = object()


def field(sample: Sample, name: str) -> Any:
    """A field of the sample's metadata, by its name or one of its `ALIASES`. Raises `BadInput` where it is absent; null
    is a value."""
    found = _find(sample, name)
    if found is _MISSING:
        raise BadInput(f"Sample {sample.id} has no field '{name}'.", f"Add it; docs/protocols.md describes {name}.")
    return found


def has(sample: Sample, name: str) -> bool:
    """Whether the sample's metadata has the field under any of its names."""
    return _find(sample, name) is not _MISSING


def _find(sample: Sample, name: str) -> Any:
    values = (_value(sample.metadata, path.split(".")) for path in ALIASES.get(name, (name,)))
    return next((value for value in values if value is not _MISSING), _MISSING)


def _value(data: Any, path: list[str]) -> Any:
    for step in path:
        if isinstance(data, list) and step.isdigit() and int(step) < len(data):
            data = data[int(step)]
        elif isinstance(data, dict) and step in data:
            data = data[step]
        else:
            return _MISSING
    return data


def number(sample: Sample, name: str) -> float | None:
    """A number of the metadata, None where it is null."""
    return _time(sample, name, field(sample, name))


def words(sample: Sample, *, or_segments: bool = False) -> list[Word] | None:
    """The field `words`, or with `or_segments` the field `segments` where there is no other; None where it is null.

    Entries: `[text, start, end]`, `{"text" or "word", "start", "end"}` or `{"text", "timestamp": [start, end]}`.
    """
    name = "segments" if or_segments and not has(sample, "words") and has(sample, "segments") else "words"
    entries = _entries(sample, name)
    if entries is None:
        return None
    found = []
    for entry in entries:
        text, start, end = _span(sample, "words", entry)
        found.append(Word(text or "", _time(sample, "words", start), _time(sample, "words", end)))
    return found


def segments(sample: Sample, name: str = "segments") -> list[Segment]:
    """The field `name`, empty where it is null. Entries are those of `words`, or `[start, end]`; `words` (a list or a
    number) or the text counts the words of a segment."""
    found = []
    for entry in _entries(sample, name) or []:
        text, start, end = _span(sample, name, entry)
        start, end = _time(sample, name, start), _time(sample, name, end)
        if start is None or end is None or end < start:
            raise BadInput(f"Sample {sample.id}: not a segment: {entry!r}.", "Write [start, end] in seconds.")
        count = entry.get("words") if isinstance(entry, dict) else None
        count = len(count) if isinstance(count, list) else count
        if count is None and text is not None:
            count = len(text.split())
        if not (count is None or (isinstance(count, int) and count >= 0)):
            raise BadInput(f"Sample {sample.id}: not words: {entry!r}.", "Give a segment its words or their number.")
        found.append(Segment(start, end, count))
    return found


def replies(sample: Sample) -> list[str]:
    """The judge's replies in the field `judge`: one text, or a list of texts; none where it is null."""
    given = field(sample, "judge")
    found = [given] if isinstance(given, str) else given
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(reply, str) for reply in found):
        raise BadInput(f"Sample {sample.id}: 'judge' is neither a reply nor a list of replies.", "Give its texts.")
    return found


def _entries(sample: Sample, name: str) -> list[Any] | None:
    entries = field(sample, name)
    if entries is not None and not isinstance(entries, list):
        raise BadInput(f"Sample {sample.id}: '{name}' is not a list.", "See docs/protocols.md for the fields.")
    return entries


def _span(sample: Sample, name: str, entry: Any) -> tuple[str | None, Any, Any]:
    """Text, start and end of an entry in any of its forms; raises `BadInput` for another form."""
    if isinstance(entry, dict):
        text = next((entry[key] for key in ("text", "word") if key in entry), None)
        times = entry.get("timestamp")
        if times is None:
            keys = [next((key for key in keys if key in entry), None) for keys in (STARTS, ENDS)]
            times = [entry[key] if key else None for key in keys] if any(keys) else None
    elif isinstance(entry, list):
        text = next((value for value in entry if isinstance(value, str)), None)
        times = [value for value in entry if not isinstance(value, str)]
    else:
        text, times = None, None
    if not isinstance(times, list) or len(times) != 2 or not isinstance(text, str | None):
        raise BadInput(f"Sample {sample.id}: '{name}' holds {entry!r}.", "Write [text, start, end] in seconds.")
    return text, times[0], times[1]


def _time(sample: Sample, name: str, value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadInput(f"Sample {sample.id}: '{name}' holds {value!r}, which is not a time.", "Give seconds.")
    return float(value)

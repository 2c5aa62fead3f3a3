"""Reading a reply of Full-Duplex-Bench v2's judge: rated events of a conversation, and a rating of its task.

The reply is a JSON object with a list of events and a task score, `[[start, end], turn-taking, instruction]` per event,
in many spellings. The list and the score are told by their form, so the names of their keys do not matter.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from speech_eval.metrics.dialogue.aligned import ENDS, STARTS

_FENCE = re.compile(r"```(?:\w+)?\s*(.*?)```", re.DOTALL)
_CLOCK = re.compile(r"(?:(\d+):)?(?:(\d+):)?(\d+(?:\.\d+)?)")
_PAIR = re.compile(r"[\[{(]\s*([^\[\]{}(),]+?)\s*,\s*([^\[\]{}(),]+?)\s*[\]})]")
_SCORE = r'"?(null|none|n/?a|-?\d+(?:\.\d+)?)"?'
_LINE = re.compile(rf"\[([^\[\]]*)\]\s*\"?\s*:\s*{_SCORE}\s*,\s*{_SCORE}", re.IGNORECASE)
_TASK = re.compile(rf"task[\w\s-]*[\"']?\s*[:=]\s*{_SCORE}", re.IGNORECASE)


@dataclass(frozen=True)
class Event:
    """A stretch of the conversation in seconds, and its ratings; None where the judge gives none."""

    start: float
    end: float
    turn_taking: float | None
    instruction: float | None

    @property
    def scores(self) -> tuple[float, float] | None:
        """Both ratings; None where one is missing."""
        both = self.turn_taking, self.instruction
        return None if both[0] is None or both[1] is None else (both[0], both[1])


@dataclass(frozen=True)
class Judgment:
    """What a reply says. `task` keeps the type that it has in the reply; `broken` where the list of events is null."""

    events: tuple[Event, ...]
    task: float | str | None
    broken: bool = False

    @property
    def empty(self) -> bool:
        return not self.events and self.task is None


def read(reply: str) -> Judgment:
    """The judgment in a reply, empty where there is none. Of several fenced blocks the events are joined, and the last
    task score counts; text that is not JSON is searched for `[start, end]: score, score`."""
    blocks = _FENCE.findall(reply) or [reply]
    found = [_object(block) for block in blocks]
    known = [judgment for judgment in found if judgment is not None]
    if not known:
        return _scanned(reply)
    tasks = [judgment.task for judgment in known if judgment.task is not None]
    events = tuple(event for judgment in known for event in judgment.events)
    return Judgment(events, tasks[-1] if tasks else None, any(judgment.broken for judgment in known))


def seconds(given: Any) -> float | None:
    """A time as a number, a number in text, `m:ss` or `h:mm:ss`; None for anything else, such as "5s"."""
    if isinstance(given, bool) or given is None:
        return None
    match = _CLOCK.fullmatch(str(given).strip().strip("\"'"))
    if match is None:
        return None
    hours, minutes = (match[1], match[2]) if match[2] is not None else (None, match[1])
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + float(match[3])


def score(given: Any) -> float | None:
    """A rating as a number or in text; None for null, "N/A" and anything else."""
    if isinstance(given, bool) or not isinstance(given, int | float | str):
        return None
    try:
        value = float(given)
    except ValueError:
        return None
    return value if abs(value) < 1e6 else None


# ------------------------------------------------------------------------------------------------- JSON


def _object(text: str) -> Judgment | None:
    """The judgment in the first JSON object of `text`; None where none has a list of events or a task score."""
    at = text.find("{")
    try:
        found, _ = json.JSONDecoder().raw_decode(text, at) if at >= 0 else (None, 0)
    except (json.JSONDecodeError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    listed = [(key, value) for key, value in found.items() if isinstance(value, list)]
    plain = [(key, value) for key, value in found.items() if isinstance(value, int | float | str)]
    task = next((value for key, value in plain if "task" in str(key).lower()), plain[0][1] if plain else None)
    null = any(value is None and "task" not in str(key).lower() for key, value in found.items())
    if not listed and not plain and not null:
        return None
    events = tuple(event for entry in (listed[0][1] if listed else []) for event in _events(entry))
    return Judgment(events, None if _nothing(task) else task, broken=null and not listed)


def _nothing(task: Any) -> bool:
    return task is None or (isinstance(task, str) and score(task) is None)


def _events(entry: Any) -> Iterator[Event]:
    """The events of one entry: its last two values are the ratings, every pair of times before them is an event."""
    values = list(entry.values()) if isinstance(entry, dict) else entry
    if not isinstance(values, list) or len(values) < 3:
        return
    *times, turn_taking, instruction = values
    for start, end in _pairs(times):
        yield Event(start, end, score(turn_taking), score(instruction))


def _pairs(given: Any) -> Iterator[tuple[float, float]]:
    """Every `[start, end]` in nested values."""
    if isinstance(given, dict):
        keys = [next((key for key in keys if key in given), None) for keys in (STARTS, ENDS)]
        given = [given[key] for key in keys if key] if all(keys) else list(given.values())
    if isinstance(given, str):
        for first, last in _PAIR.findall(given):
            yield from _pair(first, last)
    elif isinstance(given, list):
        if len(given) == 2 and all(seconds(value) is not None for value in given):
            yield from _pair(*given)
        else:
            for value in given:
                yield from _pairs(value)


def _pair(start: Any, end: Any) -> Iterator[tuple[float, float]]:
    first, last = seconds(start), seconds(end)
    if first is not None and last is not None:
        yield first, last


# ------------------------------------------------------------------------------------------------- text


def _scanned(reply: str) -> Judgment:
    events = []
    for times, turn_taking, instruction in _LINE.findall(reply):
        for start, end in _pairs(f"[{times}]"):
            events.append(Event(start, end, score(turn_taking), score(instruction)))
    tasks = [value for value in map(score, _TASK.findall(reply)) if value is not None]
    return Judgment(tuple(events), tasks[-1] if tasks else None)

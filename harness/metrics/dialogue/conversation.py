"""Whole conversations as Full-Duplex-Bench v2 scores them: a judge rates turn taking and instruction following of
events, and the task as a whole."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from speech_eval.metrics.base import Metric, ScoringItem, Summary, Unscorable, Value
from speech_eval.metrics.dialogue.aligned import field, replies
from speech_eval.metrics.dialogue.judged_events import Event, Judgment, read, score
from speech_eval.metrics.dialogue.turn_taking import Columns, Floats
from speech_eval.records import Sample

LEAST, MOST = 1.0, 5.0
BIN_SECONDS = 15
BINS = tuple(range(0, 120, BIN_SECONDS))
PUBLISHED_BINS = 5  # the first 75 s, over which the published figures are averages
_NAMES = ("turn-taking", "instruction")


def _ratio(numerator: str, denominator: str, columns: Columns, weights: Floats) -> Floats:
    """Weighted ratio; undefined with a reply that stops the original."""
    with np.errstate(divide="ignore", invalid="ignore"):
        value = (weights @ columns[numerator]) / (weights @ columns[denominator])
    return np.where(weights @ columns["crash"] > 0, np.nan, value)


def _first_bins(name: str, columns: Columns, weights: Floats) -> Floats:
    """Mean over the bins of the first 75 s that have an event."""
    found = np.stack(
        [_ratio(f"{name} {start}", f"seconds {start}", columns, weights) for start in BINS[:PUBLISHED_BINS]]
    )
    known = np.isfinite(found)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(known, found, 0.0).sum(axis=0) / known.sum(axis=0))


def _summaries() -> tuple[Summary, ...]:
    def ratio(name: str, numerator: str, denominator: str, headline: bool = True) -> Summary:
        function = partial(_ratio, numerator, denominator)
        parts = (numerator, denominator, "crash")
        return Summary(name, "function", parts, "", "higher", headline=headline, function=function)

    def whole(name: str) -> Summary:
        bins = BINS[:PUBLISHED_BINS]
        parts = (*(f"{name} {start}" for start in bins), *(f"seconds {start}" for start in bins), "crash")
        return Summary(f"{name}-75s", "function", parts, "", "higher", function=partial(_first_bins, name))

    means = [ratio(name, name, "events") for name in _NAMES]
    binned = [
        ratio(f"{name} {start}-{start + BIN_SECONDS}s", f"{name} {start}", f"seconds {start}", headline=False)
        for name in _NAMES
        for start in BINS
    ]
    unread = Summary("unread", "mean", ("unread",), "%", "lower", 100.0, headline=False)
    return (*means, ratio("task", "task", "tasks"), *(whole(name) for name in _NAMES), *binned, unread)


class Conversation(Metric):
    """Mean ratings of turn taking and of instruction following over all events, and of the task over conversations,
    each from 1 to 5; also per 15 s of the conversation, weighted by the seconds an event shares with them.

    The conversations are live, with an examiner that speaks, so they are scored from the judge's replies. `strict`: a
    reply without a rating counts 1 in everything, ratings outside the scale do not count, and an event ends after it
    starts. `compat` follows the original (docs/protocols.md).
    """

    id = "conversation[fdb@2]"
    description = "Conversations of Full-Duplex-Bench v2: a judge's ratings of turn taking, instructions and task, 1-5"
    source = "Full-Duplex-Bench v2 at d7336bd, v2/scoring/parse.py, score.py, score_time.py"
    summaries = _summaries()

    def score(self, item: ScoringItem) -> Value:
        """Reads `judge`, the reply, or a list of replies, of which the first counts. Raises `Unscorable` where it is
        null."""
        sample = item.sample
        if field(sample, "judge") is None or not (given := replies(sample)):
            raise Unscorable(f"Sample {sample.id}: no reply of the judge.", "Ask the judge, and fill in 'judge'.")
        judgment = read(given[0])
        events = [e for e in judgment.events if e.end > e.start and _valid(e.turn_taking) and _valid(e.instruction)]
        task = score(judgment.task)
        task = task if task is not None and 0 <= task <= MOST else None
        shown = [[e.start, e.end, e.turn_taking, e.instruction] for e in events]
        parts = _parts(events, task) if events or task is not None else self.failure(sample)
        return Value(parts, {"events": shown, "task": task}, _original(judgment))

    def failure(self, sample: Sample) -> dict[str, float]:
        """The lowest rating of everything, in every stretch of the conversation."""
        worst = [Event(float(start), float(start + BIN_SECONDS), LEAST, LEAST) for start in BINS]
        once = _parts(worst, LEAST)
        return once | dict.fromkeys(("events", *_NAMES), 1.0) | {"unread": 1.0}


def _valid(rating: float | None) -> bool:
    return rating is not None and LEAST <= rating <= MOST


def _original(judgment: Judgment) -> dict[str, float]:
    """Ratings are cut to whole numbers and may have any value; a task score in text does not count; null events end
    the scoring. Only the bins leave out an event that does not end after it starts."""
    whole = [
        Event(e.start, e.end, float(math.trunc(e.scores[0])), float(math.trunc(e.scores[1])))
        for e in judgment.events
        if e.scores
    ]
    task = None if isinstance(judgment.task, str) else judgment.task
    return _parts(whole, task) | {"crash": float(judgment.broken)}


def _parts(events: list[Event], task: float | None) -> dict[str, float]:
    rated = [(event, event.scores) for event in events if event.scores]
    parts = {"events": float(len(rated)), "crash": 0.0, "unread": 0.0}
    parts |= {name: float(sum(scores[at] for _, scores in rated)) for at, name in enumerate(_NAMES)}
    parts |= {"task": 0.0 if task is None else float(task), "tasks": float(task is not None)}
    for start in BINS:
        shared = [(max(0.0, min(e.end, start + BIN_SECONDS) - max(e.start, start)), scores) for e, scores in rated]
        parts[f"seconds {start}"] = float(sum(time for time, _ in shared))
        for at, name in enumerate(_NAMES):
            parts[f"{name} {start}"] = float(sum(time * scores[at] for time, scores in shared))
    return parts

"""Turn taking as Full-Duplex-Bench v1.0 measures it: smooth turn taking, pause handling and interruption.

Each reads time-aligned words of the agent's channel from the record. `strict` follows the definition; `compat` is the
output of the original's scripts, and null where they crash. Fields and differences: docs/protocols.md.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from speech_eval.metrics.base import Metric, ScoringItem, Summary, Unscorable, Value
from speech_eval.metrics.dialogue.aligned import Word, columns_of, field, number, replies, words
from speech_eval.records import Sample

SOURCE = "Lin et al. 2025 (Full-Duplex-Bench, arXiv:2503.04721), v1_v1.5/evaluation at d7336bd"
TURN_SECONDS = 1.0
TURN_WORDS = 3

Columns = dict[str, NDArray[np.float64]]
Floats = NDArray[np.float64]


def takes_turn(span: float, count: int) -> bool:
    """Whether speech of `count` words over `span` seconds is a turn: it has words, and is not short."""
    return count > 0 and (span >= TURN_SECONDS or count > TURN_WORDS)


def known_span(spoken: Sequence[Word]) -> float:
    """Seconds from the first to the last known time of the words; 0 where none is known."""
    times = [time for word in spoken for time in word.times]
    return max(times) - min(times) if times else 0.0


def original_span(spoken: Sequence[Word], *, open_end: bool = False) -> float | None:
    """The span as the original computes it: last word's end minus first word's start. None where that raises.

    With `open_end`, a last word without an end counts with its start.
    """
    first, last = spoken[0].start, spoken[-1].end
    if last is None and open_end:
        last = spoken[-1].start
    return None if first is None or last is None else last - first


def _answer(sample: Sample) -> list[Word]:
    spoken = words(sample, or_segments=True)
    if spoken is None:
        raise Unscorable(f"Sample {sample.id}: no transcript of the agent's channel.", "Align it and fill in 'words'.")
    return spoken


def _turn_parts(spoken: Sequence[Word], end: float | None) -> dict[str, float]:
    """`turn`, and where the turn's start and the input's end are both known (`timed`), `start` and `end`."""
    turn = takes_turn(known_span(spoken), len(spoken))
    starts = [word.start for word in spoken if word.start is not None]
    timed = turn and bool(starts) and end is not None
    return {
        "turn": float(turn),
        "timed": float(timed),
        "start": min(starts) if timed else 0.0,
        "end": float(end) if timed and end is not None else 0.0,
    }


def _ratio(numerator: Floats, denominator: Floats, columns: Columns, weights: Floats) -> Floats:
    """Weighted ratio, undefined where the original would crash on a drawn sample, or divide by zero."""
    undefined = (weights @ columns["crash"] > 0) | (weights @ columns["reported"] <= 0)
    return np.where(undefined, np.nan, (weights @ numerator) / (weights @ denominator))


def _share(numerator: str, denominator: str, columns: Columns, weights: Floats) -> Floats:
    return _ratio(columns[numerator], columns[denominator], columns, weights)


# ------------------------------------------------------------------------------------- smooth turn taking


def _smooth(which: str, columns: Columns, weights: Floats) -> Floats:
    """`turn-taking` under each row of weights.

    The original lists the annotated ends and the outputs separately and pairs them by position, so that a sample
    without an end shifts all later ends by one and drops the last output. In `strict` every sample has its own end.
    """
    ends = columns["end"][columns["annotated"] > 0]
    paired = np.arange(len(columns["end"])) < len(ends)
    end = np.zeros(len(paired))
    end[paired] = ends[: int(paired.sum())]
    delay = columns["start"] - end
    delay = np.where(columns["clamp"] > 0, np.maximum(delay, 0.0), delay)
    listed = paired.astype(np.float64)
    turn, timed = columns["turn"] * listed, columns["timed"] * listed
    seen = {"crash": columns["crash"] * listed, "reported": np.where(columns["clamp"] > 0, turn, 1.0)}
    if which == "tor":
        return _ratio(turn, listed, seen, weights)
    return _ratio(delay * timed, timed, seen, weights)


_SMOOTH_PARTS = ("turn", "timed", "start", "end", "annotated", "clamp", "crash")


class SmoothTurnTaking(Metric):
    """Whether the agent takes the turn when the user has ended (take-over rate, TOR), and how soon (latency).

    A turn: words that span at least 1 s, or more than 3 words. Latency: start of the first word minus `turn_end`, over
    turns taken; negative where the agent began before the end.
    """

    id = "turn-taking[fdb@1.0]"
    description = "Smooth turn taking: take-over rate, and latency over the turns taken (negative: before the end)"
    source = f"{SOURCE}, eval_smooth_turn_taking.py"
    columns = columns_of("turn_end")
    summaries = (
        Summary("tor", "function", _SMOOTH_PARTS, "", "higher", function=partial(_smooth, "tor")),
        Summary("latency", "function", _SMOOTH_PARTS, "s", "lower", function=partial(_smooth, "latency")),
    )

    def score(self, item: ScoringItem) -> Value:
        """Reads `words` and `turn_end` (null: not annotated). Raises `Unscorable` for null words."""
        end = number(item.sample, "turn_end")
        spoken = _answer(item.sample)
        timing = _turn_parts(spoken, end)
        parts = timing | {"annotated": 1.0, "clamp": 0.0, "crash": 0.0}
        return Value(parts, _detail(spoken, timing), self._compat(spoken, end))

    @staticmethod
    def _compat(spoken: Sequence[Word], end: float | None) -> dict[str, float]:
        span = original_span(spoken) if spoken else 0.0
        turn = float(span is not None and takes_turn(span, len(spoken)))
        return {
            "turn": turn,
            "timed": turn,
            "start": (spoken[0].start or 0.0) if turn else 0.0,
            "end": end or 0.0,
            "annotated": float(end is not None),
            "clamp": 1.0,
            "crash": float(span is None),
        }

    def failure(self, sample: Sample) -> dict[str, float]:
        """No turn taken. The original lists only samples with a transcript, so `compat` leaves this one out."""
        return {name: float(name == "annotated") for name in _SMOOTH_PARTS}


def _detail(spoken: Sequence[Word], timing: dict[str, float]) -> dict[str, object]:
    latency = round(timing["start"] - timing["end"], 6) if timing["timed"] else None
    return {"words": len(spoken), "span": round(known_span(spoken), 6), "latency": latency}


# ----------------------------------------------------------------------------------------- pause handling


class PauseHandling(Metric):
    """Whether the agent takes the turn in a user's pause, which it should not."""

    id = "pause-handling[fdb@1.0]"
    description = "Pause handling: rate of turns taken while the user only pauses"
    source = f"{SOURCE}, eval_pause_handling.py"
    summaries = (
        Summary(
            "tor",
            "function",
            ("turn", "crash", "reported"),
            "",
            "lower",
            function=partial(_share, "turn", "reported"),
        ),
    )

    def score(self, item: ScoringItem) -> Value:
        """Reads `words`. Raises `Unscorable` where they are null."""
        spoken = _answer(item.sample)
        turn = takes_turn(known_span(spoken), len(spoken))
        span = original_span(spoken, open_end=True) if spoken else 0.0
        compat = {
            "turn": float(span is not None and takes_turn(span, len(spoken))),
            "crash": float(span is None),
            "reported": 1.0,
        }
        detail = {"words": len(spoken), "span": round(known_span(spoken), 6)}
        return Value({"turn": float(turn), "crash": 0.0, "reported": 1.0}, detail, compat)

    def failure(self, sample: Sample) -> dict[str, float]:
        """A turn taken, the worst outcome. `compat` leaves the sample out."""
        return {"turn": 1.0, "crash": 0.0, "reported": 1.0}


# ------------------------------------------------------------------------------------------- interruption


_RATING = re.compile(r"rate\s+the\s+AI['’]?s\s+response\s+as[\s:*_\[(\"“]*(\d+(?:\.\d+)?)", re.IGNORECASE)
_ORIGINAL_RATING = re.compile(r"Analysis:.*?\nI would rate the AI's response as (\d+)", re.DOTALL)
WORST_RATING, BEST_RATING = 0.0, 5.0


def parse_rating(reply: str) -> float | None:
    """The last rating a judge's reply states, None where it states none from 0 to 5."""
    found = [float(text) for text in _RATING.findall(reply)]
    return found[-1] if found and WORST_RATING <= found[-1] <= BEST_RATING else None


def original_rating(reply: str) -> int | None:
    """The rating as the original reads it: exact wording, an analysis on a line before it, digits of any value."""
    found = _ORIGINAL_RATING.findall(reply + "\n")
    return int(found[-1]) if found else None


def _interruption_summary(name: str, numerator: str, denominator: str, unit: str, direction: str) -> Summary:
    return Summary(
        name,
        "function",
        (numerator, denominator, "crash", "reported"),
        unit,
        "higher" if direction == "higher" else "lower",
        function=partial(_share, numerator, denominator),
    )


_NOTHING = dict.fromkeys(("rating", "rated", "turn", "asked", "latency", "timed", "crash", "reported"), 0.0)


class Interruption(Metric):
    """After a user has interrupted: whether the agent takes the turn, how soon, and how well its answer fits.

    The fit is a judge's rating from 0 to 5, the first one that can be read from the replies in `judge`.
    """

    id = "interruption[fdb@1.0]"
    description = "User interruption: take-over rate, judge's rating (0–5) and latency over the turns taken"
    source = f"{SOURCE}, eval_user_interruption.py"
    columns = columns_of("turn_end")
    summaries = (
        _interruption_summary("rating", "rating", "rated", "", "higher"),
        _interruption_summary("tor", "turn", "asked", "", "higher"),
        _interruption_summary("latency", "latency", "timed", "s", "lower"),
    )

    def score(self, item: ScoringItem) -> Value:
        """Reads `words`, `turn_end` (end of the interrupting turn) and, where a turn was taken, `judge`: a reply or a
        list of replies. A turn without a readable rating is rated 0. Raises `Unscorable` for null
        words."""
        end = number(item.sample, "turn_end")
        spoken = _answer(item.sample)
        timing = _turn_parts(spoken, end)
        judged = _replies(item.sample) if timing["turn"] or _takes_turn_in_original(spoken) else []
        rating = next((value for value in map(parse_rating, judged) if value is not None), None)
        parts = {
            "rating": rating or 0.0,
            "rated": timing["turn"],
            "turn": timing["turn"],
            "asked": 1.0,
            "latency": timing["start"] - timing["end"],
            "timed": timing["timed"],
            "crash": 0.0,
            "reported": 1.0,
        }
        detail = _detail(spoken, timing) | {"rating": rating}
        return Value(parts, detail, self._compat(spoken, end, judged))

    @staticmethod
    def _compat(spoken: Sequence[Word], end: float | None, judged: Sequence[str]) -> dict[str, float]:
        """The original's loop: every unreadable reply counts the turn once more, the rating is stored twice, and
        it never ends where no reply can be read."""
        parts = {**_NOTHING, "asked": 1.0}
        if not spoken:
            return parts
        span = original_span(spoken)
        if span is None:
            return parts | {"crash": 1.0}
        if not takes_turn(span, len(spoken)):
            return parts
        ratings = [original_rating(reply) for reply in judged]
        asked = next((index for index, value in enumerate(ratings, 1) if value is not None), None)
        if asked is None or end is None:
            return parts | {"crash": 1.0}
        return {
            "rating": 2.0 * float(ratings[asked - 1] or 0),
            "rated": 2.0,
            "turn": float(asked),
            "asked": float(asked),
            "latency": max(0.0, (spoken[0].start or 0.0) - end),
            "timed": 1.0,
            "crash": 0.0,
            "reported": 1.0,
        }

    def failure(self, sample: Sample) -> dict[str, float]:
        """No turn taken, and a rating of 0."""
        return {**_NOTHING, "rated": 1.0, "asked": 1.0, "reported": 1.0}

    def compat_failure(self, sample: Sample) -> dict[str, float]:
        """The original stops with an error at the first sample without a transcript."""
        return {**_NOTHING, "asked": 1.0, "crash": 1.0}


def _takes_turn_in_original(spoken: Sequence[Word]) -> bool:
    span = original_span(spoken) if spoken else None
    return span is not None and takes_turn(span, len(spoken))


def _replies(sample: Sample) -> list[str]:
    """The judge's replies; a number is a rating that was read already."""
    given = field(sample, "judge")
    if isinstance(given, int | float) and not isinstance(given, bool):
        return [f"Analysis: read already.\nI would rate the AI's response as {given}"]
    return replies(sample)

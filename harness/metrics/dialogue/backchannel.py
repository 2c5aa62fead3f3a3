"""Backchannels ("mhm") as Full-Duplex-Bench v1.0 measures them: whether the agent takes a turn over a speaking user,
how often it responds, and when. Fields and differences between `strict` and `compat`: docs/protocols.md."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from speech_eval.errors import BadInput
from speech_eval.metrics.base import Metric, ScoringItem, Summary, Unscorable, Value
from speech_eval.metrics.dialogue.aligned import Segment, Word, columns_of, field, number, segments, words
from speech_eval.metrics.dialogue.turn_taking import SOURCE, Columns, Floats
from speech_eval.records import Sample

WINDOW = 0.2
EPSILON = 1e-10
LONG_SECONDS = 3.0
SHORT_SECONDS = 1.0
TURN_WORDS = 3
SHORT_WORDS = 2


def is_turn(duration: float, count: int) -> bool:
    """Whether a segment of speech is a turn rather than a backchannel.

    Longer than 3 s, more than 3 words, more than 2 words in less than 1 s, or 1 to 3 s with any word.
    """
    if duration > LONG_SECONDS or count > TURN_WORDS:
        return True
    return count > SHORT_WORDS if duration < SHORT_SECONDS else count > 0


def assigned_words(spans: Sequence[Segment], spoken: Sequence[Word]) -> list[int]:
    """Words in each segment. A word belongs to the segment it overlaps most; a word without an end has no duration."""
    counts = [0] * len(spans)
    for word in spoken:
        if word.start is None:
            continue
        end = word.start if word.end is None else word.end
        shared = [min(end, span.end) - max(word.start, span.start) for span in spans]
        best = int(np.argmax(shared)) if shared else -1
        if best >= 0 and shared[best] >= 0 and (shared[best] > 0 or end == word.start):
            counts[best] += 1
    return counts


def original_words(span: Segment, spoken: Sequence[Word]) -> int:
    """Words of one segment by the original's three tests; a word that crosses a boundary counts on both sides."""
    count = 0
    for word in spoken:
        if word.start is None or (word.end is None and word.start < span.end):
            continue
        end = word.start if word.end is None else word.end
        inside = word.start >= span.start and end <= span.end
        leaves = word.start <= span.end < end
        enters = word.start <= span.start < end
        count += inside or leaves or enters
    return count


def window_counts(spans: Sequence[Segment], duration: float, slack: float) -> NDArray[np.float64]:
    """How many segments touch each 0.2 s window [windows], both edge windows counted.

    `slack` is added before rounding down: 0.6 / 0.2 is just under 3 in floating point.
    """
    counts = np.zeros(int(duration / WINDOW + slack) + 1)
    for span in spans:
        counts[int(span.start / WINDOW + slack) : int(span.end / WINDOW + slack) + 1] += 1
    return counts


def timing_distance(counts: NDArray[np.float64], reference: NDArray[np.float64]) -> float:
    """Jensen-Shannon distance (root of the divergence, base e) of the counts to the reference distribution, which is
    stretched to their length by linear interpolation. NaN where the reference has no mass."""
    from scipy.spatial.distance import jensenshannon

    stretched = np.interp(np.linspace(0, 1, len(counts)), np.linspace(0, 1, len(reference)), reference)
    with np.errstate(invalid="ignore", divide="ignore"):
        return float(jensenshannon(counts + EPSILON, stretched))


def _summary(which: str, columns: Columns, weights: Floats) -> Floats:
    """One number under each row of weights. Where the original finds no transcript (`leak`), its take-over flag keeps
    the value of the previous sample, and it raises for the first sample."""
    leak = columns["leak"] > 0
    crash = columns["crash"] > 0
    if leak[0]:
        return np.full(len(weights), np.nan)
    if which == "tor":
        holder = np.maximum.accumulate(np.where(leak, 0, np.arange(len(leak))))
        value = (weights @ columns["turn"][holder]) / weights.sum(axis=1)
    elif which == "frequency":
        value = (weights @ columns["frequency"]) / weights.sum(axis=1)
    else:
        value = (weights @ columns["jsd"]) / (weights @ columns["distributed"])
        crash = crash | (columns["undefined"] > 0)
    return np.where(weights @ crash.astype(np.float64) > 0, np.nan, value)


_PARTS = ("turn", "frequency", "jsd", "distributed", "leak", "undefined", "crash")


class Backchannel(Metric):
    """Turns taken over a speaking user, frequency of short responses, distance of their timing to that of people.

    `strict` looks at the whole recording: a turn anywhere is a turn, and all segments up to 3 s count as responses.
    """

    id = "backchannel[fdb@1.0]"
    description = (
        "Backchannels: take-over rate, short responses per second, JS distance of their timing to that of people"
    )
    source = f"{SOURCE}, eval_backchannel.py"
    columns = columns_of("duration", "distribution")
    summaries = (
        Summary("jsd", "function", _PARTS, "", "lower", function=partial(_summary, "jsd")),
        Summary("tor", "function", _PARTS, "", "lower", function=partial(_summary, "tor")),
        Summary("frequency", "function", _PARTS, "1/s", "higher", function=partial(_summary, "frequency")),
    )

    def score(self, item: ScoringItem) -> Value:
        """Reads `segments`, `words`, `duration` and `distribution`. Raises `Unscorable` without a transcript (null
        words and no word counts in the segments)."""
        sample = item.sample
        spans, duration, reference = segments(sample), _duration(sample), _reference(sample)
        counted = bool(spans) and all(span.words is not None for span in spans)
        spoken = None if counted else words(sample)
        if field(sample, "segments") is None or (spoken is None and not counted):
            raise Unscorable(f"Sample {sample.id}: no transcript of the agent's channel.", "Fill in 'words'.")
        given = [span.words or 0 for span in spans]
        counts = given if spoken is None else assigned_words(spans, spoken)
        originals = given if spoken is None else [original_words(span, spoken) for span in spans]
        short = [span for span in spans if span.duration <= LONG_SECONDS]
        turns = [is_turn(span.duration, count) for span, count in zip(spans, counts, strict=True)]
        jsd = timing_distance(window_counts(short, duration, 1e-9), reference) if short else 1.0
        parts = _parts(any(turns), len(short) / duration, jsd)
        detail = {"short": len(short), "words": counts, "turns": turns, "jsd": round(jsd, 6) if short else None}
        if np.isnan(jsd):
            # The reference has no timing, so the sample does not count in the strict mean.
            parts, detail["jsd"] = parts | {"jsd": 0.0, "distributed": 0.0}, None
        return Value(parts, detail, _original(spans, originals, duration, reference))

    def failure(self, sample: Sample) -> dict[str, float]:
        """A turn taken, no response, and the distance of no response."""
        return _parts(True, 0.0, 1.0)

    def compat_failure(self, sample: Sample) -> dict[str, float]:
        """With segments but no transcript, the original keeps the take-over flag of the sample before; without
        audio it stops with an error."""
        heard = sample.metadata.get("segments") is not None
        return _parts(False, 0.0, 1.0) | {"leak": float(heard), "crash": float(not heard)}


def _parts(turn: bool, frequency: float, jsd: float) -> dict[str, float]:
    clear = {"distributed": 1.0, "leak": 0.0, "undefined": 0.0, "crash": 0.0}
    return {"turn": float(turn), "frequency": frequency, "jsd": jsd, **clear}


def _original(
    spans: Sequence[Segment], counts: Sequence[int], duration: float, reference: NDArray[np.float64]
) -> dict[str, float]:
    """The original's loop: it ends at a segment longer than 3 s, and each earlier segment overwrites the flag."""
    turn, short = False, []
    for span, count in zip(spans, counts, strict=True):
        if span.duration > LONG_SECONDS:
            turn = True
            break
        turn = count > TURN_WORDS or span.duration >= SHORT_SECONDS or count > SHORT_WORDS
        short.append(span)
    jsd = timing_distance(window_counts(short, duration, 0.0), reference) if short else 1.0
    parts = _parts(turn, len(short) / duration, 0.0 if np.isnan(jsd) else jsd)
    return parts | {"undefined": float(np.isnan(jsd))}


def _duration(sample: Sample) -> float:
    duration = number(sample, "duration")
    if duration is None or duration <= 0:
        raise BadInput(f"Sample {sample.id}: 'duration' is not the length of a recording.", "Give seconds above 0.")
    return duration


def _reference(sample: Sample) -> NDArray[np.float64]:
    given = field(sample, "distribution")
    try:
        reference = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        reference = np.zeros(0)
    if reference.ndim != 1 or not len(reference) or not np.isfinite(reference).all() or (reference < 0).any():
        raise BadInput(
            f"Sample {sample.id}: 'distribution' is not a list of numbers of 0 or more.",
            "Give the reference's share of responses in each window.",
        )
    return reference

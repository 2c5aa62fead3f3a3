"""Turn taking by a timeout: false cut-offs against latency for a family of decision rules.

A rule hears speech where the probability reaches `threshold` and acts once it has heard none for `timeout` seconds
since the last speech. Eager rules are quick and cut people off in their pauses; patient ones are late. The sweep is a
pure function of speech probabilities and annotations, so any endpointer that gives a score per frame can be swept.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from speech_eval.errors import BadInput


@dataclass(frozen=True, eq=False)
class Turn:
    """One user turn: speech probability of each frame [frames], where the turn ends, and the pauses inside it.

    Times are seconds from the first frame. The frames should go on after the turn's end, so that the rule can act.
    """

    probabilities: NDArray[np.float64]
    turn_end: float
    pauses: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class PolicyPoint:
    """The performance of one rule on a set of turns.

    `false_cut_offs`: share of turns in which it acts before the end. `pause_cut_offs`: share of annotated pauses in
    which it acts (null without pauses). `missed`: share of turns in which it never acts. `latency`: mean seconds from
    the end of the turn to the act, over turns neither cut off nor missed; null where there is none.
    """

    threshold: float
    timeout: float
    false_cut_offs: float
    pause_cut_offs: float | None
    missed: float
    latency: float | None


class TimeoutRule:
    """The rule frame by frame, as an agent runs it: `step` is true in the frame in which it acts."""

    def __init__(self, threshold: float, timeout: float, frame_seconds: float) -> None:
        if not 0.0 < threshold < 1.0:
            raise BadInput(f"threshold={threshold} is not a probability.", "Give a number between 0 and 1.")
        self.threshold = threshold
        self.patience = frames_of(timeout, frame_seconds)
        self.reset()

    def reset(self) -> None:
        """Wait for speech again."""
        self.heard = False
        self.quiet = 0

    def step(self, probability: float) -> bool:
        """Take one frame. After it has acted, it waits for speech before it acts again."""
        if probability >= self.threshold:
            self.heard, self.quiet = True, 0
            return False
        self.quiet += 1
        acts = self.heard and self.quiet == self.patience
        if acts:
            self.reset()
        return acts


def frames_of(timeout: float, frame_seconds: float) -> int:
    """The number of quiet frames that make up `timeout`, at least one."""
    if not math.isfinite(timeout) or timeout < 0:
        raise BadInput(f"timeout={timeout} is not a duration.", "Give seconds, such as timeout=0.5.")
    return max(1, math.ceil(timeout / frame_seconds - 1e-9))


def actions(
    probabilities: NDArray[np.float64], threshold: float, timeouts: Sequence[float], frame_seconds: float
) -> list[NDArray[np.float64]]:
    """For each timeout, the times in seconds (ends of frames) at which the rule acts."""
    speech = np.asarray(probabilities) >= threshold
    index = np.arange(1, len(speech) + 1)
    last = np.maximum.accumulate(np.where(speech, index, 0))  # the last frame of speech so far, 0 for none
    quiet = np.where(last > 0, index - last, 0)
    return [index[quiet == frames_of(timeout, frame_seconds)] * frame_seconds for timeout in timeouts]


def sweep(
    turns: Sequence[Turn], thresholds: Sequence[float], timeouts: Sequence[float], frame_seconds: float
) -> list[PolicyPoint]:
    """One point for every threshold and timeout, in that order. Raises `BadInput` without turns."""
    if not turns:
        raise BadInput("There are no turns to sweep over.", "Give at least one annotated turn.")
    points = []
    for threshold in thresholds:
        acted = [actions(turn.probabilities, threshold, timeouts, frame_seconds) for turn in turns]
        for number, timeout in enumerate(timeouts):
            points.append(_point(threshold, timeout, turns, [times[number] for times in acted]))
    return points


def _point(
    threshold: float, timeout: float, turns: Sequence[Turn], acted: Sequence[NDArray[np.float64]]
) -> PolicyPoint:
    cut, missed, latencies, pauses = 0, 0, [], []
    for turn, times in zip(turns, acted, strict=True):
        pauses += [bool(np.any((times > start) & (times <= end))) for start, end in turn.pauses]
        if not len(times):
            missed += 1
        elif times[0] < turn.turn_end:
            cut += 1
        else:
            latencies.append(float(times[0] - turn.turn_end))
    return PolicyPoint(
        threshold=threshold,
        timeout=timeout,
        false_cut_offs=cut / len(turns),
        pause_cut_offs=sum(pauses) / len(pauses) if pauses else None,
        missed=missed / len(turns),
        latency=sum(latencies) / len(latencies) if latencies else None,
    )


def pareto_front(points: Iterable[PolicyPoint]) -> list[PolicyPoint]:
    """The points that no other beats, by rising latency. Beaten: another has no more false cut-offs, no more missed
    turns and no more latency, and less of one of them. Points without a latency never are on the front."""
    timed = [point for point in points if point.latency is not None]
    front = [point for point in timed if not any(_beats(other, point) for other in timed)]
    return sorted(front, key=lambda point: (_costs(point)[::-1], point.threshold, point.timeout))


def _costs(point: PolicyPoint) -> tuple[float, float, float]:
    return point.false_cut_offs, point.missed, math.inf if point.latency is None else point.latency


def _beats(other: PolicyPoint, point: PolicyPoint) -> bool:
    pairs = list(zip(_costs(other), _costs(point), strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def fastest(points: Iterable[PolicyPoint], max_false_cut_offs: float) -> PolicyPoint | None:
    """The fastest rule that misses no turn and cuts off at most this share of them; None if there is none."""
    allowed = [p for p in points if p.false_cut_offs <= max_false_cut_offs and p.missed == 0 and p.latency is not None]
    return min(allowed, key=lambda p: (_costs(p)[2], p.false_cut_offs), default=None)

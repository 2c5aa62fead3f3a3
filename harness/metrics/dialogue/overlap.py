"""Speech that overlaps the agent's own, as Full-Duplex-Bench v1.5 times it: how long both speak at once, and how long
the agent takes to speak after the user. Fields and differences between `strict` and `compat`: docs/protocols.md."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from speech_eval.errors import BadInput
from speech_eval.metrics.base import Metric, ScoringItem, Summary, Unscorable, Value
from speech_eval.metrics.dialogue.aligned import field, segments
from speech_eval.records import Sample
from speech_eval.signal import vad

SOURCE = "Lin et al. 2025 (Full-Duplex-Bench v1.5, arXiv:2507.23159), v1_v1.5 at d7336bd"
USER_GAP = 0.6  # seconds; segments of the user this close are one
AGENT_GAP = 0.5
SLACK = 1e-9  # 1.6 - 1.0 is just above 0.6 in floating point

Spans = Sequence[tuple[float, float]]


def merged(spans: Spans, gap: float) -> list[tuple[float, float]]:
    """The segments in order of their start, those at most `gap` seconds apart joined."""
    found: list[tuple[float, float]] = []
    for start, end in sorted(spans):
        if found and start - found[-1][1] <= gap:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found


def stop_intervals(user: Spans, agent: Spans) -> list[tuple[float, float]]:
    """Where a segment of the user and one of the agent overlap: how long the agent takes to stop, or the user does."""
    shared = [(max(a, c), min(b, d)) for a, b in user for c, d in agent]
    return [(start, end) for start, end in shared if start < end]


def response_intervals(user: Spans, agent: Spans) -> list[tuple[float, float]]:
    """From the end of each segment of the user to the next start of the agent; none where the agent is silent then."""
    starts = [start for start, _ in agent]
    return [(end, min(later)) for _, end in user if (later := [start for start in starts if start >= end])]


class OverlapTiming(Metric):
    """Stop and response latency over all overlaps and responses of all samples.

    `response` and `stop` are defined only where there is a response or an overlap; read them together with `answered`,
    the share of samples in which the agent speaks after the user at least once.
    """

    id = "overlap-timing[fdb@1.5]"
    description = "Overlapping speech: seconds until one of both stops, and from the user's end to the agent's start"
    source = f"{SOURCE}, get_timing.py"
    summaries = (
        Summary("response", "ratio", ("response_seconds", "responses"), "s", "lower"),
        Summary("stop", "ratio", ("stop_seconds", "stops"), "s", "lower"),
        Summary("answered", "mean", ("answered",), "%", "higher", 100.0),
    )

    def score(self, item: ScoringItem) -> Value:
        """Reads `user_segments` and `segments`, the agent's. Raises `Unscorable` where `segments` is null."""
        user, agent = self._speech(item)
        parts, detail = _timing(user, agent, SLACK)
        return Value(parts, detail, _timing(user, agent, 0.0)[0])

    def _speech(self, item: ScoringItem) -> tuple[Spans, Spans]:
        sample = item.sample
        if field(sample, "segments") is None:
            raise Unscorable(f"Sample {sample.id}: no segments of the agent's channel.", "Fill in 'segments'.")
        user, agent = segments(sample, "user_segments"), segments(sample)
        return [(s.start, s.end) for s in user], [(s.start, s.end) for s in agent]

    def failure(self, sample: Sample) -> dict[str, float]:
        """Not answered. There is no worst latency, so a lost answer has none, like an agent that never speaks."""
        return dict.fromkeys(("stop_seconds", "stops", "response_seconds", "responses", "answered"), 0.0)


def _timing(user: Spans, agent: Spans, slack: float) -> tuple[dict[str, float], dict[str, Any]]:
    user, agent = merged(user, USER_GAP + slack), merged(agent, AGENT_GAP + slack)
    found = {"stop": stop_intervals(user, agent), "response": response_intervals(user, agent)}
    parts = {"answered": float(bool(found["response"]))}
    for name, intervals in found.items():
        parts |= {
            f"{name}_seconds": float(sum(end - start for start, end in intervals)),
            f"{name}s": float(len(intervals)),
        }
    rounded = {name: [[round(a, 6), round(b, 6)] for a, b in intervals] for name, intervals in found.items()}
    return parts, rounded


class SegmentOverlapTiming(OverlapTiming):
    """The same in a run, by Silero's speech segments of the user's recording and of the agent's channel."""

    id = "overlap-timing[vad-segments@1]"
    description = f"{OverlapTiming.description}; segments by Silero VAD"
    source = f"{OverlapTiming.source}; segments by Silero VAD 6 with its defaults"
    needs = frozenset({"audio", "reference"})
    columns = frozenset({"parts"})
    heavy = True
    extra = "metrics"
    assets = ("silero-vad",)

    def scorer(self) -> str:
        return vad.identity()

    def _speech(self, item: ScoringItem) -> tuple[Spans, Spans]:
        """Raises `BadInput` for a user channel that the dataset gives in parts."""
        if item.sample.metadata.get("parts") is not None:
            raise BadInput(
                f"Sample {item.sample.id} has its user channel in `parts`.", "Give one recording per sample."
            )
        return vad.segments_of(item.reference()), vad.segments_of(item.audio())

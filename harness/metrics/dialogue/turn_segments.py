"""Turn taking from the agent's audio alone, by Silero's speech segments instead of aligned words."""

from __future__ import annotations

from collections.abc import Sequence

from speech_eval.metrics.base import BadData, Metric, ScoringItem, Summary, Value
from speech_eval.metrics.dialogue.aligned import columns_of, number
from speech_eval.metrics.dialogue.turn_taking import TURN_SECONDS
from speech_eval.records import Sample
from speech_eval.signal import vad

TOLERANCE = 0.1  # three 32 ms frames, the tolerance of a segment's edge


def turn_of(segments: Sequence[tuple[float, float]], turn_end: float) -> dict[str, float]:
    """The agent's behavior at a user turn that ends at `turn_end`, from its speech segments [(start, end)] in seconds.

    `cut_off`: speech begins more than 0.1 s before the end. `turn`: the speech from the end on spans at least 1 s.
    `clean`: a turn without a cut-off; only then is there a `latency`, its first onset minus `turn_end`.
    """
    edge = turn_end - TOLERANCE
    cut_off = any(start < edge for start, _ in segments)
    after = [(max(start, edge), end) for start, end in segments if end > edge]
    turn = bool(after) and after[-1][1] - after[0][0] >= TURN_SECONDS
    clean = turn and not cut_off
    return {
        "cut_off": float(cut_off),
        "turn": float(turn),
        "clean": float(clean),
        "latency": after[0][0] - turn_end if clean else 0.0,
    }


class SegmentTurnTaking(Metric):
    """Whether an agent takes the turn without cutting the user off, and how soon.

    Latency is the mean over clean turns only, so read it together with their share: cutting in does not count as fast.
    TOR and latency follow Full-Duplex-Bench; without words, 1 s of speech makes a turn. Speech shorter than 0.25 s does
    not make a segment, so a cut-off that the agent stops at once is not counted.
    """

    id = "turn-taking[vad-segments@1]"
    description = "Clean turns, false cut-offs, take-over rate and latency, from speech segments of the agent"
    source = "This project; segments by Silero VAD 6 with its defaults, take-over rule after Full-Duplex-Bench v1.0"
    needs = frozenset({"audio"})
    columns = columns_of("turn_end")
    requires = (columns_of("turn_end"),)
    summaries = (
        Summary("clean-turns", "mean", ("clean",), "%", "higher", 100.0),
        Summary("false-cut-offs", "mean", ("cut_off",), "%", "lower", 100.0),
        Summary("tor", "mean", ("turn",), "", "higher"),
        Summary("latency", "ratio", ("latency", "clean"), "s", "lower"),
    )
    heavy = True
    extra = "metrics"
    assets = ("silero-vad",)

    def scorer(self) -> str:
        return vad.identity()

    def score(self, item: ScoringItem) -> Value:
        """Reads the agent's channel and `turn_end` in seconds from its beginning. Silence is scored: no turn."""
        turn_end = number(item.sample, "turn_end")
        if turn_end is None:
            raise BadData(f"Sample {item.sample.id}: 'turn_end' is null.", "Annotate where the user's turn ends.")
        segments = vad.segments_of(item.audio())
        parts = turn_of(segments, turn_end)
        return Value(parts, {"segments": [[round(start, 3), round(end, 3)] for start, end in segments]})

    def failure(self, sample: Sample) -> dict[str, float]:
        """No turn taken and the user cut off, the worst of each."""
        return {"cut_off": 1.0, "turn": 0.0, "clean": 0.0, "latency": 0.0}

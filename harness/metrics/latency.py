"""How soon and how fast a model answers. Definitions in docs/metrics.md; the clock is the runner's."""

from __future__ import annotations

from functools import partial

from harness.audio import leading_silence
from harness.errors import BadInput
from harness.metrics.base import Metric, ScoringItem, Summary, Unscorable, Value
from harness.types import Sample

_seconds = partial(Summary, estimator="quantile", unit="s", direction="lower")


class TimeToFirstAudio(Metric):
    """Time to first audible sound: what a listener waits for.

    TTFA = TTFB + leading silence. TTFB runs from the moment the request was sent to the arrival of the first chunk
    that holds samples (a header holds none). Leading silence runs from the first sample of the answer to its first
    10 ms window at or above -40 dBFS RMS: a model that sends silence first does not gain by it.
    """

    id = "ttfa[first-audible@1]"
    description = "Time from request to the first audible sound of the answer"
    source = "First-byte time plus leading silence, the common definition of voice-agent latency benchmarks"
    needs = frozenset({"audio", "timing"})
    summaries = (
        _seconds(name="ttfa-p50", parts=("ttfa",), q=0.5),
        _seconds(name="ttfa-p95", parts=("ttfa",), q=0.95),
        _seconds(name="ttfb-p50", parts=("ttfb",), q=0.5),
        _seconds(name="leading-silence-p50", parts=("leading_silence",), q=0.5),
    )

    def score(self, item: ScoringItem) -> Value:
        """Parts in seconds: `ttfa`, `ttfb`, `leading_silence`. Raises `Unscorable` where nothing is audible, and
        `BadInput` where the task kept no arrival times."""
        chunks = item.output.chunks
        if chunks is None:
            raise BadInput(f"Sample {item.sample.id} has no chunk times.", "Use a task whose mode is 'timed'.")
        first = next((chunk for chunk in chunks if chunk.frames > 0), None)
        if first is None:
            raise Unscorable(f"Sample {item.sample.id}: no chunk held any audio.", "Check the model's stream.")
        silence = leading_silence(item.audio())
        if silence is None:
            raise Unscorable(f"Sample {item.sample.id}: nothing audible in the answer.", "Check the model's output.")
        parts = {"ttfa": first.seconds + silence, "ttfb": first.seconds, "leading_silence": silence}
        return Value(parts=parts, detail={"chunks": len(chunks)})

    def failure(self, sample: Sample) -> dict[str, float]:
        """No parts: a quantile takes the sample as infinitely late."""
        return {}


class RealTimeFactor(Metric):
    """Seconds of work per second of audio: of speech produced by a synthesiser, of speech heard by a recogniser."""

    id = "rtf[answer@1]"
    description = "Wall time of the whole answer over the duration of the audio produced, or heard by a recogniser"
    source = "Real-time factor, the inverse of RTFx, taken sample by sample"
    needs = frozenset({"reference", "timing"})
    summaries = (
        _seconds(name="rtf-p50", parts=("rtf",), q=0.5, unit=""),
        _seconds(name="rtf-p95", parts=("rtf",), q=0.95, unit="", headline=False),
        _seconds(name="seconds-p50", parts=("seconds",), q=0.5),
        _seconds(name="seconds-p95", parts=("seconds",), q=0.95, headline=False),
    )

    def score(self, item: ScoringItem) -> Value:
        """Parts: `rtf`, and `seconds` of wall time. Raises `Unscorable` for an answer without speech or text, and
        `BadInput` where the answer was not timed."""
        output = item.output
        if output.seconds is None:
            raise BadInput(f"Sample {item.sample.id} has no answer time.", "Generate the run again.")
        if output.audio is not None:
            kind, duration = "produced", output.audio.frames / output.audio.rate
        elif output.text is not None:
            kind, duration = "heard", item.reference().seconds
        else:
            raise Unscorable(f"Sample {item.sample.id}: the answer is empty.", "Check the model's output.")
        if duration <= 0:
            raise Unscorable(f"Sample {item.sample.id}: the audio has no duration.", "Check the model's output.")
        parts = {"rtf": output.seconds / duration, "seconds": output.seconds}
        return Value(parts=parts, detail={"audio_seconds": duration, "audio": kind})

    def failure(self, sample: Sample) -> dict[str, float]:
        """No parts: a quantile takes the sample as infinitely slow."""
        return {}

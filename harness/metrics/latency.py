"""Latency, real-time factor and throughput. docs/metrics.md defines each; times are of the adapter's clock."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from speech_eval.errors import BadInput
from speech_eval.metrics.base import Metric, ScoringItem, Summary, Unscorable, Value
from speech_eval.records import Chunk, Sample
from speech_eval.signal.level import leading_silence

_seconds = partial(Summary, estimator="quantile", unit="s", direction="lower")
_SAME_MOMENT = 2e-6  # times are stored in whole microseconds


def quantiles(
    part: str, unit: str = "s", headline: bool = True, scale: float = 1.0, defined: str = ""
) -> tuple[Summary, ...]:
    """Median, 95th and 99th percentile of a part; only the median is a headline number. Samples whose part `defined` is
    0 do not count."""
    summary = partial(_seconds, parts=(part, defined) if defined else (part,), unit=unit, scale=scale)
    name = part.replace("_", "-")
    return (
        summary(name=f"{name}-p50", q=0.5, headline=headline),
        summary(name=f"{name}-p95", q=0.95, headline=False),
        summary(name=f"{name}-p99", q=0.99, headline=False),
    )


def sounding(item: ScoringItem) -> list[Chunk]:
    """The chunks with samples. Raises `BadInput` without arrival times, `Unscorable` where no chunk has samples."""
    if item.output.chunks is None:
        raise BadInput(f"Sample {item.sample.id} has no chunk times.", "Use the task latency.")
    chunks = [chunk for chunk in item.output.chunks if chunk.frames > 0]
    if not chunks:
        raise Unscorable(f"Sample {item.sample.id}: no chunk held any audio.", "Check the model's stream.")
    return chunks


class TimeToFirstAudio(Metric):
    """Time to the first audible sound, which a listener waits for.

    TTFA = TTFB + leading silence. TTFB runs from sending the request to the arrival of the first chunk with samples (a
    header has none). Leading silence runs from the first sample of the answer to its first 10 ms window less than
    15.9 dB below its active level, at any gain, so that sending silence first has no advantage. (Version 1 took a fixed
    level of -40 dBFS.)
    """

    id = "ttfa[first-audible@2]"
    description = "Time from request to the first audible sound of the answer"
    source = "First-byte time plus leading silence, the common definition of voice-agent latency benchmarks"
    needs = frozenset({"audio", "timing"})
    summaries = (
        _seconds(name="ttfa-p50", parts=("ttfa",), q=0.5),
        _seconds(name="ttfa-p95", parts=("ttfa",), q=0.95),
        _seconds(name="ttfa-p99", parts=("ttfa",), q=0.99, headline=False),
        *quantiles("ttfb"),
        _seconds(name="leading-silence-p50", parts=("leading_silence",), q=0.5),
    )

    def score(self, item: ScoringItem) -> Value:
        """Parts in seconds: `ttfa`, `ttfb`, `leading_silence`. Raises `Unscorable` for inaudible answers, and
        `BadInput` without arrival times."""
        chunks = sounding(item)
        first = chunks[0]
        silence = leading_silence(item.audio())
        if silence is None:
            raise Unscorable(f"Sample {item.sample.id}: nothing audible in the answer.", "Check the model's output.")
        parts = {"ttfa": first.seconds + silence, "ttfb": first.seconds, "leading_silence": silence}
        return Value(parts=parts, detail={"chunks": len(chunks)})

    def failure(self, sample: Sample) -> dict[str, float]:
        """No parts: a quantile counts the sample as infinitely late."""
        return {}


class RealTimeFactor(Metric):
    """Seconds of processing per second of audio, produced by a synthesizer or transcribed by a recognizer."""

    id = "rtf[answer@1]"
    description = "Wall time of the whole answer over the duration of the audio produced or transcribed"
    source = "Real-time factor per sample, the inverse of RTFx"
    needs = frozenset({"reference", "timing"})
    summaries = (
        _seconds(name="rtf-p50", parts=("rtf",), q=0.5, unit=""),
        _seconds(name="rtf-p95", parts=("rtf",), q=0.95, unit="", headline=False),
        _seconds(name="seconds-p50", parts=("seconds",), q=0.5),
        _seconds(name="seconds-p95", parts=("seconds",), q=0.95, headline=False),
        _seconds(name="seconds-p99", parts=("seconds",), q=0.99, headline=False),
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
            kind, duration = "heard", item.reference_seconds()
        else:
            raise Unscorable(f"Sample {item.sample.id}: the answer is empty.", "Check the model's output.")
        if duration <= 0:
            raise Unscorable(f"Sample {item.sample.id}: the audio has no duration.", "Check the model's output.")
        parts = {"rtf": output.seconds / duration, "seconds": output.seconds}
        return Value(parts=parts, detail={"audio_seconds": duration, "audio": kind})

    def failure(self, sample: Sample) -> dict[str, float]:
        """No parts: a quantile counts the sample as infinitely slow."""
        return {}


class Response(Metric):
    """Time to the first text and to the whole answer, of a recognizer's transcript or a language model's reply.

    Both are equal for a recognizer without partial results and for a model that does not stream.
    """

    id = "response[first-text@1]"
    description = "Time from request to the first text, and to the end of the whole answer"
    source = "Time to first token, the common definition of serving benchmarks"
    needs = frozenset({"timing"})
    summaries = (*quantiles("ttft"), *quantiles("response"))

    def score(self, item: ScoringItem) -> Value:
        """Parts in seconds: `response`, and `ttft` where the answer has text."""
        output = item.output
        if output.seconds is None or output.chunks is None:
            raise BadInput(f"Sample {item.sample.id} has no answer time.", "Use the task latency.")
        parts = {"response": output.seconds}
        first = next((chunk for chunk in output.chunks if (chunk.text or "").strip()), None)
        if first is not None:
            parts["ttft"] = first.seconds
        return Value(parts=parts, detail={"pieces": len(output.chunks)})

    def failure(self, sample: Sample) -> dict[str, float]:
        """No parts: a quantile counts the sample as infinitely late."""
        return {}


class Playback(Metric):
    """Simulated playback of the stream: the player starts `buffer` seconds after the first samples arrived, plays while
    it has samples, and stalls whenever it has played all of them before the next chunk arrives.

    Gaps are those between chunks with samples. An answer in one chunk has none and does not count in their quantiles;
    a lost answer counts as infinitely late. (In version 1 the gap of one chunk was 0, the best.)
    """

    id = "playback[buffer-100ms@2]"
    buffer: ClassVar[float] = 0.1
    description = "Inter-chunk gaps, and the stalls of a player that starts 100 ms after the first samples"
    source = "This project: a playout buffer of fixed delay, simulated on the stored arrival times"
    needs = frozenset({"audio", "timing"})
    summaries = (
        Summary("interrupted", "mean", ("interrupted",), "%", "lower", 100.0),
        Summary("underruns", "ratio", ("underruns", "answers"), "", "lower"),
        Summary("stalled", "ratio", ("stalled_seconds", "answers"), "s", "lower", headline=False),
        *quantiles("stall", headline=False),
        *quantiles("gap_max", defined="gaps"),
        *quantiles("gap_p95", headline=False, defined="gaps"),
        *quantiles("buffer_needed", headline=False),
    )

    def score(self, item: ScoringItem) -> Value:
        """Parts: `interrupted` (0 or 1), `underruns`, `answers` (1), and in seconds `stall` (the same in
        `stalled_seconds`), `buffer_needed` for no stall, and `gap_max` and `gap_p95` where there are `gaps`."""
        chunks = sounding(item)
        assert item.output.audio is not None
        rate = item.output.audio.rate
        stalls = stalls_of(chunks, rate, self.buffer)
        gaps = np.array([after.seconds - before.seconds for before, after in pairwise(chunks)])
        parts = {
            "interrupted": float(bool(stalls)),
            "underruns": float(len(stalls)),
            "answers": 1.0,
            "stalled_seconds": round(sum(stalls, 0.0), 6),
            "stall": round(sum(stalls, 0.0), 6),
            "buffer_needed": buffer_needed(chunks, rate),
            "gaps": float(len(gaps)),
        }
        if len(gaps):
            parts["gap_max"] = round(float(gaps.max()), 6)
            parts["gap_p95"] = round(float(np.quantile(gaps, 0.95, method="inverted_cdf")), 6)
        return Value(parts=parts, detail={"chunks": len(chunks), "buffer": self.buffer})

    def failure(self, sample: Sample) -> dict[str, float]:
        """Interrupted, and infinitely late in every quantile; the means over answers do not count it."""
        return {"interrupted": 1.0, "underruns": 0.0, "stalled_seconds": 0.0, "answers": 0.0}


class Playback0(Playback):
    """The same without a buffer: the player starts with the first samples."""

    id = "playback[buffer-0ms@2]"
    buffer = 0.0
    description = "Inter-chunk gaps, and the stalls of a player that starts with the first samples"


class Playback500(Playback):
    """The same with half a second of buffer."""

    id = "playback[buffer-500ms@2]"
    buffer = 0.5
    description = "Inter-chunk gaps, and the stalls of a player that starts 500 ms after the first samples"


def stalls_of(chunks: list[Chunk], rate: int, buffer: float) -> list[float]:
    """Seconds of each stall of a player that starts `buffer` seconds after the first of `chunks` arrived."""
    stalls = []
    played_out = chunks[0].seconds + buffer  # when the samples that have come are played
    for chunk in chunks:
        if chunk.seconds > played_out + _SAME_MOMENT:
            stalls.append(chunk.seconds - played_out)
            played_out = chunk.seconds
        played_out += chunk.frames / rate
    return stalls


def buffer_needed(chunks: list[Chunk], rate: int) -> float:
    """The least delay in seconds after the first chunk with which a player never stalls."""
    needed = held = 0.0
    for chunk in chunks:
        needed = max(needed, chunk.seconds - chunks[0].seconds - held)
        held += chunk.frames / rate
    return 0.0 if needed <= _SAME_MOMENT else round(needed, 6)


class CodecTime(Metric):
    """Real-time factors of a codec: encoding and decoding over the duration of the recording, and decoding per frame.

    A frame is a step of the codec's slowest codebook. Decoding is `stream_decode`, to its last chunk.
    """

    id = "codec-time[stream@1]"
    description = "Real-time factors of encoding and of streamed decoding, and the decoding time per frame"
    source = "Real-time factor per sample"
    needs = frozenset({"audio", "timing"})
    summaries = (
        *quantiles("encode_rtf", unit=""),
        *quantiles("decode_rtf", unit=""),
        *quantiles("frame", unit="ms", scale=1000.0),
    )

    def score(self, item: ScoringItem) -> Value:
        """Parts: `encode_rtf`, `decode_rtf`, and `frame` in seconds."""
        timing, codes = item.output.timing, item.output.codes
        if timing is None or timing.encode_seconds is None or timing.decode_seconds is None or codes is None:
            raise BadInput(f"Sample {item.sample.id} has no coding times.", "Run a codec through the task latency.")
        frames = min((book.frames for book in codes.codebooks), default=0)
        if frames == 0 or codes.seconds <= 0:
            raise Unscorable(f"Sample {item.sample.id}: there are no codes.", "Check the codec's output.")
        parts = {
            "encode_rtf": timing.encode_seconds / codes.seconds,
            "decode_rtf": timing.decode_seconds / codes.seconds,
            "frame": timing.decode_seconds / frames,
        }
        return Value(parts=parts, detail={"frames": frames})

    def failure(self, sample: Sample) -> dict[str, float]:
        """No parts: a quantile counts the sample as infinitely slow."""
        return {}


def per_second(part: str, columns: dict[str, NDArray[np.float64]], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """`part` over the wall time [resamples]. Undefined where an answer is lost, whose time is not known."""
    lost = weights @ (columns["wall_seconds"] <= 0).astype(np.float64) > 0
    return np.where(lost, np.nan, (weights @ columns[part]) / (weights @ columns["wall_seconds"]))


class Throughput(Metric):
    """Seconds of audio, and requests, per second of wall time in which a request was running.

    Every request has a share of the wall time: each moment is shared equally by the requests running in it.
    With one request at a time this is RTFx without batching.
    """

    id = "throughput[closed-loop@1]"
    description = "Audio produced (or transcribed, for text answers) per second of wall time; requests per second"
    source = "This project: a closed loop, in which each thread sends its next request after an answer"
    needs = frozenset({"reference", "timing"})
    summaries = (
        Summary(
            "throughput",
            "function",
            ("audio_seconds", "wall_seconds"),
            "×",
            "higher",
            function=partial(per_second, "audio_seconds"),
        ),
        Summary(
            "requests",
            "function",
            ("requests", "wall_seconds"),
            "1/s",
            "higher",
            headline=False,
            function=partial(per_second, "requests"),
        ),
    )

    def score(self, item: ScoringItem) -> Value:
        """Parts: `audio_seconds`, `requests` (1), `wall_seconds`, the request's share."""
        output = item.output
        wall = None if output.timing is None else output.timing.wall_seconds
        if wall is None:
            raise BadInput(f"Sample {item.sample.id} was not timed.", "Use the task latency.")
        audio = item.reference_seconds() if output.audio is None else output.audio.frames / output.audio.rate
        return Value(parts={"audio_seconds": audio, "requests": 1.0, "wall_seconds": wall})

    def failure(self, sample: Sample) -> dict[str, float]:
        """No time is known. `strict` is then not defined: none that could be counted would be true."""
        return {"audio_seconds": 0.0, "requests": 1.0, "wall_seconds": 0.0}

"""Latency metrics on answers whose times are known exactly."""

from __future__ import annotations

import numpy as np
import pytest
from support.metric_items import reader, speech_item, tone

from speech_eval.audio import Audio
from speech_eval.errors import BadInput
from speech_eval.metrics.base import ScoringItem, Unscorable
from speech_eval.metrics.latency import (
    CodecTime,
    Playback,
    Playback0,
    Playback500,
    RealTimeFactor,
    Response,
    Throughput,
    TimeToFirstAudio,
)
from speech_eval.records import Chunk, CodebookRecord, CodesRecord, Output, Sample, StoredAudio, Timing
from speech_eval.statistics.bootstrap import estimate

SAMPLE = Sample(id="s")


def stored(audio: Audio) -> StoredAudio:
    return StoredAudio(path="a.flac", sha256="0" * 64, rate=audio.rate, frames=len(audio.samples), peak=0.5)


def test_time_to_first_audio_is_first_byte_plus_leading_silence() -> None:
    audio = tone(1.0, silence=0.25, rate=24_000)
    chunks = [Chunk(seconds=0.1, frames=12_000), Chunk(seconds=0.4, frames=18_000)]
    assert TimeToFirstAudio().score(speech_item(audio, chunks=chunks)).parts == pytest.approx(
        {"ttfb": 0.1, "leading_silence": 0.25, "ttfa": 0.35}
    )


def test_a_header_without_samples_is_not_the_first_audio() -> None:
    chunks = [Chunk(seconds=0.01, frames=0), Chunk(seconds=0.2, frames=16_000)]
    assert TimeToFirstAudio().score(speech_item(tone(1.0), chunks=chunks)).parts["ttfb"] == 0.2


@pytest.mark.parametrize(
    ("audio", "frames"), [(Audio(np.zeros(16_000, np.float32), 16_000), 16_000), (tone(1.0), 0)], ids=["silent", "none"]
)
def test_an_answer_with_nothing_audible_has_no_time_to_first_audio(audio: Audio, frames: int) -> None:
    with pytest.raises(Unscorable):
        TimeToFirstAudio().score(speech_item(audio, chunks=[Chunk(seconds=0.1, frames=frames)]))


def test_an_untimed_answer_is_a_defect_of_the_task() -> None:
    with pytest.raises(BadInput):
        TimeToFirstAudio().score(speech_item(tone(1.0)))
    with pytest.raises(BadInput):
        RealTimeFactor().score(speech_item(tone(1.0), audio=stored(tone(1.0))))


def test_real_time_factor_of_a_synthesizer_is_over_the_audio_it_made() -> None:
    item = speech_item(tone(2.0), audio=stored(tone(2.0)), seconds=0.5)
    assert RealTimeFactor().score(item).parts == {"rtf": 0.25, "seconds": 0.5}


def test_real_time_factor_of_a_recognizer_is_over_the_audio_it_heard() -> None:
    output = Output(id="s", task="t", status="empty", seed=0, text="", seconds=1.0)
    item = ScoringItem(SAMPLE, output, load_reference=lambda rate: tone(4.0))
    assert RealTimeFactor().score(item).parts == {"rtf": 0.25, "seconds": 1.0}


def test_an_empty_answer_has_no_real_time_factor() -> None:
    with pytest.raises(Unscorable):
        RealTimeFactor().score(speech_item(None, seconds=1.0))


def test_failures_count_as_infinitely_late() -> None:
    p50 = TimeToFirstAudio.summaries[0]
    assert p50.name == "ttfa-p50"
    good = {"ttfa": 0.2, "ttfb": 0.1, "leading_silence": 0.1}
    failed = TimeToFirstAudio().failure(SAMPLE)
    assert estimate(p50, [good, good, good, failed], seed="x").value == pytest.approx(0.2)
    assert estimate(p50, [good, failed, failed, failed], seed="x").value is None


# ---------------------------------------------------------------------------------------------- playback


def arrivals(*chunks: tuple[float, float], rate: int = 16_000) -> list[Chunk]:
    """Chunks that arrive at a second and hold so many seconds of sound."""
    return [Chunk(seconds=at, frames=round(seconds * rate)) for at, seconds in chunks]


def played(metric: Playback, *chunks: tuple[float, float]) -> dict[str, float]:
    speech = tone(sum(seconds for _, seconds in chunks))
    return metric.score(speech_item(speech, audio=stored(speech), chunks=arrivals(*chunks))).parts


def test_a_player_stalls_when_it_has_played_all_that_came() -> None:
    # Without a buffer it plays 1.0-1.5, waits for the second chunk until 2.0, plays it to 2.2 and waits until 2.3.
    parts = played(Playback0(), (1.0, 0.5), (2.0, 0.2), (2.3, 1.0))
    assert parts == pytest.approx(
        {
            "interrupted": 1,
            "underruns": 2,
            "answers": 1,
            "stall": 0.6,
            "stalled_seconds": 0.6,
            "gap_max": 1.0,
            "gap_p95": 1.0,
            "buffer_needed": 0.6,
            "gaps": 2,
        }
    )


@pytest.mark.parametrize(
    ("metric", "underruns", "stall"),
    [(Playback0(), 2, 0.6), (Playback(), 2, 0.5), (Playback500(), 1, 0.1)],
    ids=lambda value: getattr(value, "id", None),
)
def test_a_buffer_delays_the_start_and_saves_stalls(metric: Playback, underruns: int, stall: float) -> None:
    parts = played(metric, (1.0, 0.5), (2.0, 0.2), (2.3, 1.0))
    assert (parts["underruns"], parts["stall"]) == (underruns, pytest.approx(stall))


def test_the_buffer_needed_is_the_least_that_does_not_stall() -> None:
    chunks = ((1.0, 0.5), (2.0, 0.2), (2.3, 1.0), (2.4, 0.1))
    needed = played(Playback0(), *chunks)["buffer_needed"]

    class Enough(Playback):
        buffer = needed

    class TooLittle(Playback):
        buffer = needed - 0.001

    assert played(Enough(), *chunks)["interrupted"] == 0 and played(TooLittle(), *chunks)["interrupted"] == 1


def test_a_chunk_that_comes_just_in_time_is_no_stall() -> None:
    speech = tone(1.0, rate=48_000)
    chunks = [Chunk(seconds=at, frames=16_000) for at in (0.333333, 0.666667, 1.0)]  # times are whole microseconds
    parts = Playback0().score(speech_item(speech, audio=stored(speech), chunks=chunks)).parts
    assert parts["interrupted"] == 0 and parts["buffer_needed"] == 0


def gap_quantiles(units: list[dict[str, float]]) -> dict[str, float | None]:
    """The median and the 95th percentile of the longest gap."""
    named = {summary.name: summary for summary in Playback.summaries}
    return {name: estimate(named[name], units, seed="x").value for name in ("gap-max-p50", "gap-max-p95")}


def test_an_answer_in_one_chunk_has_no_gaps_and_is_not_the_best() -> None:
    single, slow = played(Playback(), (5.0, 1.0)), played(Playback(), (1.0, 0.5), (2.0, 0.2))
    assert (single["gaps"], single["underruns"], single["stall"]) == (0, 0, 0) and "gap_max" not in single
    assert gap_quantiles([single] * 5) == {"gap-max-p50": None, "gap-max-p95": None}
    assert gap_quantiles([single] * 5 + [slow]) == {"gap-max-p50": 1.0, "gap-max-p95": 1.0}
    lost = Playback().failure(SAMPLE)
    assert gap_quantiles([single] * 5 + [slow, slow, slow, lost]) == {"gap-max-p50": 1.0, "gap-max-p95": None}


@pytest.mark.parametrize("count", [40, 700])
def test_the_interval_of_gaps_is_that_of_the_answers_that_have_some(count: int) -> None:
    single = played(Playback(), (5.0, 1.0))
    gapped = [played(Playback(), (1.0, 0.5), (1.1 + number / count, 0.2)) for number in range(count)]
    summary = next(summary for summary in Playback.summaries if summary.name == "gap-max-p50")
    alone, mixed = (estimate(summary, units, seed="x") for units in (gapped, gapped + [single] * count))
    assert mixed.value == alone.value
    assert alone.low is not None and mixed.low == pytest.approx(alone.low, abs=0.05)


@pytest.mark.parametrize("gain", [3.0, 0.3, 0.1, 0.001])
def test_the_time_to_first_audio_is_the_same_at_every_level(gain: float) -> None:
    speech = reader("0870")
    chunks = [Chunk(seconds=0.1, frames=len(speech.samples))]
    first, other = (
        TimeToFirstAudio().score(speech_item(Audio(speech.samples * np.float32(g), speech.rate), chunks=chunks)).parts
        for g in (1.0, gain)
    )
    assert other == first and 0.0 < first["leading_silence"] < 0.5


def test_empty_chunks_are_no_arrivals() -> None:
    assert played(Playback0(), (0.1, 0.0), (1.0, 0.5), (1.2, 0.0), (1.4, 0.5))["gap_max"] == pytest.approx(0.4)


def test_the_95th_percentile_of_gaps_is_within_the_answer() -> None:
    steady = [(0.1 * number, 0.1) for number in range(40)]
    late = [(at + (0.5 if number == 39 else 0.0), seconds) for number, (at, seconds) in enumerate(steady)]
    parts = played(Playback0(), *late)
    assert (parts["gap_p95"], parts["gap_max"]) == (pytest.approx(0.1), pytest.approx(0.6))


def test_a_lost_answer_counts_as_interrupted_and_infinitely_late_and_in_no_mean() -> None:
    good = played(Playback0(), (1.0, 0.5), (2.0, 0.2), (2.3, 1.0))
    lost = Playback().failure(SAMPLE)
    values = {s.name: estimate(s, [good, good, lost, lost], seed="x").value for s in Playback.summaries}
    assert (values["interrupted"], values["underruns"], values["stalled"]) == (100.0, 2.0, 0.6)
    assert values["stall-p50"] == 0.6 and values["stall-p95"] is None


# --------------------------------------------------------------------------------- text, codecs, throughput


def response(chunks: list[Chunk] | None, seconds: float | None = 2.0) -> ScoringItem:
    return ScoringItem(SAMPLE, Output(id="s", task="t", status="ok", seed=0, text="x", chunks=chunks, seconds=seconds))


def test_the_first_text_is_the_first_that_is_not_blank() -> None:
    chunks = [Chunk(seconds=0.1, frames=0, text=" "), Chunk(seconds=0.4, frames=0, text="Yes")]
    assert Response().score(response(chunks)).parts == {"ttft": 0.4, "response": 2.0}


def test_a_spoken_reply_without_text_has_no_first_text() -> None:
    assert Response().score(response([Chunk(seconds=0.1, frames=99)])).parts == {"response": 2.0}
    with pytest.raises(BadInput):
        Response().score(response(None))


def test_codec_times_are_over_the_recording_and_over_the_frames_of_the_slowest_codebook() -> None:
    books = [CodebookRecord(frames=n, frame_rate=n / 4, size=2, histogram=[(n, 1)]) for n in (100, 50)]
    timing, codes = Timing(encode_seconds=1.0, decode_seconds=2.0), CodesRecord(seconds=4.0, codebooks=books)
    item = speech_item(tone(1.0), timing=timing, codes=codes)
    assert CodecTime().score(item).parts == {"encode_rtf": 0.25, "decode_rtf": 0.5, "frame": 0.04}
    (frame,) = (s for s in CodecTime.summaries if s.name == "frame-p50")
    assert estimate(frame, [{"frame": 0.04}], seed="x").value == 40.0 and frame.unit == "ms"
    with pytest.raises(BadInput):
        CodecTime().score(speech_item(tone(1.0)))


def test_throughput_is_audio_over_shares_of_wall_time_and_not_defined_with_a_lost_answer() -> None:
    item = speech_item(tone(2.0), audio=stored(tone(2.0)), timing=Timing(wall_seconds=0.25))
    parts = Throughput().score(item).parts
    assert parts == {"audio_seconds": 2.0, "requests": 1.0, "wall_seconds": 0.25}
    audio, requests = Throughput.summaries
    assert estimate(audio, [parts, parts], seed="x").value == 8.0
    assert estimate(requests, [parts, parts], seed="x").value == 4.0
    assert estimate(audio, [parts, Throughput().failure(SAMPLE)], seed="x").value is None
    with pytest.raises(BadInput):
        Throughput().score(speech_item(tone(2.0)))

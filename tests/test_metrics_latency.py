"""Latency metrics on answers whose times are known exactly."""

from __future__ import annotations

import numpy as np
import pytest
from metric_items import speech_item, tone

from harness.audio import Audio
from harness.errors import BadInput
from harness.metrics.base import ScoringItem, Unscorable
from harness.metrics.latency import RealTimeFactor, TimeToFirstAudio
from harness.statistics import estimate
from harness.types import Chunk, Output, Sample, StoredAudio

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


def test_real_time_factor_of_a_synthesiser_is_over_the_audio_it_made() -> None:
    item = speech_item(tone(2.0), audio=stored(tone(2.0)), seconds=0.5)
    assert RealTimeFactor().score(item).parts == {"rtf": 0.25, "seconds": 0.5}


def test_real_time_factor_of_a_recogniser_is_over_the_audio_it_heard() -> None:
    output = Output(id="s", task="t", status="empty", seed=0, text="", seconds=1.0)
    item = ScoringItem(SAMPLE, output, load_reference=lambda rate: tone(4.0))
    assert RealTimeFactor().score(item).parts == {"rtf": 0.25, "seconds": 1.0}


def test_an_empty_answer_has_no_real_time_factor() -> None:
    with pytest.raises(Unscorable):
        RealTimeFactor().score(speech_item(None, seconds=1.0))


def test_failures_count_as_infinitely_late() -> None:
    p50 = TimeToFirstAudio.summaries[0]
    good = {"ttfa": 0.2, "ttfb": 0.1, "leading_silence": 0.1}
    failed = TimeToFirstAudio().failure(SAMPLE)
    assert estimate(p50, [good, good, good, failed], seed="x").value == pytest.approx(0.2)
    assert estimate(p50, [good, failed, failed, failed], seed="x").value is None

"""What speech costs a language model: counted from real codes, laid out in the ways that models lay them out."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.tiny_codecs import FAMILIES, save_tiny_codec

from speech_eval.adapters import spec as modelspec
from speech_eval.engine import session as runner
from speech_eval.engine.session import Settings
from speech_eval.metrics.base import BadData, ScoringItem
from speech_eval.metrics.codec.tokens import TextTokens, positions
from speech_eval.records import CodebookRecord, CodesRecord, Output, Results, Sample

COUNTS = ("token-bill[layouts@1]", "bitrate[measured@1]")


def item(
    frames: list[int], sizes: list[int] | None = None, seconds: float = 2.0, text: str | None = None
) -> ScoringItem:
    books = [
        CodebookRecord(frames=count, frame_rate=count / seconds, size=size, histogram=[(count, 1)])
        for count, size in zip(frames, sizes or [1024] * len(frames), strict=True)
    ]
    output = Output(id="s", task="t", status="ok", seed=0, codes=CodesRecord(seconds=seconds, codebooks=books))
    return ScoringItem(Sample(id="s", text=text), output)


def bill(folder: Path, model: str, metrics: tuple[str, ...] = COUNTS, limit: int = 3) -> dict[str, float | None]:
    settings = Settings(limit=limit, workers=1, metrics=metrics)
    results: Results = runner.run(modelspec.parse(model), ["token-bill"], folder, settings)
    return {metric.name: metric.strict.value for metric in results.tasks[0].metrics}


def test_layouts_of_eight_levels_of_a_hundred_frames() -> None:
    assert positions([100] * 8) == {"flattened": 800, "delay": 107, "stacked": 100, "first-level": 100}


def test_levels_of_different_rates_have_no_delay_layout_and_stack_on_the_slowest() -> None:
    assert positions([12, 24, 48]) == {"flattened": 84, "delay": None, "stacked": 12, "first-level": 12}


@given(st.integers(1, 5000), st.integers(1, 32))
def test_one_level_costs_the_same_in_every_layout_and_more_levels_never_less(frames: int, levels: int) -> None:
    assert len(set(positions([frames]).values())) == 1
    found = positions([frames] * levels)
    ordered = [found[name] for name in ("stacked", "delay", "flattened")]
    assert ordered == sorted(ordered, key=lambda count: count or 0)
    assert found["first-level"] == found["stacked"] == frames


@given(st.lists(st.integers(0, 3000), min_size=1, max_size=8))
def test_flattening_loses_no_code(frames: list[int]) -> None:
    assert positions(frames)["flattened"] == sum(frames)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_bill_is_that_of_the_adapters_codes(family: str, tmp_path: Path) -> None:
    _, _, levels, rate = FAMILIES[family]
    found = bill(tmp_path / "run", str(save_tiny_codec(family, tmp_path / "model")))
    assert found["flattened"] == pytest.approx(levels * rate, rel=0.02)  # whole frames: a little over the rate
    assert found["stacked"] == pytest.approx(rate, rel=0.02)
    assert found["flattened"] == found["token-rate"]
    assert found["bits-per-code"] == 5 and found["vocabulary"] == 32 * levels
    assert found["bits"] == pytest.approx(1000 * (found["bitrate"] or 0), rel=1e-6)


def test_fewer_levels_cost_less_flattened_and_the_same_stacked(tmp_path: Path) -> None:
    path = save_tiny_codec("mimi", tmp_path / "model")
    whole, half = bill(tmp_path / "a", str(path)), bill(tmp_path / "b", f"{path},n_codebooks=4")
    assert whole["flattened"] == pytest.approx(2 * (half["flattened"] or 0))
    assert whole["stacked"] == half["stacked"]


def test_the_bytes_of_opus_are_one_level(tmp_path: Path) -> None:
    found = bill(tmp_path, "opus,bitrate=12000")
    assert found["flattened"] == found["stacked"] == found["delay"] == pytest.approx(1500, rel=0.03)
    assert found["bits-per-code"] == 8


def test_a_lost_output_changes_no_rate(tmp_path: Path) -> None:
    whole, lossy = bill(tmp_path / "a", "oracle", limit=6), bill(tmp_path / "b", "failing,fail_rate=0.5", limit=6)
    assert whole["flattened"] == lossy["flattened"] == 16_000


def test_text_costs_far_less_than_codes() -> None:
    pytest.importorskip("transformers")
    pytest.importorskip("gguf")
    parts = TextTokens().score(item([150] * 8, text="He was not an ill disposed young man.")).parts
    assert parts["text"] == 9  # eight words and a stop
    assert parts["flattened"] == 1200 and parts["stacked"] == 150


def test_without_a_transcript_there_are_no_text_tokens() -> None:
    with pytest.raises(BadData, match="transcript"):
        TextTokens().score(item([150] * 8, text=" "))

"""Codebook usage, entropy and perplexity over a corpus, with intervals where intervals mean something."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.tiny_codecs import save_tiny_codec

from speech_eval.adapters import spec as modelspec
from speech_eval.adapters.base import Codes
from speech_eval.audio import Audio
from speech_eval.engine import session as runner
from speech_eval.engine.aggregate import unit
from speech_eval.engine.generate.requests import codes_record
from speech_eval.engine.session import Settings
from speech_eval.engine.verify import verify
from speech_eval.errors import BadInput
from speech_eval.metrics.base import ScoringItem, Unit
from speech_eval.metrics.codec.counts import counts_text, read_counts
from speech_eval.metrics.codec.usage import CodebookUse
from speech_eval.records import Estimate, Output, Sample, Score
from speech_eval.statistics.bootstrap import estimate
from speech_eval.statistics.summaries import clusters

METRIC = CodebookUse()


def corpus(recordings: Sequence[Sequence[Sequence[int]]], size: int = 8, lost: int = 0) -> list[Unit]:
    """Pooled units of recordings, each a list of levels, each a list of codes; and of lost ones."""
    units = []
    for number, levels in enumerate(recordings):
        sample = Sample(id=f"s{number}")
        books = [np.array(level, dtype=np.int64) for level in levels]
        sound = Audio(np.zeros(len(books[0]) * 10, np.float32), 100)
        codes = codes_record(Codes(books, [10.0] * len(books), [size] * len(books)), sound)
        output = Output(id=sample.id, task="t", status="ok", seed=0, codes=codes)
        value = METRIC.score(ScoringItem(sample, output))
        detail = value.detail or {}
        score = Score(id=sample.id, metric=METRIC.id, output="0", status="ok", parts=value.parts, detail=detail)
        units.append(unit(METRIC, sample, score))
    units += [unit(METRIC, Sample(id=f"lost{number}"), None) for number in range(lost)]
    return list(METRIC.pool(units))


def numbers(units: list[Unit], resamples: int = 500) -> dict[str, Estimate]:
    parts, labels = [u.strict for u in units], clusters([u.sample for u in units])
    reported = METRIC.reported(units)
    return {s.name: estimate(s, parts, seed="x", clusters=labels, resamples=resamples) for s in reported}


@given(st.lists(st.integers(0, 999), max_size=300))
def test_stored_counts_are_read_as_they_were(codes: list[int]) -> None:
    used, counts = np.unique(np.array(codes, dtype=np.int64), return_counts=True)
    record = {"size": 1000, "frames": len(codes), "counts": counts_text(used, counts)}
    assert np.array_equal(read_counts(record), np.bincount(codes, minlength=1000))


@pytest.mark.parametrize("damage", [None, "", "AAAA", counts_text(np.array([9]), np.array([5]))])
def test_counts_that_are_lacking_or_damaged_are_bad_input(damage: str | None) -> None:
    with pytest.raises(BadInput, match="counts"):
        read_counts({"size": 8, "frames": 5} | ({} if damage is None else {"counts": damage}))


def test_recordings_that_share_no_code_fill_the_book_together() -> None:
    found = numbers(corpus([[[0, 1, 2, 3] * 5], [[4, 5, 6, 7] * 5]]))
    assert found["usage"].value == 100
    assert found["entropy"].value == 3 and found["perplexity-1"].value == 8 and found["efficiency"].value == 100
    alone = numbers(corpus([[[0, 1, 2, 3] * 5]]))
    assert alone["usage"].value == 50 and alone["entropy"].value == 2


def test_a_dead_level_shows_in_its_own_numbers() -> None:
    found = numbers(corpus([[[0, 1, 2, 3, 4, 5, 6, 7], [3] * 8]] * 2))
    assert found["usage-1"].value == 100 and found["usage-2"].value == 12.5
    assert found["perplexity-1"].value == 8 and found["perplexity-2"].value == 1
    assert found["entropy"].value == 1.5 and found["usage"].value == 56.25


def test_a_skewed_book_is_coded_below_its_nominal_rate() -> None:
    found = numbers(corpus([[[0] * 9 + [1]], [[0] * 9 + [1]]]))
    entropy = -(0.9 * np.log2(0.9) + 0.1 * np.log2(0.1))
    assert found["entropy"].value == pytest.approx(entropy, abs=1e-6)
    assert found["corpus-bitrate"].value == pytest.approx(entropy * 10 / 1000, abs=1e-6)
    assert found["codes-per-entry"].value == 20 / 8


def test_usage_has_no_interval_and_entropy_has_one() -> None:
    rng = np.random.default_rng(0)
    found = numbers(corpus([[rng.integers(0, 8, 30).tolist()] for _ in range(10)]))
    assert found["usage"].low is None and found["usage"].high is None and found["usage-1"].low is None
    entropy = found["entropy"]
    assert entropy.value is not None and entropy.low is not None and entropy.high is not None
    assert entropy.low < entropy.value < entropy.high


def test_the_interval_of_the_entropy_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    shares = np.array([0.4, 0.2, 0.1, 0.1, 0.1, 0.05, 0.03, 0.02])
    truth = float(-(shares * np.log2(shares)).sum())
    hits = 0
    for _ in range(100):
        # recordings differ in what they say: each has shares of its own around the corpus's
        own = [rng.dirichlet(60 * shares) for _ in range(30)]
        found = numbers(corpus([[rng.choice(8, 200, p=p).tolist()] for p in own]), resamples=300)["entropy"]
        assert found.low is not None and found.high is not None
        hits += found.low <= truth <= found.high
    assert hits >= 88


def test_lost_outputs_and_order_change_nothing() -> None:
    recordings = [[[0, 1, 2, 3]], [[4, 4, 4, 4]], [[1, 1, 5, 6]]]
    whole, lossy = numbers(corpus(recordings)), numbers(corpus(recordings, lost=2))
    back = numbers(corpus(recordings[::-1]))
    for name, found in whole.items():
        assert found.value == lossy[name].value == back[name].value


def test_a_run_reports_every_level_of_its_codec_and_is_verified(tmp_path: Path) -> None:
    path = save_tiny_codec("mimi", tmp_path / "model")
    settings = Settings(limit=3, workers=1, metrics=("codebook[corpus@1]",))
    results = runner.run(modelspec.parse(str(path)), ["token-bill"], tmp_path / "run", settings)
    found = {metric.name: metric.strict for metric in results.tasks[0].metrics}
    assert {f"{name}-{level}" for name in ("usage", "entropy", "perplexity") for level in range(1, 9)} < set(found)
    assert "usage-9" not in found
    levels = [found[f"usage-{level}"].value or 0 for level in range(1, 9)]
    assert found["usage"].value == pytest.approx(np.mean(levels))
    assert all(0 < level <= 100 for level in levels)
    assert verify(tmp_path / "run", Settings(workers=1)).differences == []

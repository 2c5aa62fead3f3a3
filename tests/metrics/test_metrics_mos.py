"""Predicted opinion scores against the published code, on recorded speech."""

from __future__ import annotations

import sys
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support.metric_items import reader, speech_item

from speech_eval.audio import Audio
from speech_eval.errors import BadInput, MissingExtra, NotFetched
from speech_eval.metrics.base import Unscorable
from speech_eval.metrics.mos import DNSMOS, UTMOS, UTMOS_VARIABLE, DistillMOS, UTMOSv2, windows

RATE = 16_000


@cache
def metric() -> DNSMOS:
    return DNSMOS()


def scores(audio: Audio) -> dict[str, float]:
    return metric().score(speech_item(audio)).parts


# By the code of speechmos 0.0.1.1 with the same weights.
@pytest.mark.parametrize(
    ("number", "golden"),
    [
        ("0870", {"ovrl": 3.2424, "sig": 3.6023, "bak": 3.9238}),
        ("0890", {"ovrl": 2.7929, "sig": 3.4758, "bak": 3.1695}),
    ],
)
def test_scores_are_those_of_the_original_code(number: str, golden: dict[str, float]) -> None:
    assert scores(reader(number)) == pytest.approx(golden, abs=1e-3)


@pytest.mark.slow
def test_scores_of_a_long_clip_leave_out_the_windows_that_the_original_loses() -> None:
    long = Audio(np.concatenate([reader(number).samples for number in ("0870", "0890", "0920")]), RATE)
    assert long.seconds > 18
    assert scores(long) == pytest.approx({"ovrl": 3.0130, "sig": 3.5875, "bak": 3.4674}, abs=1e-3)


@pytest.mark.slow
def test_quality_falls_as_noise_is_added() -> None:
    clean = reader("0920").samples
    noise = np.random.default_rng(0).standard_normal(len(clean)).astype(np.float32)
    level = np.sqrt(np.mean(clean**2))
    noisy = [clean, *(clean + noise * level * np.float32(10 ** (-snr / 20)) for snr in (20, 10, 0))]
    found = [scores(Audio(samples, RATE)) for samples in noisy]
    for name in ("ovrl", "bak"):
        values = [score[name] for score in found]
        assert all(better > worse + 0.1 for better, worse in pairwise(values)), name


@pytest.mark.parametrize("decibels", [-30, -60])
def test_quiet_speech_gets_the_originals_value(decibels: int) -> None:
    quiet = reader("0870").samples * np.float32(10 ** (decibels / 20))
    raw = np.stack([metric()._session.run(None, {"input_1": w[None]})[0][0] for w in windows(quiet)])
    bak = np.polyval((-0.13166888, 1.60915514, -0.39604546), raw[:, 1].astype(np.float64)).mean()
    assert scores(Audio(quiet, RATE))["bak"] == pytest.approx(bak)


@pytest.mark.slow
def test_any_rate_is_resampled() -> None:
    assert scores(reader("0870").resampled(24_000))["ovrl"] == pytest.approx(3.2424, abs=0.05)


def test_silence_has_no_value_and_a_failure_gets_the_bottom_of_the_scale() -> None:
    with pytest.raises(Unscorable) as caught:
        metric().score(speech_item(Audio(np.zeros(RATE, np.float32), RATE)))
    assert caught.value.compat is not None and set(caught.value.compat) == {"ovrl", "sig", "bak"}
    assert set(metric().failure(speech_item(None).sample).values()) == {1.0}


def test_a_short_clip_is_doubled_until_it_fills_a_window() -> None:
    clip = np.arange(50_000, dtype=np.float32)
    (first, *rest) = windows(clip)
    assert len(first) == 144_160
    assert np.array_equal(first[50_000:100_000], clip)
    assert len(rest) == 2  # doubled twice: 12.5 s


@pytest.mark.parametrize(
    ("seconds", "count"), [(9.01, 1), (10, 1), (11, 2), (16, 7), (25, 7), (32, 7), (33, 7), (34, 8)]
)
def test_windows_of_a_clip(seconds: float, count: int) -> None:
    assert len(windows(np.zeros(int(seconds * RATE), np.float32))) == count


def test_the_scorer_names_the_weights() -> None:
    assert metric().scorer() == "dnsmos@269fbebdb513"


# ------------------------------------------------------------------------------------------ DistillMOS


@cache
def distillmos() -> DistillMOS:
    pytest.importorskip("torch")
    return DistillMOS()


def with_noise(samples: np.ndarray, decibels: float) -> np.ndarray:
    noise = np.random.default_rng(0).standard_normal(len(samples)).astype(np.float32)
    return samples + noise * np.float32(np.sqrt(np.mean(samples**2)) * 10 ** (-decibels / 20))


def opinion(samples: np.ndarray) -> float:
    return distillmos().score(speech_item(Audio(samples, RATE))).parts["mos"]


# By the code of distillmos 0.9.1 and xls-r-sqa 0.1.0: clean, and with white noise at 5 dB.
@pytest.mark.parametrize(("number", "clean", "noisy"), [("0870", 4.4812, 2.0195), ("0880", 3.4346, 2.1859)])
def test_distillmos_is_that_of_the_original_code(number: str, clean: float, noisy: float) -> None:
    samples = reader(number).samples
    assert opinion(samples) == pytest.approx(clean, abs=1e-3)
    assert opinion(with_noise(samples, 5)) == pytest.approx(noisy, abs=1e-3)


@pytest.mark.slow
def test_distillmos_averages_excerpts_of_long_speech_as_the_original_does() -> None:
    long = np.concatenate([reader(number).samples for number in ("0870", "0880", "0890", "0920")])
    value = distillmos().score(speech_item(Audio(long, RATE)))
    assert value.detail == {"excerpts": 15}
    assert value.parts["mos"] == pytest.approx(4.2220, abs=1e-3)


def test_distillmos_takes_no_note_of_the_level() -> None:
    samples = reader("0870").samples
    for gain in (0.25, 0.001):
        assert opinion(samples * np.float32(gain)) == pytest.approx(opinion(samples), abs=1e-3)


def test_silence_has_no_distillmos() -> None:
    with pytest.raises(Unscorable):
        opinion(np.zeros(RATE, np.float32))


# ------------------------------------------------------------------------------- UTMOS and UTMOSv2


@pytest.mark.parametrize(
    ("cls", "package", "extra"), [(UTMOS, "utmos_pytorch", "utmos"), (UTMOSv2, "utmosv2", "utmosv2")]
)
def test_what_is_not_installed_is_named_with_its_extra_before_a_run(
    cls: Any, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=rf"\[{extra}\]"):
        cls.ready()


def test_utmos_weights_that_are_not_there_are_named_before_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("utmos_pytorch")
    monkeypatch.setenv(UTMOS_VARIABLE, "/nowhere/utmos.pt")
    with pytest.raises(NotFetched, match="/nowhere"):
        UTMOS.ready()


def test_utmos_takes_no_file_that_would_leave_it_at_random(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("utmos_pytorch")
    torch.save({"feature_extractors.1.embedding.weight": torch.zeros(3, 128)}, tmp_path / "other.pt")
    monkeypatch.setenv(UTMOS_VARIABLE, str(tmp_path / "other.pt"))
    with pytest.raises(BadInput, match="not UTMOS weights"):
        UTMOS().score(speech_item(reader("0880")))


def drawing(**options: Any) -> SimpleNamespace:
    """Stands in for UTMOSv2, which pins libraries too old for this environment: it rates a random excerpt."""

    def predict(data: np.ndarray, **options: Any) -> np.ndarray:
        start = np.random.randint(0, data.shape[1] - 8000)
        return np.array([float(np.abs(data[0, start : start + 8000]).mean())])

    return SimpleNamespace(predict=predict)


def test_excerpts_of_utmosv2_are_drawn_from_the_sample_and_leave_the_generators_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("torch")
    package = ModuleType("utmosv2")
    package.create_model = drawing  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "utmosv2", package)
    metric, first, second = UTMOSv2(), speech_item(reader("0870")), speech_item(reader("0890"))
    np.random.seed(1)
    before = np.random.get_state()[1].tolist()  # type: ignore[index, union-attr]
    one, other = metric.score(first).parts, metric.score(second).parts
    assert np.random.get_state()[1].tolist() == before  # type: ignore[index, union-attr]
    np.random.seed(2)
    assert metric.score(second).parts == other and metric.score(first).parts == one

"""Codec metrics on recorded speech: golden values of the packages, what must be perfect, what must get worse."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from support.metric_items import announcer, reader, tone

from speech_eval.audio import Audio, flac_bytes, read
from speech_eval.errors import BadInput
from speech_eval.metrics import catalog
from speech_eval.metrics.base import Metric, ScoringItem, Unscorable, Value
from speech_eval.metrics.codec.pitch import f0
from speech_eval.metrics.codec.sisdr import si_sdr
from speech_eval.metrics.codec.spectral import magnitudes
from speech_eval.records import CodebookRecord, CodesRecord, Output, Sample
from speech_eval.signal.features import slaney_filters

pesq = pytest.importorskip("pesq")
pystoi = pytest.importorskip("pystoi")

# Number that tells quality -> +1 where higher is better, -1 where lower is; and what identical speech gets.
AXES: dict[tuple[str, str], tuple[int, float]] = {
    ("stoi[pystoi]", "stoi"): (1, 1.0),
    ("estoi[pystoi]", "stoi"): (1, 1.0),
    ("pesq-wb[p862.2]", "pesq"): (1, 4.644),
    ("pesq-nb[p862@8k]", "pesq"): (1, 4.549),
    ("pesq-nb[p862@16k]", "pesq"): (1, 4.549),
    ("si-sdr[torchmetrics-definition]", "si-sdr"): (1, 100.0),
    ("si-sdr[torchmetrics@1.9.0]", "si-sdr"): (1, 100.0),
    ("si-snr[torchmetrics@1.9.0]", "si-snr"): (1, 100.0),
    ("sdr[torchmetrics@1.9.0]", "sdr"): (1, 100.0),
    ("mel-distance[multi-resolution]", "distance"): (-1, 0.0),
    ("stft-distance[multi-resolution]", "distance"): (-1, 0.0),
    ("mcd[mel-13@1]", "mcd"): (-1, 0.0),
    ("f0[yin@1]", "rmse"): (-1, 0.0),
    ("f0[yin@1]", "voicing_error"): (-1, 0.0),
    ("sim-reference[cam++@zh-en-common]", "similarity"): (1, 1.0),
}
METRICS = sorted({name for name, _ in AXES})
# CAM++ floors weak bands as the original does, so speech 60 dB down differs from itself.
GAIN_INVARIANT = [key for key in AXES if "distance" not in key[0] and "sim-reference" not in key[0]]


@cache
def metric(name: str) -> Metric:
    made: Metric = catalog.METRICS.get(name)()
    return made


def codes_at(codebooks: list[CodebookRecord]) -> CodesRecord:
    return CodesRecord(seconds=2.0, codebooks=codebooks)


def pair_item(reference: Audio, output: Audio, codes: CodesRecord | None = None) -> ScoringItem:
    def loader(audio: Audio) -> Any:
        return lambda rate: audio if rate is None else audio.resampled(rate)

    return ScoringItem(
        sample=Sample(id="s"),
        output=Output(id="s", task="t", status="ok", seed=0, codes=codes),
        load_audio=loader(output),
        load_reference=loader(reference),
    )


def value(name: str, part: str, reference: Audio, output: Audio) -> float:
    return metric(name).score(pair_item(reference, output)).parts[part]


@cache
def speech() -> Audio:
    return reader("0880")


@cache
def noisy(db: float) -> Audio:
    """The speech with white noise `db` below it."""
    samples = speech().samples
    noise = np.random.default_rng(7).standard_normal(len(samples)) * np.sqrt(np.mean(samples**2)) * 10 ** (-db / 20)
    return Audio((samples + noise).astype(np.float32), speech().rate)


# --------------------------------------------------------------------------------- all metrics alike


@pytest.mark.parametrize("key", AXES)
def test_identical_speech_is_perfect(key: tuple[str, str]) -> None:
    assert value(*key, speech(), speech()) == pytest.approx(AXES[key][1], abs=2e-3)


@pytest.mark.parametrize("key", AXES)
def test_more_noise_is_worse(key: tuple[str, str]) -> None:
    direction, _ = AXES[key]
    values = [direction * value(*key, speech(), noisy(db)) for db in (35, 22, 12)]
    assert values[0] >= values[1] >= values[2] and values[0] > values[2]


def stored(audio: Audio, decibels: float) -> Audio:
    """At another level, as a run stores it: 24-bit FLAC."""
    return read(flac_bytes(Audio(np.float32(10 ** (decibels / 20)) * audio.samples, audio.rate)), "test")


@pytest.mark.parametrize("levels", [(0.0, -6.0), (0.0, -40.0), (0.0, -60.0), (-60.0, -60.0)], ids=str)
@pytest.mark.parametrize("key", GAIN_INVARIANT)
def test_the_level_does_not_matter_where_it_is_defined_so(key: tuple[str, str], levels: tuple[float, float]) -> None:
    reference, output = stored(speech(), levels[0]), stored(noisy(22), levels[1])
    tolerance = 0.05 if "pesq" in key[0] else 2e-3  # PESQ sets the level of each side by itself
    assert value(*key, reference, output) == pytest.approx(value(*key, speech(), noisy(22)), abs=tolerance)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("decibels", [-40.0, -60.0])
def test_every_metric_has_a_value_for_quiet_speech(name: str, decibels: float) -> None:
    """Also those that the level changes: the original's number, however low."""
    found = metric(name).score(pair_item(speech(), stored(noisy(22), decibels))).parts
    assert all(np.isfinite(part) for part in found.values())


@pytest.mark.parametrize("name", METRICS)
def test_a_failure_is_no_better_than_noise_in_place_of_speech(name: str) -> None:
    noise = np.random.default_rng(1).standard_normal(len(speech().samples)) * 0.05
    item = pair_item(speech(), Audio(noise.astype(np.float32), speech().rate))
    try:
        got = metric(name).score(item).parts
    except Unscorable:
        got = metric(name).failure(item.sample)
    for (owner, part), (direction, _) in AXES.items():
        if owner == name:
            assert direction * metric(name).failure(item.sample)[part] <= direction * got[part] + 0.05


@pytest.mark.parametrize("name", METRICS)
def test_silence_is_unscorable_on_the_side_of_the_output(name: str) -> None:
    silence = Audio(np.zeros_like(speech().samples), speech().rate)
    with pytest.raises(Unscorable, match=r"answer .*audible") as caught:
        metric(name).score(pair_item(speech(), silence))
    assert caught.value.compat is None or all(np.isfinite(part) for part in caught.value.compat.values())
    with pytest.raises(Unscorable, match=r"(recording|prompt) .*audible"):
        metric(name).score(pair_item(silence, speech()))


def test_the_original_scores_silence_as_it_does() -> None:
    silence = Audio(np.zeros_like(speech().samples), speech().rate)
    with pytest.raises(Unscorable) as caught:
        metric("stoi[pystoi]").score(pair_item(speech(), silence))
    expected = pystoi.stoi(speech().samples.astype(np.float64), silence.samples.astype(np.float64), 16_000)
    assert caught.value.compat == {"stoi": pytest.approx(expected, abs=1e-6)}


@pytest.mark.parametrize("name", ["stoi[pystoi]", "estoi[pystoi]", "pesq-wb[p862.2]", "pesq-nb[p862@8k]", "f0[yin@1]"])
def test_what_is_too_short_is_unscorable_and_no_default(name: str) -> None:
    short = Audio(speech().samples[16_000:17_600], 16_000)
    with pytest.raises(Unscorable):
        metric(name).score(pair_item(short, short))


# ------------------------------------------------------------------------------------------- lengths


def test_up_to_one_codec_frame_may_lack_at_the_end() -> None:
    cut = Audio(speech().samples[: -int(0.03 * 16_000)], 16_000)
    slow, fast = (
        codes_at([CodebookRecord(frames=1, frame_rate=rate, size=2, histogram=[(1, 1)])]) for rate in (25, 50)
    )
    assert metric("stoi[pystoi]").score(pair_item(speech(), cut, slow)).parts["stoi"] > 0.999
    with pytest.raises(Unscorable, match="shorter than the recording"):
        metric("stoi[pystoi]").score(pair_item(speech(), cut, fast))


def test_nothing_is_shifted() -> None:
    late = Audio(np.pad(speech().samples, (80, 0))[:-80], 16_000)
    assert value("si-sdr[torchmetrics-definition]", "si-sdr", speech(), late) < 0


# ------------------------------------------------------------------------------------- golden values


@pytest.mark.parametrize(
    ("name", "rate", "mode"),
    [("pesq-wb[p862.2]", 16_000, "wb"), ("pesq-nb[p862@8k]", 8_000, "nb"), ("pesq-nb[p862@16k]", 16_000, "nb")],
)
def test_pesq_is_the_packages(name: str, rate: int, mode: str) -> None:
    expected = pesq.pesq(rate, speech().resampled(rate).samples, noisy(22).resampled(rate).samples, mode)
    assert value(name, "pesq", speech(), noisy(22)) == pytest.approx(expected)


@pytest.mark.parametrize("extended", [False, True])
def test_stoi_is_the_packages(extended: bool) -> None:
    a, b = (audio.samples.astype(np.float64) for audio in (speech(), noisy(12)))
    name = "estoi[pystoi]" if extended else "stoi[pystoi]"
    expected = pystoi.stoi(a, b, 16_000, extended=extended)
    assert value(name, "stoi", speech(), noisy(12)) == pytest.approx(expected, abs=1e-6)


def test_estoi_of_gaps_is_the_same_every_time() -> None:
    gaps = speech().samples.copy()
    gaps[10_000:20_000] = 0
    values = {value("estoi[pystoi]", "stoi", speech(), Audio(gaps, 16_000)) for _ in range(3)}
    assert len(values) == 1


def test_estoi_leaves_numpys_global_generator_alone() -> None:
    np.random.seed(3)
    expected = np.random.random()
    np.random.seed(3)
    value("estoi[pystoi]", "stoi", speech(), noisy(12))
    assert np.random.random() == expected


# torchmetrics.functional.audio.scale_invariant_signal_distortion_ratio's documented example.
def test_si_sdr_is_torchmetrics() -> None:
    target, estimate = np.array([3.0, -0.5, 2.0, 7.0]), np.array([2.5, 0.0, 2.0, 8.0])
    assert si_sdr(target, estimate) == pytest.approx(18.4030, abs=1e-4)


@pytest.mark.parametrize("level", [0, 12, 40])
def test_ratios_are_those_of_torchmetrics(level: int) -> None:
    pytest.importorskip("torchmetrics")
    import torch
    from torchmetrics.functional import audio

    recorded, made = speech(), noisy(level)
    pair = [torch.from_numpy(sound.samples).double() for sound in (made, recorded)]
    expected = {
        "si-sdr[torchmetrics@1.9.0]": audio.scale_invariant_signal_distortion_ratio(*pair),
        "si-snr[torchmetrics@1.9.0]": audio.scale_invariant_signal_noise_ratio(*pair),
        "sdr[torchmetrics@1.9.0]": audio.signal_distortion_ratio(*pair),
    }
    for name, wanted in expected.items():
        assert value(name, name.partition("[")[0], recorded, made) == pytest.approx(float(wanted), abs=1e-9)
    own = value("si-sdr[torchmetrics-definition]", "si-sdr", recorded, made)
    assert own == pytest.approx(float(expected["si-sdr[torchmetrics@1.9.0]"]), abs=1e-6)


def test_a_filter_is_no_distortion_to_bss_eval() -> None:
    pytest.importorskip("torchmetrics")
    delayed = Audio(0.5 * np.pad(speech().samples, (80, 0))[:-80], 16_000)
    assert value("sdr[torchmetrics@1.9.0]", "sdr", speech(), delayed) > 20
    assert value("si-sdr[torchmetrics@1.9.0]", "si-sdr", speech(), delayed) < 0


def test_magnitudes_are_those_of_torch() -> None:
    torch = pytest.importorskip("torch")
    samples = speech().samples[:8000]
    expected = torch.stft(
        torch.from_numpy(samples.astype(np.float64)),
        n_fft=512,
        hop_length=128,
        window=torch.hann_window(512, dtype=torch.float64),
        return_complex=True,
    )
    assert np.allclose(magnitudes(samples, 512), expected.abs().numpy().T, atol=1e-8)


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_mel_bands_are_librosas(rate: int) -> None:
    audio_utils = pytest.importorskip("transformers.audio_utils")
    expected = audio_utils.mel_filter_bank(1025, 150, 0, rate / 2, rate, norm="slaney", mel_scale="slaney")
    assert np.allclose(slaney_filters(150, 2048, rate), expected.T, atol=1e-9)


def test_visqol_keeps_the_lattice_of_the_original() -> None:
    pytest.importorskip("visqol")
    pytest.importorskip("ai_edge_litert")
    clip = Audio(speech().samples[:32_000], 16_000)
    clipped = Audio(np.clip(8 * clip.samples, -0.3, 0.3), 16_000)
    good, bad = (value("visqol[speech@3.3]", "visqol", clip, output) for output in (clip, clipped))
    assert 4.3 < good < 4.7
    assert 1.0 <= bad < 3.0


# --------------------------------------------------------------------------------------------- pitch


@pytest.mark.parametrize("hertz", [75.0, 123.4, 220.0, 431.0])
def test_f0_of_a_steady_voice_is_found(hertz: float) -> None:
    time = np.arange(16_000) / 16_000
    voice = sum(np.sin(2 * np.pi * hertz * k * time) / k for k in range(1, 8))
    found = f0((0.2 * voice).astype(np.float32))[5:-5]
    assert np.nanmax(np.abs(found - hertz)) < 0.01 * hertz
    assert not np.isnan(found).any()


def test_noise_and_pauses_have_no_f0() -> None:
    noise = np.random.default_rng(0).standard_normal(16_000).astype(np.float32)
    assert np.isnan(f0(noise)).all()
    half = np.concatenate([tone(0.5).samples, np.zeros(8000, dtype=np.float32)])
    assert np.isnan(f0(half)[60:]).all() and not np.isnan(f0(half)[5:40]).any()


def test_another_melody_has_a_low_correlation() -> None:
    a, b = speech(), announcer("agent-alreadyon")
    frames = min(len(a.samples), len(b.samples))
    short, other = (Audio(audio.samples[:frames], 16_000) for audio in (a, b))
    assert value("f0[yin@1]", "correlation", short, other) < 0.5


# ------------------------------------------------------------------------------------------- bitrate


def bitrate(*codebooks: dict[str, Any]) -> Value:
    codes = codes_at([CodebookRecord.model_validate(book) for book in codebooks])
    return metric("bitrate[measured@1]").score(pair_item(speech(), speech(), codes))


def test_every_code_costs_the_logarithm_of_its_codebook() -> None:
    book = {"frames": 100, "frame_rate": 50.0, "size": 1024, "histogram": [[1, 100]]}
    parts = bitrate(book, {**book, "size": 256}).parts
    assert parts["bits"] == 100 * (10 + 8)
    assert parts["tokens"] == 200


def test_a_constant_code_costs_next_to_nothing_when_coded() -> None:
    parts = bitrate({"frames": 1000, "frame_rate": 500.0, "size": 16, "histogram": [[1000, 1]]}).parts
    assert parts["entropy_bits"] == 0
    assert 0 < parts["adaptive_bits"] < 0.02 * parts["bits"]
    assert parts["usage"] == 1 / 16 and parts["perplexity"] == 1 / 16


def test_the_adaptive_coder_is_the_product_of_its_predictions() -> None:
    sequence, size, counts, bits = [0, 1, 0, 0, 3], 4, np.zeros(4), 0.0
    for code in sequence:
        bits -= np.log2((counts[code] + 0.5) / (counts.sum() + size / 2))
        counts[code] += 1
    parts = bitrate({"frames": 5, "frame_rate": 2.5, "size": 4, "histogram": [[1, 2], [3, 1]]}).parts
    assert parts["adaptive_bits"] == pytest.approx(bits)


def test_a_lost_output_has_no_rate() -> None:
    assert set(metric("bitrate[measured@1]").failure(Sample(id="s")).values()) == {0.0}


def test_an_output_that_states_no_codes_is_bad_input() -> None:
    with pytest.raises(BadInput, match="codebooks"):
        metric("bitrate[measured@1]").score(pair_item(speech(), speech()))

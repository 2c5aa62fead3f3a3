"""Speaker similarity against the published networks, on recorded speech."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from support.metric_items import announcer, reader, speech_item, tone

from speech_eval.audio import Audio
from speech_eval.metrics.base import Unscorable
from speech_eval.metrics.networks.campplus import CAMPlusPlus
from speech_eval.metrics.networks.ge2e import partial_starts, raise_level
from speech_eval.metrics.similarity import CAMPlusPlusSimilarity, GE2ESimilarity
from speech_eval.signal.features import kaldi_fbank, mel_power

CLASSES = [CAMPlusPlusSimilarity, GE2ESimilarity]


@cache
def metric(cls: type[CAMPlusPlusSimilarity | GE2ESimilarity]) -> CAMPlusPlusSimilarity | GE2ESimilarity:
    return cls()


def similarity(cls: type[CAMPlusPlusSimilarity | GE2ESimilarity], answer: Audio, prompt: Audio) -> float:
    return metric(cls).score(speech_item(answer, prompt)).parts["similarity"]


# Cosines of sentence 0870 with four others by 3D-Speaker's own network on kaldi-native-fbank's features, and by
# Resemblyzer 0.1.4's `embed_utterance` after its `normalize_volume`.
@pytest.mark.parametrize(
    ("cls", "golden"),
    [
        (CAMPlusPlusSimilarity, {"0880": 0.92366, "0890": 0.95280, "0920": 0.93915, "0930": 0.91715}),
        (GE2ESimilarity, {"0880": 0.86644, "0890": 0.92200, "0920": 0.90850, "0930": 0.85733}),
    ],
)
def test_cosines_are_those_of_the_original_code(
    cls: type[CAMPlusPlusSimilarity | GE2ESimilarity], golden: dict[str, float]
) -> None:
    for number, cosine in golden.items():
        assert similarity(cls, reader(number), reader("0870")) == pytest.approx(cosine, abs=1e-4)


def test_embeddings_are_those_of_the_original_code() -> None:
    campplus = metric(CAMPlusPlusSimilarity).embed(reader("0870"))
    assert campplus[:4] == pytest.approx([-1.02327, 0.55732, 1.10907, 0.17906], abs=2e-4)
    ge2e = metric(GE2ESimilarity).embed(reader("0870"))
    assert ge2e[:8] == pytest.approx([0.00619, 0, 0.08827, 0, 0, 0.02538, 0, 0], abs=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("cls", CLASSES)
def test_one_speaker_is_more_like_herself_than_like_another(
    cls: type[CAMPlusPlusSimilarity | GE2ESimilarity],
) -> None:
    mine, other = [reader(n) for n in ("0870", "0890", "0920")], [announcer(n) for n in ("activated", "calling")]
    same = [similarity(cls, mine[0], clip) for clip in mine[1:]] + [similarity(cls, other[0], other[1])]
    different = [similarity(cls, a, b) for a in mine for b in other]
    assert min(same) > max(different) + 0.05


@pytest.mark.parametrize("cls", CLASSES)
def test_speech_is_fully_similar_to_itself_at_any_rate(
    cls: type[CAMPlusPlusSimilarity | GE2ESimilarity],
) -> None:
    clip = reader("0890")
    assert similarity(cls, clip, clip) == pytest.approx(1.0, abs=1e-6)
    assert similarity(cls, clip.resampled(24_000), clip) > 0.99


@pytest.mark.parametrize(("cls", "least"), [(CAMPlusPlusSimilarity, 0.99), (GE2ESimilarity, 0.95)])
def test_half_the_level_changes_campplus_hardly_and_ge2e_a_little(
    cls: type[CAMPlusPlusSimilarity | GE2ESimilarity], least: float
) -> None:
    clip = reader("0890")
    assert similarity(cls, Audio(clip.samples * np.float32(0.5), clip.rate), clip) > least


@pytest.mark.parametrize(("cls", "least"), [(CAMPlusPlusSimilarity, (0.98, 0.59)), (GE2ESimilarity, (0.95, 0.95))])
def test_quiet_speech_has_the_originals_similarity(
    cls: type[CAMPlusPlusSimilarity | GE2ESimilarity], least: tuple[float, float]
) -> None:
    """The floor of Kaldi's features is absolute, so CAM++ hears less of a voice 60 dB down."""
    clip = reader("0890")
    for decibels, low in zip((-20, -60), least, strict=True):
        quiet = Audio(clip.samples * np.float32(10 ** (decibels / 20)), clip.rate)
        assert similarity(cls, quiet, clip) > low


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("bad", [tone(0.3), Audio(np.zeros(16_000, np.float32), 16_000)], ids=["short", "silent"])
def test_a_short_or_silent_answer_has_no_value_nor_has_one_for_such_a_prompt(
    cls: type[CAMPlusPlusSimilarity | GE2ESimilarity], bad: Audio
) -> None:
    with pytest.raises(Unscorable, match="the answer"):
        cls().score(speech_item(bad, reader("0870")))
    with pytest.raises(Unscorable, match="the prompt"):
        cls().score(speech_item(reader("0870"), bad))


def test_the_scorer_names_the_weights() -> None:
    assert CAMPlusPlusSimilarity().scorer() == "campplus@92f29b94e694"
    assert GE2ESimilarity().scorer() == "ge2e@39373b86598f"


def test_a_checkpoint_that_lacks_a_weight_is_refused(tmp_path: Path) -> None:
    state = CAMPlusPlus().state_dict()
    state.pop("xvector.dense.linear.weight")
    torch.save(state, tmp_path / "bad.pt")
    with pytest.raises(RuntimeError, match=r"xvector\.dense\.linear\.weight"):
        CAMPlusPlus.load(tmp_path / "bad.pt")


# -------------------------------------------------------------------------------------------- front ends


def test_fbank_frames_are_whole_windows_every_ten_milliseconds() -> None:
    assert [len(kaldi_fbank(np.zeros(n, np.float32))) for n in (0, 399, 400, 559, 560)] == [0, 0, 1, 1, 2]


def test_fbank_puts_a_tone_into_the_band_around_its_frequency() -> None:
    mel = 1127 * np.log1p(440 / 700)
    low, high = 1127 * np.log1p(20 / 700), 1127 * np.log1p(8000 / 700)
    assert abs(int(kaldi_fbank(tone(1.0).samples).mean(axis=0).argmax()) - ((mel - low) / (high - low) * 81 - 1)) <= 1


def test_fbank_of_silence_is_the_logarithm_of_the_floor() -> None:
    assert np.allclose(kaldi_fbank(np.zeros(1600, np.float32)), np.log(np.finfo(np.float32).eps))


def test_mel_power_grows_with_the_square_of_the_level() -> None:
    samples = reader("0880").samples
    assert np.allclose(mel_power(samples * np.float32(2)), 4 * mel_power(samples), rtol=1e-4)


@pytest.mark.parametrize(
    ("samples", "starts"),
    [(1, [0]), (25_600, [0]), (31_519, [0]), (31_520, [0, 77]), (48_000, [0, 77, 154])],
)
def test_partials_overlap_and_drop_a_last_one_that_is_mostly_padding(samples: int, starts: list[int]) -> None:
    assert partial_starts(samples) == starts


def test_only_quiet_speech_is_made_louder() -> None:
    loud = tone(0.5).samples
    assert np.array_equal(raise_level(loud), loud)
    quiet = raise_level(loud * np.float32(1e-3))
    assert 20 * np.log10(np.sqrt(np.mean(quiet**2))) == pytest.approx(-30, abs=1e-3)

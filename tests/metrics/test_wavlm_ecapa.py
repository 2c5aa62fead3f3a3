"""Seed-TTS-eval's speaker encoder: the published layout, the original's embeddings, its cosine and its resampling."""

from __future__ import annotations

import pickle
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from support.metric_items import reader, speech_item, tone
from support.tiny_wavlm import CONFIG, SIZES, checkpoint, published_state, wave
from torch.nn import functional

from speech_eval.audio import Audio
from speech_eval.errors import BadInput, NotFetched
from speech_eval.metrics.base import Unscorable
from speech_eval.metrics.networks.wavlm_ecapa import MIN_SAMPLES, WavLMECAPA, our_name, published_name
from speech_eval.metrics.similarity import WAVLM_ECAPA, WavLMSimilarity
from speech_eval.signal.features import sinc_resample


@cache
def tiny() -> WavLMECAPA:
    network = WavLMECAPA(CONFIG, **SIZES)
    network.load_state_dict({our_name(name): value for name, value in published_state().items()})
    return network.eval()


def embedding(samples: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return tiny()(samples)[0]


@pytest.fixture
def metric() -> WavLMSimilarity:
    """The metric with the tiny network in the place of the published one."""
    made = WavLMSimilarity()
    made.__dict__["_network"] = tiny()
    return made


# ---------------------------------------------------------------------------------------------- weights


def test_the_large_network_has_the_710_weights_of_the_published_file() -> None:
    with torch.device("meta"):
        names = list(WavLMECAPA().state_dict())
    published = {published_name(name) for name in names}
    assert len(names) == len(published) == 710
    assert {our_name(name) for name in published} == set(names)
    assert "feature_extract.model.encoder.layers.0.self_attn.relative_attention_bias.weight" in published
    assert "feature_extract.model.encoder.layers.23.self_attn.grep_a" in published
    assert "layer2.Res2Conv1dReluBn.convs.6.weight" in published


def test_a_file_in_the_published_layout_loads_to_equal_outputs(tmp_path: Path) -> None:
    loaded = WavLMECAPA.load(checkpoint(tmp_path / "tiny.pth"), CONFIG, **SIZES)
    with torch.no_grad():
        assert torch.equal(loaded(wave(8000))[0], embedding(wave(8000)))


# The first five of 256 numbers by the original's ecapa_tdnn.py on s3prl's WavLM.py with the same weights.
@pytest.mark.parametrize(
    ("frames", "first"),
    [
        (720, [-2.98432, -0.51402, 1.7526, 2.47791, 5.72855]),
        (16_000, [-2.63114, -1.20907, 1.07207, 2.4051, 5.22361]),
    ],
)
def test_embeddings_are_those_of_the_original_code(frames: int, first: list[float]) -> None:
    assert embedding(wave(frames))[:5].tolist() == pytest.approx(first, abs=1e-4)


def test_the_level_of_speech_does_not_matter() -> None:
    assert torch.allclose(embedding(wave(8000)), embedding(wave(8000) * 0.3), atol=2e-2)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.pop("feature_extract.model.encoder.layers.1.fc1.bias"), "lacks 1 .*encoder.layers.1.fc1.bias"),
        (lambda s: s.update({"feature_extract.model.encoder.odd": torch.ones(1)}), "unknown 1 .*model.encoder.odd"),
        (lambda s: s.update({"linear.bias": torch.ones(192)}), "another shape.*linear.bias"),
    ],
    ids=["missing", "unknown", "other shape"],
)
def test_a_file_with_other_weights_is_refused_by_their_names(tmp_path: Path, change, words: str) -> None:  # type: ignore[no-untyped-def]
    state = published_state()
    change(state)
    with pytest.raises(BadInput, match=words):
        WavLMECAPA.load(checkpoint(tmp_path / "odd.pth", state), CONFIG, **SIZES)


class Code:
    def __reduce__(self):  # type: ignore[no-untyped-def]
        return Path.touch, (Path("run-by-the-checkpoint"),)


def test_a_file_with_code_in_it_is_refused_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.pth").write_bytes(pickle.dumps({"model": Code()}))
    with pytest.raises(BadInput, match="not a checkpoint of tensors"):
        WavLMECAPA.load(tmp_path / "evil.pth", CONFIG, **SIZES)
    assert not (tmp_path / "run-by-the-checkpoint").exists()


def test_half_a_file_is_refused(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "tiny.pth")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(BadInput, match=r"tiny\.pth"):
        WavLMECAPA.load(path, CONFIG, **SIZES)


@pytest.mark.parametrize("value", [None, "/no/such/file.pth"])
def test_without_the_file_the_variable_is_named_before_a_run(
    monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    monkeypatch.delenv(WAVLM_ECAPA, raising=False)
    if value:
        monkeypatch.setenv(WAVLM_ECAPA, value)
    with pytest.raises(NotFetched, match=WAVLM_ECAPA):
        WavLMSimilarity.ready()


def test_the_scorer_is_named_by_the_digest_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WAVLM_ECAPA, str(checkpoint(tmp_path / "tiny.pth")))
    name, _, digest = WavLMSimilarity().scorer().partition("@")
    assert name == "wavlm-large-ecapa" and len(digest) == 12


# ------------------------------------------------------------------------------------------------ score


def test_the_similarity_is_the_plain_cosine_of_answer_and_prompt(metric: WavLMSimilarity) -> None:
    answer, prompt = reader("0880"), reader("0870")
    first, second = (embedding(torch.from_numpy(audio.samples)[None]) for audio in (answer, prompt))
    value = metric.score(speech_item(answer, prompt))
    assert value.parts["similarity"] == pytest.approx(
        float(functional.cosine_similarity(first, second, dim=0)), abs=1e-6
    )
    assert value.compat is None


@pytest.mark.parametrize(
    "answer",
    [Audio(np.zeros(16_000, dtype=np.float32), 16_000), tone(0.1)],
    ids=["silence", "a tenth of a second"],
)
def test_what_is_no_speech_is_a_failure_though_the_original_takes_its_cosine(
    metric: WavLMSimilarity, answer: Audio
) -> None:
    with pytest.raises(Unscorable, match="the answer") as caught:
        metric.score(speech_item(answer, reader("0870")))
    assert caught.value.compat is not None and caught.value.compat["similarity"] != 0.0


def test_less_than_two_frames_cannot_be_embedded(metric: WavLMSimilarity) -> None:
    with pytest.raises(Unscorable, match="the answer lasts") as caught:
        metric.score(speech_item(Audio(np.ones(MIN_SAMPLES - 1, dtype=np.float32), 16_000), reader("0870")))
    assert caught.value.compat is None


# -------------------------------------------------------------------------------------------- resampling


def naive_resample(samples: np.ndarray, rate: int, target: int) -> list[float]:  # type: ignore[type-arg]
    """torchaudio's documented interpolation, one output sample at a time."""
    cut = 0.99 * min(rate, target)
    out = []
    for index in range(-(-len(samples) * target // rate)):
        total = 0.0
        for position, sample in enumerate(samples):
            at = (position / rate - index / target) * cut
            if abs(at) < 6:
                total += sample * np.sinc(at) * np.cos(np.pi * at / 12) ** 2 * cut / rate
        out.append(float(total))
    return out


@pytest.mark.parametrize("rate", [24_000, 22_050, 8_000])
def test_resampling_is_a_windowed_sinc_of_six_crossings(rate: int) -> None:
    samples = wave(150)[0].numpy()
    made = sinc_resample(samples, rate, 16_000)
    assert made.tolist() == pytest.approx(naive_resample(samples, rate, 16_000), abs=1e-6)


def test_speech_at_the_rate_is_left_alone() -> None:
    samples = reader("0870").samples
    assert sinc_resample(samples, 16_000, 16_000) is samples

"""SNAC, XCodec2 and NeuCodec on tiny random weights of the real classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.metric_items import reader
from support.tiny_codecs import save_scalar_codec, save_snac

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
from speech_eval.adapters import spec as modelspec  # noqa: E402
from speech_eval.adapters.base import AudioCodec  # noqa: E402
from speech_eval.adapters.codec.xcodec2 import semantic_features  # noqa: E402
from speech_eval.audio import Audio  # noqa: E402
from speech_eval.errors import BadInput  # noqa: E402

torch.set_num_threads(1)


def build(spec: str) -> AudioCodec:
    adapter = modelspec.resolve(spec).build()
    assert isinstance(adapter, AudioCodec)
    return adapter


def speech(rate: int, samples: int) -> Audio:
    return Audio(reader("0880").resampled(rate).samples[8000 : 8000 + samples], rate)


# ---------------------------------------------------------------------------------------------- SNAC


@pytest.fixture(scope="module")
def snac(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_snac(tmp_path_factory.mktemp("snac"))


def test_snac_keeps_length_and_says_its_rates(snac: Path) -> None:
    codec, audio = build(f"snac,path={snac}"), speech(24_000, 5001)
    (codes,) = codec.encode([audio])
    assert codes.frame_rates == [24_000 / 2048, 24_000 / 1024, 24_000 / 512]
    assert [len(book) for book in codes.codebooks] == [3, 6, 12] and codes.bitrate == pytest.approx(
        7 * 6 * 24_000 / 2048
    )
    first, again = (codec.decode([codes])[0] for _ in range(2))
    assert len(first.samples) == 5001 and np.array_equal(first.samples, again.samples)


def test_snac_says_what_the_package_says(snac: Path) -> None:
    package = pytest.importorskip("snac")
    audio, model = speech(24_000, 5001), package.SNAC.from_pretrained(str(snac))
    with torch.inference_mode():
        theirs = model.encode(torch.from_numpy(audio.samples)[None, None])
    (ours,) = build(f"snac,path={snac}").encode([audio])
    assert all(np.array_equal(a, b[0].numpy()) for a, b in zip(ours.codebooks, theirs, strict=True))


def test_a_directory_without_snac_weights_is_an_error(tmp_path: Path) -> None:
    pytest.importorskip("snac")
    with pytest.raises(BadInput, match="no SNAC checkpoint"):
        build(f"snac,path={tmp_path}")


# -------------------------------------------------------------------------------- XCodec2, NeuCodec

FAMILIES = {"xcodec2": ("Xcodec2", 16_000), "neucodec": ("NeuCodec", 24_000)}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: save_scalar_codec(prefix, tmp_path_factory.mktemp(name)) for name, (prefix, _) in FAMILIES.items()}


@pytest.mark.parametrize("name", FAMILIES)
def test_a_checkpoint_directory_is_a_codec_of_one_stream(name: str, checkpoints: dict[str, Path]) -> None:
    rate = FAMILIES[name][1]
    codec, audio = build(str(checkpoints[name])), speech(rate, rate // 2 + 7)
    assert codec.sample_rate == rate and list(codec.depths) == []
    (codes,) = codec.encode([audio])
    assert codes.bitrate == 800.0 and codes.codebook_sizes == [65_536]
    (heard,) = codec.decode([codes])
    assert heard.rate == rate and 0 <= len(audio.samples) - len(heard.samples) <= rate // 50


@pytest.mark.parametrize("margin", [0, 160])
def test_features_are_those_of_the_encoders_own_extractor(margin: int) -> None:
    samples = np.pad(speech(16_000, 8000).samples, (0, 320))
    extractor = transformers.SeamlessM4TFeatureExtractor()
    theirs = extractor(np.pad(samples, margin), sampling_rate=16_000, return_tensors="np")["input_features"][0]
    ours = semantic_features(samples, margin)
    assert ours.shape == (26 if margin else 25, 160)
    np.testing.assert_allclose(ours, theirs, atol=2e-3)

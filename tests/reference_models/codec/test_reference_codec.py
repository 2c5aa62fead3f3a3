"""A trained codec directory as a model spec, and what training must give it."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.metric_items import reader

torch = pytest.importorskip("torch")
from torch import Tensor  # noqa: E402

from speech_eval.adapters import spec as modelspec  # noqa: E402
from speech_eval.adapters.base import AudioCodec, Codes  # noqa: E402
from speech_eval.audio import Audio  # noqa: E402
from speech_eval.errors import BadAudio, BadInput  # noqa: E402
from speech_eval.reference_models.codec.config import CodecConfig  # noqa: E402
from speech_eval.reference_models.codec.model import Codec  # noqa: E402
from speech_eval.reference_models.training.checkpoint import save_checkpoint  # noqa: E402

torch.set_num_threads(1)

STREAMING: dict[str, Any] = {
    "causal": True,
    "latent_dim": 32,
    "encoder": {"type": "stft", "n_fft": 640, "hop": 320, "channels": 32, "blocks": 2},
    "decoder": {"type": "vocos", "n_fft": 640, "hop": 320, "channels": 64, "blocks": 2},
    "quantizer": {"type": "multiscale", "strides": [2, 1], "codebook_size": 32},
}


def save(directory: Path, settings: dict[str, Any] = STREAMING, **card: Any) -> Path:
    torch.manual_seed(0)
    config = CodecConfig.model_validate(settings)
    save_checkpoint(directory, "codec", config.model_dump(mode="json"), Codec(config).state_dict(), card)
    return directory


def build(spec: str) -> AudioCodec:
    adapter = modelspec.resolve(spec).build()
    assert isinstance(adapter, AudioCodec)
    return adapter


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("codec") / "tiny", license="apache-2.0")


def test_a_checkpoint_directory_is_a_codec(checkpoint: Path) -> None:
    codec, speech = build(str(checkpoint)), Audio(reader("0880").samples[:7001], 16_000)
    (codes,) = codec.encode([speech])
    (heard,) = codec.decode([codes])
    assert codes.frame_rates == [25.0, 50.0] and codes.codebook_sizes == [32, 32] and codes.bitrate == 375.0
    assert [len(book) for book in codes.codebooks] == [11, 22]
    assert len(heard.samples) == 7001 and heard.rate == 16_000 and heard.samples.dtype == np.float32


def test_its_stream_is_its_decoding_in_chunks(checkpoint: Path) -> None:
    codec = build(str(checkpoint))
    (codes,) = codec.encode([Audio(reader("0880").samples[:7001], 16_000)])
    chunks = [chunk.samples for chunk in codec.stream_decode(codes)]
    assert len(chunks) > 4 and max(map(len, chunks)) <= 1280 + 160
    np.testing.assert_allclose(np.concatenate(chunks), codec.decode([codes])[0].samples, atol=1e-4)


def test_a_centered_codec_decodes_whole(tmp_path: Path) -> None:
    codec = build(str(save(tmp_path / "centered", STREAMING | {"causal": False})))
    (codes,) = codec.encode([Audio(reader("0880").samples[:7001], 16_000)])
    (only,) = codec.stream_decode(codes)
    assert np.array_equal(only.samples, codec.decode([codes])[0].samples)


def test_fewer_codebooks_are_the_first_ones(checkpoint: Path) -> None:
    speech = Audio(reader("0880").samples[:4000], 16_000)
    one, both = build(f"{checkpoint},n_codebooks=1"), build(str(checkpoint))
    (codes,) = one.encode([speech])
    (full,) = both.encode([speech])
    assert list(both.depths) == [1, 2]
    assert np.array_equal(codes.codebooks[0], full.codebooks[0]) and len(codes.codebooks) == 1
    assert np.array_equal(one.decode([codes])[0].samples, both.decode([both.truncate(full, 1)])[0].samples)
    with pytest.raises(BadInput, match="n_codebooks must be a whole number from 1 to 2"):
        build(f"{checkpoint},n_codebooks=3")


def test_the_manifest_says_what_it_was(checkpoint: Path) -> None:
    resolved = modelspec.resolve(str(checkpoint))
    info = resolved.describe(resolved.build())
    assert (info.name, info.license, info.interfaces) == ("tiny", "apache-2.0", ["AudioCodec"])
    assert len(info.weights_sha256) == 64
    with torch.no_grad():
        assert info.parameters == sum(p.numel() for p in Codec.load(checkpoint)[0].parameters())


def test_weights_without_weight_norm_load_too(checkpoint: Path, tmp_path: Path) -> None:
    codec, card = Codec.load(checkpoint)
    codec.remove_weight_norm()
    save_checkpoint(tmp_path / "plain", "codec", codec.config.model_dump(mode="json"), codec.state_dict(), card)
    speech = [Audio(reader("0880").samples[:4000], 16_000)]
    a, b = (build(str(path)).encode(speech)[0].codebooks for path in (checkpoint, tmp_path / "plain"))
    assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_codes_out_of_range_and_audio_at_another_rate_are_errors(checkpoint: Path) -> None:
    codec = build(str(checkpoint))
    bad = [np.array([32], dtype=np.int64), np.zeros(2, dtype=np.int64)]
    with pytest.raises(BadInput, match="outside 0 to 31"):
        codec.decode([Codes(bad, [25.0, 50.0], [32, 32], {"frames": 640})])
    with pytest.raises(BadAudio, match="24000 Hz"):
        codec.encode([Audio(np.zeros(4000, dtype=np.float32), 24_000)])


def test_a_checkpoint_whose_weights_do_not_fit_is_an_error(checkpoint: Path, tmp_path: Path) -> None:
    broken = save(tmp_path / "broken")
    described = json.loads((broken / "reference.json").read_text())
    described["config"]["latent_dim"] = 48
    (broken / "reference.json").write_text(json.dumps(described))
    with pytest.raises(BadInput, match=r"broken.*size mismatch"):
        Codec.load(broken)


@pytest.mark.slow
@pytest.mark.parametrize("quantizer", ["cosine", "ema"])
def test_quality_does_not_fall_as_codebooks_are_added(quantizer: str) -> None:
    lookup = {"lookup": quantizer, "codebook_dim": 8 if quantizer == "cosine" else 32}
    rvq = {"type": "rvq", "codebooks": 4, "codebook_size": 64, "dropout": 0.5, **lookup}
    torch.manual_seed(0)
    codec = Codec(CodecConfig.model_validate(STREAMING | {"quantizer": rvq}))
    speech = torch.from_numpy(reader("0880").samples[16_000:32_000]).view(4, 1, 4000)
    speech = speech / speech.std()
    optimizer = torch.optim.AdamW(codec.parameters(), lr=3e-3)
    for _ in range(100):
        out = codec(speech)
        loss = distance(out.audio, speech) + 0.25 * out.losses["commitment"] + out.losses.get("codebook", 0.0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    codec.eval()
    with torch.inference_mode():
        distances = [float(distance(codec(speech, n).audio, speech)) for n in (1, 2, 3, 4)]
    assert all(more < fewer * 1.01 for fewer, more in pairwise(distances))
    assert distances[-1] < 0.98 * distances[0]


def distance(a: Tensor, b: Tensor) -> Tensor:
    """Mean difference of log magnitudes, at two resolutions."""
    total = torch.zeros(())
    for n_fft in (256, 1024):
        window = torch.hann_window(n_fft)
        spectra = [torch.stft(x[:, 0], n_fft, n_fft // 4, window=window, return_complex=True).abs() for x in (a, b)]
        total = total + (spectra[0].clamp(min=1e-2).log() - spectra[1].clamp(min=1e-2).log()).abs().mean()
    return total

"""Codecs of this project from published weights, on tiny random directories as transformers writes them."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
from support.tiny_codecs import save_tiny_codec  # noqa: E402

from speech_eval.errors import BadInput  # noqa: E402
from speech_eval.reference_models.codec.published import load_start, locate_start  # noqa: E402

torch.set_num_threads(1)


def dac(folder: Path, strides: list[int]) -> Any:
    torch.manual_seed(0)
    config = transformers.DacConfig(
        encoder_hidden_size=4,
        downsampling_ratios=strides,
        decoder_hidden_size=32,
        n_codebooks=3,
        codebook_size=32,
        codebook_dim=4,
        sampling_rate=16_000,
    )
    model = transformers.DacModel(config).eval()
    model.save_pretrained(folder)
    return model


@pytest.mark.parametrize(("strides", "later"), [([2, 4, 8], 0), ([2, 4, 5, 8], 8)])
def test_a_published_dac_gives_the_same_codes_and_the_same_waveform(
    strides: list[int], later: int, tmp_path: Path
) -> None:
    theirs = dac(tmp_path, strides)
    ours = load_start(locate_start(str(tmp_path))).eval()
    audio = 0.3 * torch.randn(1, 1, 20 * prod(strides))
    with torch.inference_mode():
        codes = ours.encode(audio)
        expected = theirs.encode(audio)
        assert torch.equal(torch.stack(codes, dim=1), expected.audio_codes)
        heard, other = ours.decode(codes)[0, 0], theirs.decode(audio_codes=expected.audio_codes).audio_values[0]
    inner = torch.arange(4 * prod(strides), 16 * prod(strides))  # the edges see other zeros where one is later
    assert torch.allclose(heard[inner + later], other[inner], atol=1e-5)
    assert any("parametrizations" in name for name, _ in ours.named_parameters()), "it can be trained"


def test_a_codec_with_other_layers_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="a codec of type encodec has layers"):
        load_start(locate_start(str(save_tiny_codec("encodec", tmp_path / "encodec"))))
    with pytest.raises(BadInput, match="--init: there is no checkpoint nowhere"):
        locate_start("nowhere")

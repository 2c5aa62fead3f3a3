"""The reference codec: lengths, truncation, and a stream that equals the whole."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")
from torch import Tensor  # noqa: E402

from speech_eval.errors import BadInput  # noqa: E402
from speech_eval.reference_models.codec import packed  # noqa: E402
from speech_eval.reference_models.codec.config import CodecConfig  # noqa: E402
from speech_eval.reference_models.codec.model import Codec  # noqa: E402
from speech_eval.reference_models.codec.streaming import ConvTranspose1d, StreamState  # noqa: E402

torch.set_num_threads(1)

UNITS = {"kernel": 3, "dilations": [1, 3]}
TRANSFORMER = {"layers": 2, "heads": 2, "mlp": 32, "context": 5, "layer_scale": 1.0}
PARTS: dict[str, dict[str, Any]] = {
    "dac": {
        "encoder": {"type": "conv", "channels": 4, "strides": [2, 4, 5], "units": UNITS},
        "decoder": {"type": "conv", "channels": 32, "strides": [5, 4, 2], "units": UNITS},
    },
    "mimi": {
        "encoder": {
            "type": "conv",
            "channels": 4,
            "strides": [4, 5],
            "units": {**UNITS, "compress": 2, "activation": "elu"},
            "transformer": TRANSFORMER,
        },
        "decoder": {
            "type": "conv",
            "channels": 16,
            "strides": [5, 4],
            "units": {**UNITS, "compress": 2, "activation": "elu"},
            "tanh": False,
            "transformer": TRANSFORMER,
        },
        "downsample": 2,
    },
    "encodec": {
        "encoder": {"type": "conv", "channels": 4, "strides": [4, 5], "units": UNITS, "lstm": 2},
        "decoder": {"type": "conv", "channels": 16, "strides": [5, 4], "units": UNITS, "lstm": 1},
    },
    "snac": {
        "encoder": {"type": "conv", "channels": 4, "strides": [2, 4, 5], "units": {**UNITS, "depthwise": True}},
        "decoder": {"type": "conv", "channels": 32, "strides": [5, 4, 2], "units": {**UNITS, "depthwise": True}},
    },
    "spectral": {
        "encoder": {"type": "stft", "n_fft": 160, "hop": 40, "channels": 16, "blocks": 2},
        "decoder": {"type": "vocos", "n_fft": 160, "hop": 40, "channels": 16, "blocks": 2},
    },
}
PARTS["magnitudes"] = PARTS["spectral"] | {"encoder": {**PARTS["spectral"]["encoder"], "phase": False}}
QUANTIZERS: dict[str, dict[str, Any]] = {
    "vq": {"type": "vq", "codebook_size": 16},
    "rvq": {"type": "rvq", "codebooks": 4, "codebook_size": 16},
    "rvq-ema": {"type": "rvq", "codebooks": 3, "codebook_size": 16, "lookup": "ema", "codebook_dim": 12},
    "fsq": {"type": "fsq", "levels": [5, 4, 3]},
    "multiscale": {"type": "multiscale", "strides": [4, 2, 1], "codebook_size": 16},
    "split": {"type": "split", "codebooks": 4, "codebook_size": 16, "lookup": "ema", "codebook_dim": 12},
}


def settings(parts: str = "dac", quantizer: str = "rvq", causal: bool = True) -> dict[str, Any]:
    return {"latent_dim": 24, "causal": causal, "quantizer": QUANTIZERS[quantizer], **PARTS[parts]}


def make(parts: str = "dac", quantizer: str = "rvq", causal: bool = True) -> Codec:
    torch.manual_seed(0)
    return Codec(CodecConfig.model_validate(settings(parts, quantizer, causal))).eval()


def noise(samples: int, batch: int = 1) -> Tensor:
    return torch.randn(batch, 1, samples, generator=torch.Generator().manual_seed(1))


def cuts(total: int, sizes: list[int]) -> list[slice]:
    """Slices of the given sizes, the last one to the end."""
    ends = [min(sum(sizes[: i + 1]), total) for i in range(len(sizes))] + [total]
    return [slice(start, end) for start, end in zip([0, *ends], ends, strict=False) if end > start]


@pytest.mark.parametrize("causal", [True, False], ids=["causal", "centered"])
@pytest.mark.parametrize("parts", PARTS)
@pytest.mark.parametrize("quantizer", QUANTIZERS)
def test_output_is_as_long_as_input_and_codes_fit_the_rates(parts: str, quantizer: str, causal: bool) -> None:
    codec, audio = make(parts, quantizer, causal), noise(1001, batch=2)
    with torch.inference_mode():
        out = codec(audio)
    assert out.audio.shape == audio.shape
    blocks = -(-1001 // codec.block)
    seconds = blocks * codec.block / codec.config.sample_rate
    assert [found.shape for found in out.codes] == [(2, round(rate * seconds)) for rate in codec.frame_rates]
    assert all(found.min() >= 0 and found.max() < n for found, n in zip(out.codes, codec.codebook_sizes, strict=True))


@pytest.mark.parametrize("parts", PARTS)
@pytest.mark.parametrize("quantizer", QUANTIZERS)
def test_decoding_the_first_codes_equals_a_forward_pass_with_as_many(parts: str, quantizer: str) -> None:
    codec, audio = make(parts, quantizer), noise(800)
    with torch.inference_mode():
        codes = codec.encode(audio)
        for n in range(1, len(codes) + 1):
            out = codec(audio, n_quantizers=n)
            assert all(torch.equal(a, b) for a, b in zip(out.codes, codes, strict=False)) and len(out.codes) == n
            torch.testing.assert_close(codec.decode(codes[:n])[..., :800], out.audio, atol=1e-5, rtol=0)


@pytest.mark.parametrize("sizes", [[1, 77, 600, 13, 401], [40] * 9, [3001]], ids=["odd", "frames", "whole"])
@pytest.mark.parametrize("parts", PARTS)
@pytest.mark.parametrize("quantizer", ["rvq", "multiscale", "split"])
def test_a_stream_equals_the_whole(parts: str, quantizer: str, sizes: list[int]) -> None:
    codec, audio = make(parts, quantizer), noise(3001, batch=2)
    with torch.inference_mode():
        latent, codes = codec.to_latent(codec.pad(audio)), codec.encode(audio)
        state, chunks = codec.start_stream(), cuts(3001, sizes)
        streamed = [codec.stream_encode(audio[..., c], state, last=c.stop == 3001) for c in chunks]
        assert all(torch.equal(torch.cat(s, -1), w) for s, w in zip(zip(*streamed, strict=True), codes, strict=True))

        blocks = latent.shape[-1] * codec.hop // codec.block
        state, heard = codec.start_stream(), []
        for c in cuts(blocks, [1, 2, 1, 3]):
            per = [codec.block // codec.hop // stride for stride in codec.quantizer.strides]
            part = [found[:, c.start * p : c.stop * p] for found, p in zip(codes, per, strict=True)]
            heard.append(codec.stream_decode(part, state, last=c.stop == blocks))
        torch.testing.assert_close(torch.cat(heard, -1), codec.decode(codes), atol=1e-4, rtol=0)


def test_without_phase_a_recording_upside_down_has_the_same_codes() -> None:
    audio = noise(2000)
    for parts, same in (("magnitudes", True), ("spectral", False)):
        codec = make(parts)
        with torch.inference_mode():
            codes, flipped = codec.encode(audio), codec.encode(-audio)
        assert all(torch.equal(a, b) for a, b in zip(codes, flipped, strict=True)) == same


@pytest.mark.parametrize("parts", PARTS)
def test_a_causal_codec_does_not_see_the_future(parts: str) -> None:
    codec, audio = make(parts), noise(2000)
    changed = audio.clone()
    changed[..., 1200:] = 0.5
    seen = 1200 // codec.block * codec.block
    with torch.inference_mode():
        a, b = codec(audio).audio, codec(changed).audio
    heard = seen - codec.decoder.delay
    assert torch.equal(a[..., :heard], b[..., :heard]) and not torch.equal(a, b)


def test_a_centered_codec_cannot_stream() -> None:
    with pytest.raises(BadInput, match="not causal"):
        make(causal=False).start_stream()


def test_the_past_beyond_its_context_does_not_reach_a_transformer() -> None:
    from speech_eval.reference_models.codec.config import TransformerConfig
    from speech_eval.reference_models.codec.layers import Transformer

    torch.manual_seed(0)
    model = Transformer(TransformerConfig(**{**TRANSFORMER, "layers": 1}), dim=8, causal=True)
    x = torch.randn(1, 8, 12)
    y = x.clone()
    y[..., 0] = 9.0
    same = (model(x) == model(y)).all(dim=1)[0]
    assert same[5:].all() and not same[:5].any()


@pytest.mark.parametrize("stride", [2, 5])
def test_spreading_frames_is_pytorchs_transposed_convolution(stride: int) -> None:
    from speech_eval.reference_models.codec.streaming import ConvTranspose1d

    torch.manual_seed(0)
    layer, x = ConvTranspose1d(6, 4, stride=stride, causal=False), torch.randn(2, 6, 9)
    torch.testing.assert_close(layer.spread(x), layer.conv(x))


def test_removing_weight_norm_changes_nothing() -> None:
    codec, audio = make(), noise(800)
    with torch.inference_mode():
        before = codec(audio).audio
        codec.remove_weight_norm()
        torch.testing.assert_close(codec(audio).audio, before, atol=1e-5, rtol=0)
    assert not any("parametrizations" in name for name in codec.state_dict())


@pytest.mark.parametrize("n", [0, 5])
def test_asking_for_codebooks_that_are_not_there_is_an_error(n: int) -> None:
    with pytest.raises(BadInput, match=f"n_quantizers={n}"):
        make().encode(noise(400), n_quantizers=n)


def test_codes_that_do_not_fit_together_are_an_error() -> None:
    codec = make()
    codes = codec.encode(noise(400))
    with pytest.raises(BadInput, match="span"):
        codec.decode([codes[0], codes[1][:, :-1]])
    with pytest.raises(BadInput, match="5 codebooks"):
        codec.decode([*codes, codes[0]])


@pytest.mark.parametrize(
    "change",
    [
        {"decoder": {"type": "vocos", "n_fft": 160, "hop": 80}},
        {"encoder": {"type": "stft", "n_fft": 100, "hop": 40}},
        {"decoder": {"type": "conv", "channels": 30, "strides": [5, 4, 2]}},
        {"quantizer": {"type": "multiscale", "strides": [4, 3, 1]}},
        {"semantic": {"mode": "fuse"}},
        {"chanels": 3},
    ],
    ids=["hops", "window", "channels", "strides", "fuse", "misspelt"],
)
def test_parts_that_do_not_fit_are_an_error(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        CodecConfig.model_validate(settings() | change)


def test_a_few_frames_by_packed_weights_are_those_of_plain_ones() -> None:
    layer, conv = torch.nn.Linear(300, 400), torch.nn.Conv1d(96, 128, 7, dilation=2)
    spread = ConvTranspose1d(128, 64, stride=8, causal=True)
    torch.nn.utils.parametrize.remove_parametrizations(spread.conv, "weight")
    with torch.inference_mode():
        for frames in (1, 3):
            x, heard = torch.randn(2, frames, 300), torch.randn(1, 96, 12 + frames)
            assert torch.allclose(packed.linear(layer, x, StreamState()), layer(x), atol=1e-5)
            assert torch.allclose(found(packed.convolution(conv, heard)), conv(heard), atol=1e-5)
            z = torch.randn(1, 128, frames)
            assert torch.allclose(spread(z, StreamState()), spread(z), atol=1e-5)
        x = torch.randn(1, 2, 300)
        before = packed.linear(layer, x, StreamState())
        layer.load_state_dict({name: 2 * value for name, value in layer.state_dict().items()})
        assert torch.allclose(packed.linear(layer, x, StreamState()), 2 * before, atol=1e-5)


def test_what_learns_or_is_small_or_long_is_not_packed() -> None:
    weight = torch.nn.Parameter(torch.zeros(512, 512))
    x = torch.zeros(1, 2, 512)
    with torch.inference_mode():
        assert packed.pays(x, weight)
        assert not packed.pays(torch.zeros(1, 2000, 512), weight)
        assert not packed.pays(x[..., :8], torch.nn.Parameter(torch.zeros(8, 8)))
        assert not packed.pays(x.double(), weight)
        assert not packed.pays(x, weight.detach())
    assert not packed.pays(x, weight)


def found(x: Any) -> Any:
    assert x is not None
    return x

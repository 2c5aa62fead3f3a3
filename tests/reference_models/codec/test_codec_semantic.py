"""Semantic features in a codec: what the teachers give, and where it goes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from support.metric_items import announcer, reader

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
from torch import Tensor  # noqa: E402

from speech_eval.errors import BadInput  # noqa: E402
from speech_eval.reference_models.codec.config import CodecConfig, SemanticConfig  # noqa: E402
from speech_eval.reference_models.codec.model import Codec  # noqa: E402
from speech_eval.reference_models.codec.semantic import SemanticDistillation, Teacher, align, resample  # noqa: E402
from speech_eval.reference_models.training.checkpoint import save_checkpoint  # noqa: E402

torch.set_num_threads(1)

SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
TEACHERS: dict[str, tuple[str, dict[str, Any], str, dict[str, Any]]] = {
    "wavlm": ("WavLMModel", SMALL, "Wav2Vec2FeatureExtractor", {}),
    "hubert": ("HubertModel", SMALL, "Wav2Vec2FeatureExtractor", {}),
    "w2v-bert": ("Wav2Vec2BertModel", SMALL, "SeamlessM4TFeatureExtractor", {}),
    "whisper": (
        "WhisperModel",
        {
            "d_model": 16,
            "encoder_layers": 2,
            "decoder_layers": 1,
            "encoder_attention_heads": 2,
            "decoder_attention_heads": 2,
            "vocab_size": 60_000,
        },
        "WhisperFeatureExtractor",
        {},
    ),
}


@pytest.fixture(scope="module")
def teachers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Tiny checkpoints of the real classes, random weights."""
    found = {}
    for name, (model, options, extractor, settings) in TEACHERS.items():
        torch.manual_seed(0)
        found[name] = tmp_path_factory.mktemp(name)
        cls = getattr(transformers, model)
        cls(cls.config_class(**options)).save_pretrained(found[name])
        getattr(transformers, extractor)(**settings).save_pretrained(found[name])
    return found


def speech(samples: int = 16_000) -> Tensor:
    return torch.from_numpy(reader("0880").samples[8_000 : 8_000 + samples])[None, None]


@pytest.mark.parametrize("name", TEACHERS)
def test_every_teacher_gives_fifty_frames_a_second(name: str, teachers: dict[str, Path]) -> None:
    teacher = Teacher(SemanticConfig(teacher=str(teachers[name]), layer=1))
    features = teacher(speech(), 16_000)
    assert features.shape[:2] == (1, 16) and 49 <= features.shape[-1] <= 50
    assert torch.isfinite(features).all() and features.std(dim=-1).min() > 0


@pytest.mark.slow
def test_whisper_on_what_there_is_equals_whisper_on_thirty_seconds() -> None:
    teacher = Teacher(SemanticConfig(teacher="whisper-tiny.en"))
    wave = torch.from_numpy(announcer("agent-alreadyon").samples)[None, None]
    ours = teacher(torch.nn.functional.pad(wave, (0, 480_000 - wave.shape[-1])), 16_000)
    inputs = teacher.extract([wave[0, 0].numpy()], sampling_rate=16_000, return_tensors="pt")
    with torch.inference_mode():
        theirs = teacher.model(inputs["input_features"]).last_hidden_state.mT
    torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-3)


def test_a_text_model_is_no_teacher(tmp_path: Path) -> None:
    config = transformers.BertConfig(**SMALL, vocab_size=30)
    transformers.BertModel(config).save_pretrained(tmp_path)
    with pytest.raises(BadInput, match="'bert', not a speech encoder"):
        Teacher(SemanticConfig(teacher=str(tmp_path)))


def test_resampling_keeps_a_tone() -> None:
    seconds = torch.arange(24_000) / 24_000
    heard = resample(torch.sin(2 * torch.pi * 440 * seconds)[None], 24_000)
    expected = torch.sin(2 * torch.pi * 440 * torch.arange(16_000) / 16_000)
    torch.testing.assert_close(heard[0], expected, atol=1e-3, rtol=0)


def test_slower_frames_are_averages_of_what_lies_around_them() -> None:
    ramp = torch.arange(100.0).view(1, 1, 100)
    assert align(ramp, 25, 12.5)[0, 0, 1:-1].tolist() == [4 * i + 1.5 for i in range(1, 24)]
    assert torch.equal(align(ramp, 100, 50.0), ramp)
    assert align(ramp, 102, 50.0)[0, 0, -3:].tolist() == [99.0, 99.0, 99.0]
    assert align(ramp, 150, 75.0).shape[-1] == 150


CODEC: dict[str, Any] = {
    "latent_dim": 24,
    "encoder": {"type": "stft", "n_fft": 640, "hop": 320, "channels": 32, "blocks": 1},
    "decoder": {"type": "vocos", "n_fft": 640, "hop": 320, "channels": 32, "blocks": 1},
    "quantizer": {"type": "split", "codebooks": 3, "codebook_size": 32},
}


def test_distillation_teaches_the_first_codebook_and_the_encoder(teachers: dict[str, Path]) -> None:
    torch.manual_seed(0)
    codec = Codec(CodecConfig.model_validate(CODEC))
    distil = SemanticDistillation(SemanticConfig(teacher=str(teachers["wavlm"])), 24, 16_000)
    assert not any("teacher" in name for name in distil.state_dict())
    optimizer = torch.optim.Adam([*codec.parameters(), *distil.parameters()], lr=1e-2)
    losses = []
    for _ in range(12):
        out = codec(speech())
        loss = distil(out.first_latent, speech())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
    assert all(p.grad is not None and p.grad.norm() > 0 for p in codec.encoder.parameters())
    assert all(p.grad is None or p.grad.norm() == 0 for p in codec.quantizer.acoustic.parameters())


def test_a_fused_codec_speaks_only_with_the_teacher_it_was_trained_with(
    teachers: dict[str, Path], tmp_path: Path
) -> None:
    shutil.copytree(teachers["wavlm"], tmp_path / "teacher")
    semantic = {"teacher": str(tmp_path / "teacher"), "mode": "fuse"}
    codec = Codec(CodecConfig.model_validate(CODEC | {"semantic": semantic}))
    save_checkpoint(tmp_path / "codec", "codec", codec.config.model_dump(mode="json"), codec.state_dict(), {})
    Codec.load(tmp_path / "codec")
    other = transformers.WavLMModel.from_pretrained(tmp_path / "teacher")
    with torch.no_grad():
        next(other.parameters()).add_(0.01)
    other.save_pretrained(tmp_path / "teacher")
    with pytest.raises(BadInput, match=r"teacher .* has the weights [0-9a-f]{16}…, the codec was trained with"):
        Codec.load(tmp_path / "codec")


def test_fused_features_reach_the_codes_and_are_predicted_again(teachers: dict[str, Path]) -> None:
    torch.manual_seed(0)
    semantic = {"teacher": str(teachers["w2v-bert"]), "mode": "fuse"}
    fsq = {"type": "fsq", "levels": [4, 4, 4, 4]}
    codec = Codec(CodecConfig.model_validate(CODEC | {"semantic": semantic, "quantizer": fsq}))
    out = codec(speech())
    out.losses["semantic"].backward()
    assert codec.fusion is not None and codec.fusion.encode[0].weight.grad.norm() > 0
    assert codec.quantizer.project_in.weight.grad.norm() > 0
    assert not any("teacher" in name for name in codec.state_dict())
    codec.eval()
    with torch.inference_mode():
        torch.testing.assert_close(codec.decode(codec.encode(speech())), codec(speech()).audio)

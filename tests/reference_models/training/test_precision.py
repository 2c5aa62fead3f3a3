"""bfloat16: weights that stay float32, and codes, waveforms and losses that are those of float32."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")
pytest.importorskip("pyarrow")
from support.codec_training_fixture import TRAINING, speech  # noqa: E402
from support.metric_items import reader  # noqa: E402
from support.tts_fixture import shards_of, voice  # noqa: E402
from torch import Tensor  # noqa: E402

from speech_eval.errors import SpeechEvalError  # noqa: E402
from speech_eval.reference_models import CHECKPOINTS  # noqa: E402
from speech_eval.reference_models.codec.config import CodecConfig  # noqa: E402
from speech_eval.reference_models.codec.losses import MelLoss, STFTLoss  # noqa: E402
from speech_eval.reference_models.codec.model import Codec  # noqa: E402
from speech_eval.reference_models.codec.train import CodecTrainer  # noqa: E402
from speech_eval.reference_models.codec.training_config import TrainingConfig  # noqa: E402
from speech_eval.reference_models.recipes.schema import lay_over, load, names  # noqa: E402
from speech_eval.reference_models.speech_lm.sequence import CodecSection  # noqa: E402
from speech_eval.reference_models.training.config import OptimizerConfig  # noqa: E402
from speech_eval.reference_models.training.loop import adamw  # noqa: E402
from speech_eval.reference_models.tts import building  # noqa: E402
from speech_eval.reference_models.tts.config import TTSConfig  # noqa: E402
from speech_eval.reference_models.tts.train import TTSTrainer  # noqa: E402
from speech_eval.reference_models.tts.training_config import TTSTrainingConfig  # noqa: E402

torch.set_num_threads(1)
CODECS = [name for name in names() if name.startswith("codec/")]
SPEECH_LMS = [name for name in names() if name.startswith("tts/") and load(name, "smoke").model]

# What makes the largest size of a recipe small, and leaves its kinds of layers.
TRANSFORMER = {"layers": 1, "heads": 2, "mlp": 32}
SMALL: dict[str, Any] = {"conv": {"channels": 4}, "stft": {"channels": 16}, "vocos": {"channels": 16, "blocks": 1}}


def half() -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16)


def small_model(name: str) -> CodecConfig:
    """The layers of a recipe's first size, a published one if it has one, a few channels wide."""
    recipe = load(name, "scale" if name != "codec/voice-16k" else "cpu")
    model = recipe.model | {"latent_dim": 32, "semantic": None}
    for part, wide in (("encoder", SMALL), ("decoder", SMALL | {"conv": {"channels": 32}})):
        change = dict(wide[model[part]["type"]])
        if model[part].get("transformer"):
            change["transformer"] = TRANSFORMER
        model = lay_over(model, {part: change})
    if model["quantizer"]["type"] != "fsq":
        model = lay_over(model, {"quantizer": {"codebook_size": 64}})
    return CodecConfig.model_validate(model)


def trainer(name: str, size: str, output: Path, precision: str) -> CodecTrainer:
    config = small_model(name) if size == "published" else CodecConfig.model_validate(load(name, size).model)
    adversary = TRAINING.adversary.model_copy(update={"start": 0})  # type: ignore[union-attr]
    changes = {"batch_size": 2, "segment_seconds": 0.48, "precision": precision, "adversary": adversary.model_dump()}
    training = TrainingConfig.model_validate(TRAINING.model_dump() | changes)
    return CodecTrainer(config, training, speech(), output, name=name, overfit=False, say=lambda message: None)


def speech_at(rate: int) -> Tensor:
    return torch.from_numpy(reader("0880").resampled(rate).samples[rate // 2 : 2 * rate])[None, None]


def decibels(signal: Tensor, other: Tensor) -> float:
    return float(10 * torch.log10(signal.square().sum() / (signal - other).square().sum().clamp(min=1e-20)))


@pytest.mark.parametrize("size", ["smoke", "published"])
@pytest.mark.parametrize("name", CODECS)
def test_a_codecs_step_gives_the_losses_codes_and_waveforms_of_float32(name: str, size: str, tmp_path: Path) -> None:
    found = {}
    for precision in ("float32", "bf16"):
        run = trainer(name, size, tmp_path / precision, precision)
        found[precision] = run.step(0, run.batches[0])
        assert {parameter.dtype for parameter in run.learners.parameters()} == {torch.float32}
    for loss, value in found["float32"].items():
        assert found["bf16"][loss] == pytest.approx(value, rel=0.3 if loss == "norm" else 0.05), loss
    codec = run.codec.eval()
    audio = speech_at(codec.config.sample_rate)
    with torch.no_grad():
        latent, exact = codec.fuse(codec.pad(audio))[0], codec.encode(audio)
        wave = codec.decode(exact)
        with half():
            assert all(torch.equal(a, b) for a, b in zip(codec.quantizer(latent).codes, exact, strict=True))
            heard = codec.decode(exact)
    assert heard.dtype == torch.float32 and decibels(wave, heard) > 30.0


@pytest.mark.parametrize("name", ["dac-16k-2k", "llasa-3m-en/codec"])
def test_codes_of_a_trained_codec_are_those_of_float32_up_to_the_noise_of_its_layers(name: str) -> None:
    codec, _ = Codec.load(CHECKPOINTS / name)
    codec.eval()
    audio = speech_at(16_000)
    with torch.no_grad():
        exact = codec.encode(audio)
        with half():
            coarse, heard = codec.encode(audio), codec.decode(exact)
        assert float((coarse[0] != exact[0]).float().mean()) < 0.03
        assert decibels(codec.decode(exact), heard) > 40.0


@pytest.mark.parametrize("loss", [MelLoss(16_000), STFTLoss()], ids=["mel", "stft"])
def test_spectral_losses_are_those_of_float32(loss: torch.nn.Module) -> None:
    audio = speech_at(16_000)
    with half():
        assert float(loss(audio, audio)) == 0.0
        coarse = float(loss(audio, 0.9 * audio))
    assert coarse == pytest.approx(float(loss(audio, 0.9 * audio)), rel=1e-6)


@pytest.mark.parametrize("name", SPEECH_LMS)
def test_a_speech_lms_step_gives_the_losses_of_float32(name: str, tmp_path: Path) -> None:
    recipe = load(name, "smoke")
    layout = recipe.model.get("layout", "flat")
    folder, summary = shards_of(layout)
    codec = CodecSection.model_validate(summary["codec"])
    config = TTSConfig.model_validate(recipe.model | {"codec": codec.model_dump(mode="json"), "frontend": "bytes"})
    found = {}
    for precision in ("float32", "bf16"):
        output = tmp_path / precision
        shutil.copytree(folder, output / "shards")
        training = TTSTrainingConfig.model_validate(
            {**recipe.training, "batch_size": 1, "sequence": 700, "precision": precision}
        )
        run = TTSTrainer(config, training, voice(), output, name=name, overfit=False, say=lambda message: None)
        found[precision] = run.step(0, run.batches_of(0, 1).__next__())
        assert {parameter.dtype for parameter in run.model.parameters()} == {torch.float32}
        assert {value.dtype for state in run.optimizer.state.values() for value in state.values()} == {torch.float32}
    for kind in found["float32"].keys() - {"seconds", "tokens", "flops", "norm"}:
        assert found["bf16"][kind] == pytest.approx(found["float32"][kind], rel=0.02), kind


# ------------------------------------------------------------------------------------------------ weights


@pytest.fixture
def stored_in_half(tmp_path: Path) -> Path:
    """A tiny text LLM in bfloat16, as hubs hold them."""
    tokenizers, transformers = pytest.importorskip("tokenizers"), pytest.importorskip("transformers")
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    words = tokenizers.Tokenizer(tokenizers.models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    words.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    transformers.PreTrainedTokenizerFast(tokenizer_object=words).save_pretrained(tmp_path / "llm")
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    llama = transformers.LlamaConfig(vocab_size=260, tie_word_embeddings=True, **shape)
    transformers.LlamaForCausalLM(llama).to(torch.bfloat16).save_pretrained(tmp_path / "llm")
    return tmp_path / "llm"


def test_every_weight_of_a_text_llm_stored_in_half_precision_moves(stored_in_half: Path, tmp_path: Path) -> None:
    folder, summary = shards_of("flat")
    shutil.copytree(folder, tmp_path / "run" / "shards")
    config = TTSConfig.model_validate(
        {
            "core": {"type": "hub", "name": str(stored_in_half), "positions": 1024},
            "frontend": "tokenizer",
            "codec": CodecSection.model_validate(summary["codec"]).model_dump(mode="json"),
        }
    )
    optimizer = {"learning_rate": 5e-5, "betas": [0.9, 0.95]}
    training = TTSTrainingConfig.model_validate(
        {"steps": 4, "batch_size": 1, "sequence": 700, "precision": "bf16", "optimizer": optimizer}
    )
    run = TTSTrainer(config, training, voice(), tmp_path / "run", name="tts", overfit=False, say=lambda message: None)
    layers = [p for name, p in run.model.named_parameters() if "layers" in name]
    before = [p.detach().clone() for p in layers]
    for number in range(4):
        run.step(number, run.batches_of(number, number + 1).__next__())
    still = sum(int((a == b).sum()) for a, b in zip(before, layers, strict=True))
    assert still < 0.001 * sum(p.numel() for p in layers)
    building.save(tmp_path / "saved", run.model, run.model.state_dict(), {})
    again, _ = building.load(tmp_path / "saved")
    assert {p.dtype for p in again.parameters()} == {torch.float32}


def test_weights_in_half_precision_are_not_trained() -> None:
    with pytest.raises(SpeechEvalError, match=r"2 parameters, weight first, are torch.bfloat16"):
        adamw(torch.nn.Linear(2, 2).bfloat16(), OptimizerConfig())

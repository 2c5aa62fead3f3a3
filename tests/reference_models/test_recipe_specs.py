"""Every model that a recipe names is built: shipped ones as they are, those of a hub as tiny ones under their names."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
from support.tiny_audio_llm import save_tiny_whisper  # noqa: E402
from support.tiny_codecs import save_tiny_codec  # noqa: E402

from speech_eval.adapters import spec as modelspec  # noqa: E402
from speech_eval.engine.task import TASKS  # noqa: E402
from speech_eval.metrics.catalog import METRICS  # noqa: E402
from speech_eval.reference_models import CHECKPOINTS  # noqa: E402
from speech_eval.reference_models.audio_llm.building import build as build_audio_llm  # noqa: E402
from speech_eval.reference_models.audio_llm.config import AudioLLMConfig  # noqa: E402
from speech_eval.reference_models.audio_llm.encoder import SpeechEncoder  # noqa: E402
from speech_eval.reference_models.audio_llm.training_config import AudioTrainingConfig  # noqa: E402
from speech_eval.reference_models.codec.config import SemanticConfig  # noqa: E402
from speech_eval.reference_models.codec.semantic import Teacher  # noqa: E402
from speech_eval.reference_models.recipes.schema import ResolvedRecipe, load, names, open_recipe  # noqa: E402
from speech_eval.reference_models.recipes.stacks import stack_of  # noqa: E402
from speech_eval.reference_models.speech_lm.codec_stream import load_codec, probe  # noqa: E402
from speech_eval.reference_models.tts.building import build  # noqa: E402
from speech_eval.reference_models.tts.config import TTSConfig  # noqa: E402

SIZES = [(name, size) for name in names() for size in open_recipe(name).sizes]
# Frames per second of the codecs that the recipes name; their codebooks are smaller here.
RATES = {
    "tts/llasa": [50.0],
    "tts/orpheus": [11.71875, 23.4375, 46.875],
    "tts/csm": [12.5] * 8,
    "tts/delay": [12.5] * 8,
}


def _save_snac(path: Path) -> None:
    package = pytest.importorskip("snac")
    config: dict[str, Any] = {"sampling_rate": 24_000, "encoder_dim": 4, "encoder_rates": [2, 4, 8, 8]}
    config |= {"decoder_dim": 32, "decoder_rates": [8, 8, 4, 2], "attn_window_size": None}
    config |= {"codebook_size": 64, "vq_strides": [4, 2, 1]}
    torch.save(package.SNAC(**config).state_dict(), path / "pytorch_model.bin")
    (path / "config.json").write_text(json.dumps(config))


def _save_xcodec2(path: Path) -> None:
    small = {"num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 16}
    semantic = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = transformers.Xcodec2Config(
        hidden_size=32,
        intermediate_size=64,
        encoder_hidden_size=4,
        quantization_dim=64,
        semantic_model_config=semantic | {"output_hidden_size": 32, "feature_projection_input_dim": 160},
        **small,
    )
    transformers.Xcodec2Model(config).save_pretrained(path)


def _save_text_llm(path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(["some text"], trainer)
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(path)
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}
    transformers.LlamaForCausalLM(transformers.LlamaConfig(vocab_size=320, **shape)).save_pretrained(path)


def _save_teacher(path: Path, family: str, **more: Any) -> None:
    shape: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 16, "num_attention_heads": 2}
    config = getattr(transformers, f"{family}Config")(**shape, intermediate_size=32, **more)
    getattr(transformers, f"{family}Model")(config).save_pretrained(path)
    extractor = "SeamlessM4TFeatureExtractor" if family == "Wav2Vec2Bert" else "Wav2Vec2FeatureExtractor"
    getattr(transformers, extractor)().save_pretrained(path)


def _save_whisper(path: Path) -> None:
    save_tiny_whisper(path)


# Hub repositories that recipes name, and what writes a tiny model of their kind.
HUB: dict[str, Callable[[Path], object]] = {
    "hubertsiuzdak/snac_24khz": _save_snac,
    "HKUSTAudio/xcodec2": _save_xcodec2,
    "kyutai/mimi": lambda path: save_tiny_codec("mimi", path),
    "meta-llama/Llama-3.2-1B-Instruct": _save_text_llm,
    "meta-llama/Llama-3.2-3B": _save_text_llm,
    "microsoft/wavlm-large": lambda path: _save_teacher(path, "WavLM"),
    "facebook/w2v-bert-2.0": lambda path: _save_teacher(path, "Wav2Vec2Bert"),
    "openai/whisper-large-v2": _save_whisper,
    "openai/whisper-large-v3": _save_whisper,
    "mistralai/Ministral-8B-Instruct-2410": _save_text_llm,
    "meta-llama/Llama-3.1-8B-Instruct": _save_text_llm,
    "ibm-granite/granite-3.3-8b-instruct": _save_text_llm,
    "lmsys/vicuna-13b-v1.1": _save_text_llm,
    "Qwen/Qwen2.5-7B-Instruct": _save_text_llm,
    "HuggingFaceTB/SmolLM2-1.7B-Instruct": _save_text_llm,
}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of a hub that nothing reaches, still empty."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path


def fetched(hub: Path, repository: str) -> None:
    """Put a tiny model into the cache under the repository's name."""
    folder = hub / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("0" * 40)
    (folder / "snapshots" / ("0" * 40)).mkdir(parents=True)
    torch.manual_seed(0)
    HUB[repository](folder / "snapshots" / ("0" * 40))


def values(part: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every text of a recipe with its path."""
    if isinstance(part, dict):
        for key, value in part.items():
            yield from values(value, f"{path}.{key}".lstrip("."))
    elif isinstance(part, list | tuple):
        for value in part:
            yield from values(value, path)
    elif isinstance(part, str):
        yield path, part


def test_every_hub_repository_that_a_recipe_names_is_built_here() -> None:
    named = set()
    for name, size in SIZES:
        for path, text in values(load(name, size).model_dump(include={"codec", "model", "training"})):
            plain = text.removeprefix("hf:").partition("path=")[2] or text.removeprefix("hf:")
            if plain.count("/") == 1 and not path.endswith(("recipe", "start")):
                named.add(plain)
    assert named == set(HUB)


@pytest.mark.parametrize("name", RATES)
def test_the_codec_and_the_text_llm_of_scale_are_built(name: str, hub: Path) -> None:
    recipe = load(name, "scale")
    assert recipe.codec is not None and recipe.codec.spec is not None
    for repository in HUB:
        if repository in recipe.codec.spec or repository == recipe.model["core"].get("name"):
            fetched(hub, repository)
    like = probe(load_codec(recipe.codec.spec))
    assert [float(rate) for rate in like.frame_rates] == RATES[name]
    codec = {"spec": recipe.codec.spec, "codebook_sizes": like.codebook_sizes, "frame_rates": like.frame_rates}
    config = TTSConfig.model_validate({**recipe.model, "codec": codec})
    if config.core.type == "hub":
        assert len(build(config).tokenizer.prompt_ids("some text")) > 4


@pytest.mark.parametrize("name", [name for name in names() if name.startswith("audio_llm/")])
def test_the_encoder_and_the_text_llm_of_an_audio_llm_are_built(name: str, hub: Path) -> None:
    recipe = load(name, "scale")
    config = AudioLLMConfig.model_validate(recipe.model)
    AudioTrainingConfig.model_validate(recipe.training)
    for repository in {config.encoder.spec, config.llm.spec} & set(HUB):
        fetched(hub, repository)
    encoder = SpeechEncoder(config.encoder.spec)
    (features,) = encoder([np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)])
    model = build_audio_llm(config, encoder.dim, torch.arange(20) if config.ctc is not None else None)
    (heard,) = model.hear([features])
    assert heard.shape[1] == model.llm.get_input_embeddings().weight.shape[1] and torch.isfinite(heard).all()


@pytest.mark.parametrize(("name", "size"), [each for each in SIZES if load(*each).model.get("semantic")])
def test_the_teacher_of_a_codec_is_built(name: str, size: str, hub: Path) -> None:
    semantic = SemanticConfig.model_validate(load(name, size).model["semantic"])
    if semantic.teacher in HUB:
        fetched(hub, semantic.teacher)
    teacher = Teacher(semantic)
    assert teacher(torch.randn(1, 1, 16_000) / 10, 16_000).shape[:2] == (1, teacher.dim)


def recognizers(recipe: ResolvedRecipe) -> set[str]:
    section = stack_of(recipe.name).sections(recipe)["training"]
    training = section.model_validate(recipe.training).model_dump(mode="json")
    return {text for path, text in values(training) if path.endswith("recognizer")}


@pytest.mark.parametrize("spec", sorted({spec for each in SIZES for spec in recognizers(load(*each))}))
def test_the_recognizers_of_checks_rewards_and_guards_are_built(spec: str) -> None:
    assert "SpeechRecognizer" in {kind.__name__ for kind in type(modelspec.resolve(spec).build()).__mro__}


def test_metrics_tasks_and_starts_exist() -> None:
    for name, size in SIZES:
        recipe = load(name, size)
        TASKS.get(recipe.evaluation.task)
        judges = [recipe.training.get(part) or {} for part in ("verifier", "guards")]
        for metric in (*recipe.evaluation.metrics, *(judge.get("speaker") for judge in judges)):
            assert metric is None or METRICS.get(metric)
        start, at, start_size = str(recipe.training.get("start", "")).partition("@")
        if at:
            assert load(start, start_size).name == start
        elif start:
            assert (CHECKPOINTS / start).is_dir()

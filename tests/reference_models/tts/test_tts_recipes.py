"""The recipes of the speech LMs: what every size builds."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from speech_eval.reference_models.codec.config import CodecConfig  # noqa: E402
from speech_eval.reference_models.codec.model import Codec  # noqa: E402
from speech_eval.reference_models.codec.training_config import TrainingConfig  # noqa: E402
from speech_eval.reference_models.recipes.schema import ResolvedRecipe, load  # noqa: E402
from speech_eval.reference_models.tts.building import build  # noqa: E402
from speech_eval.reference_models.tts.config import TTSConfig  # noqa: E402
from speech_eval.reference_models.tts.training_config import TTSTrainingConfig  # noqa: E402

RECIPES = ("tts/llasa", "tts/orpheus", "tts/csm")
# What the public codecs of `scale` give: codebook sizes and frame rates.
PUBLISHED = {
    "tts/llasa": ((65_536,), (50.0,)),
    "tts/orpheus": ((4096,) * 3, (11.71875, 23.4375, 46.875)),
    "tts/csm": ((2048,) * 32, (12.5,) * 32),
}


def _codec(recipe: ResolvedRecipe) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Codebooks of the codec that a size speaks through."""
    assert recipe.codec is not None
    if recipe.codec.spec:
        return PUBLISHED[recipe.name]
    changed = recipe.codec.resolve()
    training = TrainingConfig.model_validate(changed.training)
    # Codes that are looked up do not learn without a loss of their own.
    assert changed.model["quantizer"]["type"] == "fsq" or training.weights()["codebook"] > 0
    with torch.device("meta"):
        codec = Codec(CodecConfig.model_validate(changed.model))
    return tuple(codec.codebook_sizes), tuple(codec.frame_rates)


def _config(recipe: ResolvedRecipe) -> TTSConfig:
    sizes, rates = _codec(recipe)
    codec = {"spec": "none", "codebook_sizes": sizes, "frame_rates": rates}
    return TTSConfig.model_validate({**recipe.model, "codec": codec})


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("size", ["smoke", "cpu", "reference", "scale"])
def test_every_size_can_be_built_and_trained_in_its_context(name: str, size: str) -> None:
    recipe = load(name, size)
    config, training = _config(recipe), TTSTrainingConfig.model_validate(recipe.training)
    assert training.sequence <= config.core.positions
    assert len(config.ratios) == len(config.codec.codebook_sizes)
    if config.core.type == "hub":
        return
    with torch.device("meta"):
        model = build(config)
    limit = {"smoke": 2.5, "cpu": 10.0, "reference": 200.0}.get(size, 3000.0)
    assert 1e5 < sum(p.numel() for p in model.parameters()) < limit * 1e6


def test_llasa_asks_as_published() -> None:
    config = _config(load("tts/llasa", "scale"))
    assert config.template[0] == "Convert the text to speech:" and config.layout == "flat"
    training = load("tts/llasa", "scale").training
    tokens = training["batch_size"] * training["accumulate"] * training["sequence"] * 8
    assert tokens == pytest.approx(2e6, rel=0.06)


def test_orpheus_has_seven_tokens_a_step_each_with_ids_of_its_own() -> None:
    config = _config(load("tts/orpheus", "scale"))
    assert [book for book, _ in config.block] == [0, 1, 2, 2, 1, 2, 2]
    table = config.table(base=128_256)
    assert [table.block(f"codes-{place}")[1] for place in range(7)] == [4096] * 7
    assert config.steps_per_second == pytest.approx(82.03, abs=0.01)


def test_csm_is_of_the_published_shape() -> None:
    recipe = load("tts/csm", "scale")
    with torch.device("meta"):
        model = build(_config(recipe))
    assert model.tokenizer.streams == 33 and recipe.model["depth"]["share"] == 1 / 16
    assert 0.9e9 < sum(p.numel() for p in model.backbone.parameters()) < 1.1e9

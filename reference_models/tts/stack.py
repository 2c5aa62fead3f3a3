"""The stack `tts`, as `speech-eval train` finds it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from speech_eval.reference_models.recipes.stacks import Schema, Stack, TrainOption

if TYPE_CHECKING:
    from speech_eval.reference_models.recipes.schema import ResolvedRecipe


def schema(recipe: ResolvedRecipe) -> Schema:
    """The sections of a speech-LM recipe, or of an alignment where `training` names a `method`."""
    if "method" in recipe.training:
        from speech_eval.reference_models.speech_lm.rl.config import AlignmentConfig

        return {"training": AlignmentConfig}
    from speech_eval.reference_models.tts.config import TTSConfig
    from speech_eval.reference_models.tts.training_config import TTSTrainingConfig

    return {"model": TTSConfig, "training": TTSTrainingConfig}


STACK = Stack(
    name="tts",
    summary="Text to speech by language models over codec codes, and their alignment by rewards.",
    kind="tts",
    trainer="speech_eval.reference_models.tts.train:train_recipe",
    schema="speech_eval.reference_models.tts.stack:schema",
    exporter="speech_eval.reference_models.tts.export:export",
    recipes=Path(__file__).parent.parent / "recipes" / "tts",
    options=(
        TrainOption("codec", "Speak through this codec, a model spec, instead of the recipe's."),
        TrainOption(
            "init",
            "Start from this model: a checkpoint, a shipped name, or a published one (hf:ORG/REPO, a directory).",
        ),
        TrainOption("force", "Start although the packed speech is not recognized; the card says so.", flag=True),
    ),
)

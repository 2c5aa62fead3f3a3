"""The stack `codec`, as `speech-eval train` finds it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from speech_eval.reference_models.recipes.stacks import Schema, Stack, TrainOption

if TYPE_CHECKING:
    from speech_eval.reference_models.recipes.schema import ResolvedRecipe


def schema(recipe: ResolvedRecipe) -> Schema:
    """The sections of a codec recipe."""
    from speech_eval.reference_models.codec.config import CodecConfig
    from speech_eval.reference_models.codec.training_config import TrainingConfig

    return {"model": CodecConfig, "training": TrainingConfig}


STACK = Stack(
    name="codec",
    summary="Neural audio codecs: encoder, quantizer, decoder.",
    kind="codec",
    trainer="speech_eval.reference_models.codec.train:train_recipe",
    schema="speech_eval.reference_models.codec.stack:schema",
    exporter="speech_eval.reference_models.codec.export:export",
    recipes=Path(__file__).parent.parent / "recipes" / "codec",
    options=(
        TrainOption("init", "Start from this model: a checkpoint, a shipped name, or a published DAC, hf:ORG/REPO."),
    ),
)

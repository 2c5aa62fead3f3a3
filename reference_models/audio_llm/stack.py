"""The stack `audio_llm`, as `speech-eval train` finds it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from speech_eval.reference_models.recipes.stacks import Schema, Stack, TrainOption

if TYPE_CHECKING:
    from speech_eval.reference_models.recipes.schema import ResolvedRecipe


def schema(recipe: ResolvedRecipe) -> Schema:
    """The sections of an audio-LLM recipe."""
    from speech_eval.reference_models.audio_llm.config import AudioLLMConfig
    from speech_eval.reference_models.audio_llm.training_config import AudioTrainingConfig

    return {"model": AudioLLMConfig, "training": AudioTrainingConfig}


STACK = Stack(
    name="audio_llm",
    summary="Audio language models: a speech encoder and a text LLM, joined by a network that learns to listen.",
    kind="audio-llm",
    trainer="speech_eval.reference_models.audio_llm.train:train_recipe",
    schema="speech_eval.reference_models.audio_llm.stack:schema",
    recipes=Path(__file__).parent.parent / "recipes" / "audio_llm",
    options=(
        TrainOption("init", "Start from this model, a checkpoint directory or a shipped name, with its architecture."),
        TrainOption("features", "Read the encoder's features from this folder of another run, and compute none."),
    ),
)

"""The stack `conversation`, as `speech-eval train` finds it. A recipe's `model.type` says which of its models it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speech_eval.errors import BadInput
from speech_eval.reference_models.recipes.stacks import Schema, Stack, TrainOption
from speech_eval.registry import load_attr

if TYPE_CHECKING:
    from speech_eval.reference_models.recipes.schema import ResolvedRecipe

_HERE = "speech_eval.reference_models.conversation"


@dataclass(frozen=True)
class Kind:
    """A model of the stack: `module:attr` of the sections that read `model` and `training`, and of its trainer, which
    takes these `options` of the stack."""

    model: str
    training: str
    trainer: str
    options: tuple[str, ...] = ("codec",)


KINDS = {
    "duplex": Kind(
        f"{_HERE}.duplex.config:DuplexConfig",
        f"{_HERE}.duplex.config:DuplexTrainingConfig",
        f"{_HERE}.duplex.train:train_recipe",
        options=("codec", "init"),
    ),
    "flow": Kind(
        f"{_HERE}.flow.config:FlowConfig",
        f"{_HERE}.flow.config:FlowTrainingConfig",
        f"{_HERE}.flow.train:train_recipe",
    ),
    "csm-context": Kind(
        f"{_HERE}.context.config:ContextConfig",
        "speech_eval.reference_models.tts.training_config:TTSTrainingConfig",
        f"{_HERE}.context.train:train_recipe",
    ),
    "talker": Kind(
        f"{_HERE}.talker.config:TalkerConfig",
        f"{_HERE}.talker.config:TalkerTrainingConfig",
        f"{_HERE}.talker.train:train_recipe",
    ),
}


def kind_of(recipe: ResolvedRecipe) -> Kind:
    """What the recipe trains. Raises `BadInput` for a `model.type` that does not exist."""
    named = recipe.model.get("type")
    if named not in KINDS:
        raise BadInput(
            f"{recipe.name}, size {recipe.size}: 'model.type' is {named!r}, which this stack does not train.",
            f"Use one of: {', '.join(KINDS)}.",
        )
    return KINDS[named]


def schema(recipe: ResolvedRecipe) -> Schema:
    """The sections of a recipe."""
    kind = kind_of(recipe)
    return {"model": load_attr(kind.model), "training": load_attr(kind.training)}


def train_recipe(recipe: ResolvedRecipe, *arguments: Any, **options: Any) -> dict[str, Any]:
    """Train what the recipe's `model.type` names; returns the card. Raises `BadInput` for an option of the stack that
    its trainer does not take."""
    kind = kind_of(recipe)
    for option in STACK.options:
        if option.name in options and option.name not in kind.options:
            raise BadInput(f"--{option.name} is not for {recipe.name}.", "Leave it out.")
    trainer: Callable[..., dict[str, Any]] = load_attr(kind.trainer)
    return trainer(recipe, *arguments, **options)


STACK = Stack(
    name="conversation",
    summary="Spoken dialogue: a duplex model, a Talker for a text LLM, a flow-matching detokenizer.",
    kind="duplex",
    trainer=f"{_HERE}.stack:train_recipe",
    schema=f"{_HERE}.stack:schema",
    recipes=Path(__file__).parent.parent / "recipes" / "conversation",
    options=(
        TrainOption("codec", "Speak through this codec, a model spec, instead of the recipe's."),
        TrainOption("init", "Start from this model, a checkpoint directory or a shipped name, with its architecture."),
    ),
)

"""`speech-eval train`, `reproduce`, `export`, `list recipes` and `recipe show`: what the installed stacks can train."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from speech_eval.cli.common import Json, Language
from speech_eval.errors import SpeechEvalError
from speech_eval.registry import load_attr

Recipe = Annotated[
    str, typer.Argument(help="Recipe as STACK/NAME (see: speech-eval list recipes), or a YAML file.", metavar="RECIPE")
]
RecipeSize = Annotated[str, typer.Option(help="A size of the recipe: smoke, cpu, reference or scale.")]
recipe_app = typer.Typer(help="Show what a recipe trains.", no_args_is_help=True)

_RECIPES = "speech_eval.reference_models.recipes"


def train(
    recipe: Recipe,
    output: Annotated[Path, typer.Option("--output", "-o", help="Checkpoint directory.")],
    size: RecipeSize = "smoke",
    data: Annotated[
        str | None, typer.Option(help="Speech to train on: a folder, a list, or the name of a dataset.")
    ] = None,
    language: Language = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the state in --output.")] = False,
    overfit: Annotated[bool, typer.Option("--overfit-one-batch", help="Train on the first batch alone.")] = False,
    json: Json = False,
    **stack_options: Any,
) -> None:
    """Train a recipe into a checkpoint directory, which is a model spec. Options named after a stack are its own."""
    from speech_eval.api.training import train as train_model
    from speech_eval.cli.console import bars, emit, line, say

    given = {name: value for name, value in stack_options.items() if value}
    options: dict[str, Any] = {"data": data, "language": language, "resume": resume, "overfit": overfit, **given}
    with bars() as progress:
        card = train_model(recipe, output, size=size, progress=progress, say=say, **options)
    if json:
        return emit({"checkpoint": str(output), "card": card})
    line(f"checkpoint: {output}")


def train_command() -> Callable[..., None]:
    """`train` with the options that the installed stacks declare. Typer reads options from a signature."""

    def command(**given: Any) -> None:
        train(**given)

    signature = inspect.signature(train, eval_str=True)
    own = [item for item in signature.parameters.values() if item.kind is not inspect.Parameter.VAR_KEYWORD]
    everything = [*own, *_stack_options()]
    command.__signature__ = signature.replace(parameters=everything)  # type: ignore[attr-defined]
    command.__annotations__ = {item.name: item.annotation for item in everything}
    command.__name__, command.__doc__ = train.__name__, train.__doc__
    return command


def _stack_options() -> list[inspect.Parameter]:
    """The options of all stacks. A stack that cannot be loaded has none here; using a recipe then says why."""
    try:
        stacks = load_attr(f"{_RECIPES}.stacks:stacks")()
    except (SpeechEvalError, ImportError, AttributeError):
        return []
    helps: dict[tuple[str, bool], list[str]] = {}
    for stack in stacks.values():
        for option in stack.options:
            helps.setdefault((option.name, option.flag), []).append(f"{stack.name}: {option.help}")
    parameters = []
    for (name, flag), texts in helps.items():
        option = typer.Option(f"--{name.replace('_', '-')}", help=" ".join(texts))
        kind, default = (bool, False) if flag else (str | None, None)
        annotation = Annotated[kind, option]  # type: ignore[valid-type]
        parameters.append(
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        )
    return parameters


def reproduce(
    recipe: Recipe,
    size: RecipeSize = "smoke",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder (default: reproduced/…).")] = None,
    json: Json = False,
) -> None:
    """Prepare, train and evaluate a recipe: exit 0 as recorded, 1 not, 2 nothing is recorded for this size."""
    from speech_eval.api.training import reproduce as reproduce_recipe
    from speech_eval.cli.console import bars, emit, line, say, table

    with bars() as progress:
        done = reproduce_recipe(recipe, size=size, output=output, progress=progress, say=say)
    if json:
        emit(done.as_dict())
    else:
        table(
            [
                {
                    "metric": item.metric,
                    "found": "" if item.found is None else f"{item.found:.4g}",
                    "recorded": "" if item.expected is None else f"{item.expected:.4g} ± {item.tolerance:g}",
                    "as recorded": "" if item.ok is None else item.ok,
                }
                for item in done.judged
            ]
        )
        line(f"checkpoint: {done.checkpoint}")
        line(f"run directory: {done.run}")
        words = {0: "reproduced", 1: "NOT as recorded", 2: "nothing is recorded for this size"}
        line(f"{recipe} {size}: {words[done.exit_code]}")
    raise typer.Exit(done.exit_code)


def export(
    checkpoint: Annotated[
        str, typer.Argument(help="Checkpoint directory, or the name of a shipped one.", metavar="CHECKPOINT")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="New folder.")],
    push_to_hub: Annotated[str | None, typer.Option(help="Also upload it to this repository, ORG/NAME.")] = None,
    json: Json = False,
) -> None:
    """Write a trained model for others: a speech LM for transformers, a codec as safetensors with a card."""
    from speech_eval.api.training import export as export_model
    from speech_eval.cli.console import emit, line, say

    written = export_model(checkpoint, output, push_to_hub=push_to_hub, say=say)
    if json:
        return emit({"exported": str(written), "files": sorted(file.name for file in written.iterdir())})
    line(f"exported: {written}")


def list_recipes(json: bool) -> None:
    """The recipes of all installed stacks, for `speech-eval list recipes`."""
    from speech_eval.api import training
    from speech_eval.cli.console import emit, table

    rows = training.list_recipes()
    if json:
        return emit({"recipes": rows})
    table([load_attr(f"{_RECIPES}.show:short")(row) for row in rows])


@recipe_app.command("show")
def show(recipe: Recipe, size: RecipeSize = "smoke", json: Json = False) -> None:
    """Show every key of a recipe at one size: its value, default, type and meaning."""
    from speech_eval.api.training import describe_recipe
    from speech_eval.cli.console import emit, line

    found = describe_recipe(recipe, size=size)
    if json:
        return emit(found)
    for text in load_attr(f"{_RECIPES}.show:as_text")(found):
        line(text, highlight=False)

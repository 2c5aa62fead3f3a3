"""`speech-eval train` and `speech-eval reproduce`: the recipes of the reference stacks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from speech_eval.cli.common import Json, table

Recipe = Annotated[str, typer.Argument(help="Recipe, such as codec/dac-16k, or a YAML file.")]
RecipeSize = Annotated[str, typer.Option(help="smoke, cpu, reference or scale.")]


def train(
    recipe: Recipe,
    output: Annotated[Path, typer.Option("--output", "-o", help="Checkpoint directory.")],
    size: RecipeSize = "smoke",
    data: Annotated[Path | None, typer.Option(help="AudioFolder to train on instead of the recipe's.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the state in --output.")] = False,
    overfit: Annotated[bool, typer.Option("--overfit-one-batch", help="Train on the first batch alone.")] = False,
    codec: Annotated[str | None, typer.Option(help="tts: speak through this codec instead of the recipe's.")] = None,
    force: Annotated[bool, typer.Option("--force", help="tts: start although the packed speech is garbage.")] = False,
    json: Json = False,
) -> None:
    """Train a reference model by a recipe."""
    from speech_eval.cli.console import bars, emit, out, say
    from speech_eval.registry import load_attr

    run = load_attr("speech_eval.reference_models.recipes.reproduce:train")
    with bars() as progress:
        options = {"data": data, "resume": resume, "overfit": overfit, "codec": codec, "force": force}
        card = run(recipe, size, output, progress=progress, say=say, **options)
    if json:
        return emit({"checkpoint": str(output), "card": card})
    out.print(f"checkpoint: {output}", markup=False, soft_wrap=True)


def reproduce(
    recipe: Recipe,
    size: RecipeSize = "smoke",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder (default: reproduced/…).")] = None,
    json: Json = False,
) -> None:
    """Prepare, train and evaluate a recipe: exit 0 as recorded, 1 not, 2 nothing is recorded for this size."""
    from speech_eval.cli.console import bars, emit, out, say
    from speech_eval.registry import load_attr

    folder = output or Path("reproduced") / f"{recipe.replace('/', '-')}-{size}"
    with bars() as progress:
        done = load_attr("speech_eval.reference_models.recipes.reproduce:reproduce")(
            recipe, size, folder, progress=progress, say=say
        )
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
        out.print(f"checkpoint: {done.checkpoint}\nrun directory: {done.run}", markup=False, soft_wrap=True)
        words = {0: "reproduced", 1: "NOT as recorded", 2: "nothing is recorded for this size"}
        out.print(f"{recipe} {size}: {words[done.exit_code]}", markup=False)
    raise typer.Exit(done.exit_code)

"""Stacks: what can be trained. An open set, found by the entry-point group `speech_eval.stacks`.

A stack is a folder with a `Stack` record, and one entry point `NAME = "package.module:RECORD"`. Nothing else names it:
`train`, `reproduce`, `list recipes` and `recipe show` find it here. This module imports no torch, nor should the module
of a record: `trainer` and `schema` are imported when they are used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speech_eval.errors import BadInput, UnknownName, clipped
from speech_eval.progress import Progress, Say, silent, unsaid
from speech_eval.reference_models.data.corpus import Data, open_corpus
from speech_eval.reference_models.training.config import Section
from speech_eval.registry import load_attr

if TYPE_CHECKING:
    from speech_eval.reference_models.recipes.schema import ResolvedRecipe

GROUP = "speech_eval.stacks"
Schema = Mapping[str, type[Section]]


@dataclass(frozen=True)
class TrainOption:
    """An option of `speech-eval train` that belongs to a stack: `--NAME VALUE`, or a flag. It arrives at the trainer as
    the keyword `name` if it is given."""

    name: str
    help: str
    flag: bool = False


@dataclass(frozen=True)
class Stack:
    """What a stack must tell.

    `trainer` is `module:function` of
    `train(recipe, data, output, *, resume, overfit, progress, say, **options) -> card`, which writes a checkpoint
    directory; `data` is what `data.corpus.open_corpus` takes: a folder, a list, a dataset's name, or a corpus that is
    open. `schema` is `module:function` of `schema(recipe) -> {part of the recipe: section class}`; `kind` is what its
    `reference.json` states, by which the harness finds the adapter (the first kind of a stack that trains several);
    `recipes` is the folder of its YAML files. `exporter` is `module:function` of `export(checkpoint, folder)`, if the
    stack has one.
    """

    name: str
    summary: str
    kind: str
    trainer: str
    schema: str
    recipes: Path
    options: tuple[TrainOption, ...] = ()
    exporter: str | None = None
    extra: str = "train"

    def train(self, recipe: ResolvedRecipe, data: Data, output: Path, **options: Any) -> dict[str, Any]:
        """Train a recipe of this stack; returns the card."""
        return dict(load_attr(self.trainer)(recipe, data, output, **options))

    def sections(self, recipe: ResolvedRecipe) -> Schema:
        """The section class that reads each part of a recipe."""
        schema: Callable[[ResolvedRecipe], Schema] = load_attr(self.schema)
        return schema(recipe)


@cache
def stacks() -> Mapping[str, Stack]:
    """Every installed stack by name. Raises `BadInput` for an entry point that is not a `Stack`."""
    found: dict[str, Stack] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        stack = load_attr(point.value)
        if not isinstance(stack, Stack) or stack.name != point.name:
            raise BadInput(f"The entry point {GROUP}: {point.name} is not a Stack of that name.", "Fix the package.")
        found[stack.name] = stack
    return found


def stack_of(recipe_name: str) -> Stack:
    """The stack that a recipe's name begins with. Raises `UnknownName` explaining the form of names."""
    stack, slash, rest = recipe_name.partition("/")
    if not (slash and rest and stack in stacks()):
        raise UnknownName(
            f"'{clipped(recipe_name)}' names no stack: a recipe is named STACK/NAME, after the stack that trains it.",
            f"Stacks: {', '.join(stacks())}.",
        )
    return stacks()[stack]


def train_unless_finished(
    recipe: ResolvedRecipe, data: Data, output: Path, *, progress: Progress = silent, say: Say = unsaid
) -> dict[str, Any]:
    """Train a recipe into `output`, from where an earlier call was stopped; returns the card.

    Raises `BadInput` naming what differs where `output` was trained by another recipe or on other data.
    """
    from speech_eval.reference_models.recipes.kept import check_kept
    from speech_eval.reference_models.training.checkpoint import read_description
    from speech_eval.reference_models.training.distributed import first_says
    from speech_eval.reference_models.training.state import FILE, read_facts

    say = first_says(say)
    policy = recipe.training.get("on_bad_data", "skip")
    corpus = open_corpus(data, output, on_bad=policy, progress=progress, say=say)
    stack, started = stack_of(recipe.name), (output / FILE).is_file()
    check_kept(output, recipe, corpus)
    if started and read_facts(output).get("finished"):
        say(f"{output} is trained already")
        return dict(read_description(output)["card"])
    say(f"training {recipe.name}, size {recipe.size}, into {output}")
    return stack.train(recipe, corpus, output, resume=started, overfit=False, progress=progress, say=say)

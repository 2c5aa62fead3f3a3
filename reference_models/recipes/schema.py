"""The parts of a recipe, as YAML files have them. `speech-eval recipe show` prints them; docs/recipes.md lists them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import Field, PositiveInt, ValidationError
from pydantic_core import ErrorDetails

from speech_eval.errors import BadInput, UnknownName, clipped, nearest
from speech_eval.reference_models.recipes.stacks import stack_of, stacks
from speech_eval.reference_models.training.config import Section, first_problem, in_words, knob, marked

_HELP = "See docs/recipes.md, or: speech-eval recipe show NAME"
_Section = TypeVar("_Section", bound=Section)
SUFFIXES = (".yaml", ".yml")


class DataConfig(Section):
    """What `speech-eval data prepare` writes if `train` is not given `--data`."""

    sources: tuple[str, ...] | None = knob(
        None, "Sources to take, such as asterisk-en or hibari-generated; null: recorded speech in five languages."
    )
    held_out_source: str | None = knob(None, "The source whose speaker is held out whole; null: asterisk-it.")
    limit: PositiveInt | None = knob(None, "Recordings per source; null: all.")
    own: bool = knob(False, "Made for data of your own, thousands of hours: `train` must be given `--data`.")

    def given(self) -> dict[str, Any]:
        """The arguments of `prepare` that the recipe states."""
        return {name: value for name, value in self if value is not None and name != "own"}


class CodecChoice(Section):
    """The codec that a speech LM speaks through: one that exists, or one to train first."""

    spec: str | None = knob(None, "Model spec of a codec that exists.")
    recipe: str | None = knob(None, "Recipe of the codec to train first, into the checkpoint's folder.")
    size: str | None = knob(None, "Its size.")
    changes: dict[str, Any] = knob({}, "Keys laid over that recipe.")

    def resolve(self) -> ResolvedRecipe:
        """The codec's recipe with the changes. Raises `BadInput` if there is neither `spec` nor `recipe` and `size`."""
        if self.recipe is None or self.size is None:
            raise BadInput("The recipe's `codec` names no codec.", "Give `recipe` and `size`, or a `spec`.")
        chosen = load(self.recipe, self.size)
        try:
            return ResolvedRecipe.model_validate(lay_over(chosen.model_dump(), self.changes))
        except ValidationError as error:
            raise BadInput(f"'codec.changes' of {self.recipe}: {first_problem(error)}.", _HELP) from None


class ExpectedNumber(Section):
    """A recorded number."""

    value: float = knob(..., "The number.")
    tolerance: float = knob(..., "How far another run may be from it, either way, in the number's own unit.", ge=0.0)


class Expected(Section):
    """What a size gave when it was recorded; `speech-eval reproduce` compares with it."""

    seed: int = knob(..., "Seed of that run.")
    hardware: str = knob(..., "Machine of that run.")
    minutes: float = knob(..., "Minutes from preparing the data to the last score.")
    metrics: dict[str, ExpectedNumber] = knob(..., "Numbers by METRIC ID/NAME.")


class Evaluation(Section):
    """The task that `speech-eval reproduce` runs on the trained model."""

    task: str = knob(..., "Name of the task.")
    split: Literal["train", "held-out", "held-out-speaker"] | None = knob(
        "held-out", "Split of the prepared data; null: the task's own dataset."
    )
    limit: PositiveInt | None = knob(None, "Number of samples; null: all.")
    options: dict[str, Any] = knob({}, "Options of the model spec.")
    metrics: tuple[str, ...] = knob((), "Metric ids instead of the task's own.")


class _Common(Section):
    name: str = knob(..., "STACK/NAME: the stack that trains the recipe, and a name of its own.")
    description: str = knob("", "What it trains.")
    source: str = knob("", "The publication it follows, and where it differs.")
    data: DataConfig = knob(DataConfig(), "The speech to train on.")
    codec: CodecChoice | None = knob(None, "The codec of a speech LM.")
    model: dict[str, Any] = knob({}, "The model; its keys are the stack's.")
    training: dict[str, Any] = knob({}, "The training; its keys are the stack's.")
    evaluation: Evaluation = knob(..., "The task that `speech-eval reproduce` runs.")


class Recipe(_Common):
    """A recipe file."""

    sizes: dict[str, dict[str, Any] | None] = knob(
        ...,
        "Sizes by name, each laid over the other parts key by key; a part of another `type` replaces the whole part.",
    )
    expected: dict[str, Expected] = knob({}, "Recorded numbers by size.")

    def at(self, size: str) -> ResolvedRecipe:
        """The recipe at one size. Raises `UnknownName` for another size, `BadInput` for one that does not fit."""
        if size not in self.sizes:
            raise UnknownName(f"The recipe '{self.name}' has no size '{clipped(size)}'.", nearest(size, self.sizes))
        common = self.model_dump(exclude={"sizes", "expected"}, exclude_unset=True)
        try:
            return ResolvedRecipe.model_validate(
                lay_over(common, self.sizes[size] or {}) | {"size": size, "expected": self.expected.get(size)}
            )
        except ValidationError as error:
            raise BadInput(f"{self.name}, size {size}: {first_problem(error)}.", _HELP) from None


class ResolvedRecipe(_Common):
    """A recipe at one size, ready to be read by its stack."""

    size: str
    expected: Expected | None = Field(default=None)

    def read(self, section: type[_Section], values: Mapping[str, Any]) -> _Section:
        """A part of it as its stack reads it. Raises `BadInput` naming a key that cannot be used."""
        try:
            return section.model_validate(values)
        except ValidationError as error:
            raise BadInput(f"{self.name}, size {self.size}: {first_problem(error)}.", _HELP) from None

    def check(self) -> None:
        """Raise `BadInput` naming a key of any part that its stack cannot use, other than what is filled in."""
        for part, section in stack_of(self.name).sections(self).items():
            try:
                section.model_validate(getattr(self, part))
            except ValidationError as error:
                found = [problem for problem in error.errors() if not _filled_in(section, problem)]
                if found:
                    problem = in_words(error, found[0], part)
                    raise BadInput(f"{self.name}, size {self.size}: {problem}.", _HELP) from None


def _filled_in(section: type[Section], problem: ErrorDetails) -> bool:
    """Whether a problem is a key that the recipe leaves to training."""
    name = str(problem["loc"][0]) if problem["loc"] else ""
    return problem["type"] == "missing" and len(problem["loc"]) == 1 and marked(section.model_fields[name], "filled_in")


def names() -> list[str]:
    """The recipes of all stacks."""
    return sorted(
        f"{stack.name}/{file.stem}" for stack in stacks().values() for file in stack.recipes.iterdir() if is_file(file)
    )


def is_file(path: Path) -> bool:
    """Whether a path has a recipe file's ending."""
    return path.suffix in SUFFIXES


def open_recipe(name: str) -> Recipe:
    """A recipe by name, or a file of one's own by path. Raises `UnknownName` for a name that does not exist, `BadInput`
    for a file that is not a recipe."""
    file = Path(name)
    if not is_file(file):
        found = [path for path in _files(name) if path.is_file()]
        if not found:
            raise UnknownName(
                f"There is no recipe named '{clipped(name)}'; recipes are named STACK/NAME.",
                nearest(name, names(), "speech-eval list recipes"),
            )
        file = found[0]
    elif not file.is_file():
        raise UnknownName(
            f"There is no recipe file {clipped(name)}.", "Give a file that exists, or a name: speech-eval list recipes"
        )
    try:
        recipe = Recipe.model_validate(yaml.safe_load(file.read_text("utf-8")))
    except yaml.YAMLError as error:
        raise BadInput(f"{file}: not YAML ({error}).", _HELP) from error
    except ValidationError as error:
        raise BadInput(f"{file}: {first_problem(error)}.", _HELP) from None
    stack_of(recipe.name)
    return recipe


def _files(name: str) -> list[Path]:
    stack, _, rest = name.partition("/")
    if stack not in stacks() or not rest or "/" in rest:
        return []
    return [stacks()[stack].recipes / f"{rest}{suffix}" for suffix in SUFFIXES]


def load(name: str, size: str) -> ResolvedRecipe:
    """A recipe by name or path at one size. Raises as `open_recipe` and `Recipe.at` do."""
    return open_recipe(name).at(size)


def lay_over(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `change` laid over it, key by key in mappings. A part of another `type` replaces the whole part."""
    result = dict(base)
    for key, value in change.items():
        old = result.get(key)
        if (
            isinstance(old, Mapping)
            and isinstance(value, Mapping)
            and value.get("type", old.get("type")) == old.get("type")
        ):
            result[key] = lay_over(old, value)
        else:
            result[key] = value
    return result

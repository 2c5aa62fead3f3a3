"""Recipes: a model, its data, its training in several sizes, and what came out when it was last run. Plain YAML.

name: codec/dac-16k
description, source: what it follows, and where its numbers come from
data: {...}         arguments of `speech-eval data prepare`
codec: {...}        of a speech LM: `recipe` and `size` of the codec to train first, and `changes` to lay over it;
                    or the `spec` of one that is there
model: {...}        configuration of the stack's model
training: {...}     configuration of its training
sizes:              smoke, cpu, reference, scale: each laid over the above, key by key
expected:           a size's recorded numbers, with tolerance, seed and hardware
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from speech_eval.errors import BadInput, UnknownName

_FOLDER = Path(__file__).parent
_Model = TypeVar("_Model", bound=BaseModel)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ExpectedNumber(_Part):
    """A recorded number and how far another run may be from it, either way, in the number's own unit."""

    value: float
    tolerance: float = Field(ge=0.0)


class Expected(_Part):
    """What a size gave when it was recorded. `metrics` maps `METRIC ID/NAME` to a number."""

    seed: int
    hardware: str
    minutes: float
    metrics: dict[str, ExpectedNumber]


class Evaluation(_Part):
    """What the harness is asked about the trained model: task, split of the prepared data (null: the task's own
    dataset), how many samples, options of the model spec."""

    task: str
    split: str | None = "held-out"
    limit: int | None = None
    options: dict[str, Any] = {}
    metrics: tuple[str, ...] = ()


class Size(_Part):
    """A recipe at one size: everything laid over and ready to be read by the stack."""

    name: str
    size: str
    data: dict[str, Any]
    codec: dict[str, Any] = {}
    model: dict[str, Any]
    training: dict[str, Any]
    evaluation: Evaluation
    expected: Expected | None = None

    @property
    def stack(self) -> str:
        return self.name.split("/")[0]

    def read(self, kind: type[_Model], values: Mapping[str, Any]) -> _Model:
        """A section of it as its stack reads it. Raises `BadInput` naming the field that cannot be used."""
        try:
            return kind.model_validate(values)
        except ValidationError as error:
            raise BadInput(f"{self.name}, {self.size}: {_first(error)}.", "See docs/training.md.") from None


def names() -> list[str]:
    """The recipes of the package."""
    return sorted(file.relative_to(_FOLDER).with_suffix("").as_posix() for file in _FOLDER.rglob("*.yaml"))


def load(name: str, size: str) -> Size:
    """A recipe by name, or one's own by path, at one size. Raises `UnknownName` for either, `BadInput` for a file that
    is no recipe."""
    file = Path(name) if name.endswith((".yaml", ".yml")) else _FOLDER / f"{name}.yaml"
    if not file.is_file() or (file.parent != Path(name).parent and name not in names()):
        raise UnknownName(f"There is no recipe named '{name}'.", f"Choose one of: {', '.join(names())}.")
    try:
        data = yaml.safe_load(file.read_text("utf-8"))
        sizes, expected = data.pop("sizes"), data.pop("expected", {}) or {}
    except (yaml.YAMLError, KeyError, AttributeError, TypeError) as error:
        raise BadInput(f"{file}: not a recipe ({error!r}).", "See docs/training.md for its parts.") from error
    if size not in sizes:
        raise UnknownName(f"The recipe '{name}' has no size '{size}'.", f"Choose one of: {', '.join(sizes)}.")
    for about in ("description", "source"):
        data.pop(about, None)
    try:
        return Size.model_validate(lay_over(data, sizes[size] or {}) | {"size": size, "expected": expected.get(size)})
    except ValidationError as error:
        raise BadInput(f"{file}: {_first(error)}.", "See docs/training.md for a recipe's parts.") from None


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"'{'.'.join(str(part) for part in first['loc'])}': {first['msg']}"


def lay_over(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `change` laid over it, key by key in mappings. A section of another `type` is replaced whole."""
    result = dict(base)
    for key, value in change.items():
        old = result.get(key)
        same_kind = isinstance(old, Mapping) and isinstance(value, Mapping)
        if same_kind and value.get("type", old.get("type")) == old.get("type"):  # type: ignore[union-attr]
            result[key] = lay_over(old, value)  # type: ignore[arg-type]
        else:
            result[key] = value
    return result

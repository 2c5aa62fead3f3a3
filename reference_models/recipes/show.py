"""What can be trained, and every key of a recipe with its meaning, type, default and value. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from speech_eval.reference_models.recipes.schema import ResolvedRecipe, names, open_recipe
from speech_eval.reference_models.recipes.stacks import stack_of
from speech_eval.reference_models.training.config import RESUME_MAY_CHANGE, Section


@dataclass(frozen=True)
class Key:
    """One key of a recipe: its dotted path, its meaning, its type in words, its default and its value. A key without a
    `default` must be given."""

    path: str
    meaning: str
    type: str
    default: Any
    value: Any
    required: bool
    resume_may_change: bool


def recipes() -> list[dict[str, Any]]:
    """One row per recipe: name, stack, sizes, minutes recorded on a CPU by size, extra to install, description."""
    rows = []
    for name in names():
        recipe, stack = open_recipe(name), stack_of(name)
        rows.append(
            {
                "name": name,
                "stack": stack.name,
                "sizes": list(recipe.sizes),
                "minutes": {size: expected.minutes for size, expected in recipe.expected.items()},
                "needs": stack.extra,
                "description": recipe.description,
                "source": recipe.source,
            }
        )
    return rows


def keys(recipe: ResolvedRecipe) -> list[Key]:
    """Every key of a recipe at one size, in the order of its sections."""
    found: list[Key] = []
    sections = {
        "data": type(recipe.data),
        **stack_of(recipe.name).sections(recipe),
        "evaluation": type(recipe.evaluation),
    }
    given = recipe.model_dump(exclude_unset=True)
    if recipe.codec is not None:
        sections = {"data": sections.pop("data"), "codec": type(recipe.codec), **sections}
    for part, section in sections.items():
        found += _keys(section, given.get(part) or {}, part)
    return found


def section_keys(section: type[Section], prefix: str = "") -> list[Key]:
    """Every key of a section with its default as the value."""
    return list(_keys(section, {}, prefix))


def _keys(section: type[Section], given: Mapping[str, Any], prefix: str) -> Iterator[Key]:
    for name, field in section.model_fields.items():
        path = f"{prefix}.{name}" if prefix else name
        default = None if field.is_required() else _plain(field.get_default(call_default_factory=True))
        value = given.get(name, default)
        inner = _section_of(field, value)
        if inner is not None and isinstance(value, Mapping):
            yield from _keys(inner, value if name in given else {**value}, path)
            continue
        if inner is not None and isinstance(value, list | tuple):
            for index, item in enumerate(value):
                yield from _keys(_variant(field, item) or inner, item, f"{path}.{index}")
            continue
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        yield Key(
            path,
            field.description or "",
            type_words(field.annotation),
            default,
            _plain(value),
            field.is_required(),
            bool(extra.get(RESUME_MAY_CHANGE)),
        )


def _plain(value: Any) -> Any:
    if isinstance(value, Section):
        return value.model_dump(mode="json")
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _variants(annotation: Any) -> list[type[Section]]:
    """The sections that occur in a type."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    return [section for inner in get_args(annotation) for section in _variants(inner)]


def _section_of(field: FieldInfo, value: Any) -> type[Section] | None:
    return _variant(field, value) if isinstance(value, Mapping) else next(iter(_variants(field.annotation)), None)


def _variant(field: FieldInfo, value: Mapping[str, Any]) -> type[Section] | None:
    """The section that reads a value: the one whose `type` it states, or the first."""
    variants = _variants(field.annotation)
    for variant in variants:
        if "type" in variant.model_fields and variant.model_fields["type"].default == value.get("type"):
            return variant
    return variants[0] if variants else None


def type_words(annotation: Any) -> str:
    """A type in words: `float > 0`, `snake or elu`, `list of integers`."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return type_words(arguments[0])
    if origin is Literal:
        return " or ".join(map(str, arguments))
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys("null" if item is NoneType else type_words(item) for item in arguments))
    if origin is tuple:
        inner = [item for item in arguments if item is not Ellipsis]
        return f"list of {type_words(inner[0])}" if Ellipsis in arguments else f"{len(inner)} of {type_words(inner[0])}"
    if origin is dict:
        return f"{type_words(arguments[1])} by name"
    if isinstance(annotation, type) and issubclass(annotation, Section):
        kind = annotation.model_fields.get("type")
        return f"section {kind.default}" if kind is not None else "section"
    return {int: "integer", float: "number", str: "text", bool: "true or false"}.get(annotation, "any")

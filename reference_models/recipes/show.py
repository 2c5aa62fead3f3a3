"""What can be trained, and every key of a recipe with its meaning, type, default and value. Imports no torch."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from speech_eval.reference_models.recipes.schema import ResolvedRecipe, names, open_recipe
from speech_eval.reference_models.recipes.stacks import stack_of
from speech_eval.reference_models.training.config import Section, marked, sections_in

_WIDTH = 100


@dataclass(frozen=True)
class Key:
    """One key of a recipe: its dotted path, its value, its default, its type in words and its meaning. A `required` key
    has no default; `resume_may_change` says that `train --resume` accepts another value."""

    path: str
    value: Any
    default: Any
    type: str
    meaning: str
    required: bool
    resume_may_change: bool


def recipes() -> list[dict[str, Any]]:
    """One row per recipe: name, stack, sizes, recorded CPU minutes by size, the extra to install, what it trains."""
    rows = []
    for name in names():
        recipe, stack = open_recipe(name), stack_of(name)
        rows.append(
            {
                "name": name,
                "stack": stack.name,
                "sizes": list(recipe.sizes),
                "minutes": {size: expected.minutes for size, expected in recipe.expected.items()},
                "extra": stack.extra,
                "description": recipe.description,
                "source": recipe.source,
            }
        )
    return rows


def short(row: Mapping[str, Any]) -> dict[str, str]:
    """A row of `recipes` as a table shows it."""
    return {
        "name": row["name"],
        "stack": row["stack"],
        "sizes": ", ".join(row["sizes"]),
        "extra": row["extra"],
        "CPU minutes": ", ".join(f"{size} {minutes:g}" for size, minutes in row["minutes"].items()),
    }


def describe(name: str, size: str) -> dict[str, Any]:
    """A recipe at one size as plain data: its facts and every key."""
    recipe = open_recipe(name)
    resolved = recipe.at(size)
    return {
        "name": recipe.name,
        "size": size,
        "sizes": list(recipe.sizes),
        "description": recipe.description,
        "source": recipe.source,
        "expected": None if resolved.expected is None else resolved.expected.model_dump(mode="json"),
        "keys": [asdict(key) for key in keys(resolved)],
    }


def as_text(found: Mapping[str, Any]) -> Iterator[str]:
    """The lines that `speech-eval recipe show` prints; `*` marks values that differ from the default."""
    yield f"{found['name']}, size {found['size']} (sizes: {', '.join(found['sizes'])})"
    yield from textwrap.wrap(found["description"], _WIDTH)
    yield from textwrap.wrap(f"Source: {found['source']}", _WIDTH) if found["source"] else []
    if found["expected"]:
        yield f"Recorded in {found['expected']['minutes']:g} minutes on {found['expected']['hardware']}"
    yield f"Train it: speech-eval train {found['name']} --size {found['size']} --output FOLDER"
    part = ""
    for key in found["keys"]:
        if (head := key["path"].split(".")[0]) != part:
            part = head
            yield from ("", part)
        changed = "*" if key["required"] or key["value"] != key["default"] else " "
        origin = "must be given" if key["required"] else f"default {in_words(key['default'])}"
        yield f"{changed} {key['path']} = {in_words(key['value'])}   ({key['type']}; {origin})"
        yield from textwrap.wrap(key["meaning"], _WIDTH, initial_indent="      ", subsequent_indent="      ")


def in_words(value: Any) -> str:
    """A value as YAML would have it on one line."""
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)


def keys(recipe: ResolvedRecipe) -> list[Key]:
    """Every key of a recipe at one size, part by part. Raises `BadInput` naming one that cannot be used."""
    recipe.check()
    parts: dict[str, type[Section]] = {"data": type(recipe.data)}
    if recipe.codec is not None:
        parts["codec"] = type(recipe.codec)
    parts |= {**stack_of(recipe.name).sections(recipe), "evaluation": type(recipe.evaluation)}
    given = recipe.model_dump(exclude_unset=True)
    return [key for part, section in parts.items() for key in section_keys(section, given.get(part) or {}, part)]


def section_keys(
    section: type[Section], given: Mapping[str, Any], prefix: str, siblings: list[type[Section]] | None = None
) -> Iterator[Key]:
    """Every key of a section with the values of `given`, or the defaults. `siblings` are the sections that could be in
    its place, one per `type`."""
    for name, field in section.model_fields.items():
        if marked(field, "filled_in"):
            continue
        path = f"{prefix}.{name}"
        default = None if field.is_required() else plain(field.get_default(call_default_factory=True))
        value = plain(given.get(name, default))
        inner = sections_in(field.annotation)
        if inner and isinstance(value, Mapping):
            yield from section_keys(_chosen(inner, value), value, path, inner)
        elif inner and isinstance(value, list) and value:
            for index, item in enumerate(value):
                yield from section_keys(_chosen(inner, item), item, f"{path}.{index}", inner)
        else:
            words = " or ".join(map(kind_of, siblings)) if name == "type" and siblings else type_words(field.annotation)
            resume, required = marked(field, "resume_may_change"), field.is_required()
            yield Key(path, value, default, words, meaning_of(field), required, resume)


def meaning_of(field: FieldInfo) -> str:
    """What a key means."""
    return field.description or ""


def kind_of(section: type[Section]) -> str:
    """The `type` that a section states; empty if it states none."""
    return str(section.model_fields["type"].default) if "type" in section.model_fields else ""


def _chosen(sections: list[type[Section]], value: Mapping[str, Any]) -> type[Section]:
    return next((section for section in sections if kind_of(section) == value.get("type")), sections[0])


def plain(value: Any) -> Any:
    """A default as plain data."""
    if isinstance(value, Section):
        return value.model_dump(mode="json")
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def type_words(annotation: Any) -> str:
    """A type in words: `number or null`, `snake or elu`, `list of integers`."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return type_words(arguments[0])
    if origin is Literal:
        return " or ".join(map(str, arguments))
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys("null" if item is NoneType else type_words(item) for item in arguments))
    if origin is tuple:
        many = Ellipsis in arguments
        return f"{'list of' if many else len(arguments)} {_plural(type_words(arguments[0]))}"
    if origin is dict:
        return f"{_plural(type_words(arguments[1]).removesuffix(' or null'))} by name"
    if sections_in(annotation):
        return "section"
    return {int: "integer", float: "number", str: "text", bool: "true or false", Any: "value"}[annotation]


def _plural(words: str) -> str:
    return words if words.startswith("list") or words[0].isdigit() else f"{words}s"

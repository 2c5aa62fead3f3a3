"""The tables of docs/recipes.md, from the sections themselves: `python -m speech_eval.reference_models.recipes.document
docs/recipes.md` renews them in place."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

from speech_eval.reference_models.recipes.schema import Recipe, names, open_recipe
from speech_eval.reference_models.recipes.show import in_words, kind_of, meaning_of, plain, type_words
from speech_eval.reference_models.recipes.stacks import stacks
from speech_eval.reference_models.training.config import Section, marked, sections_in

BEGIN, END = "<!-- tables: begin -->", "<!-- tables: end -->"


def document(page: str) -> str:
    """The page with its tables renewed."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{tables()}\n{END}{after}"


def tables() -> str:
    """A table per section: the parts of every recipe, then those of each stack."""
    seen: dict[type[Section], str] = {}
    lines = ["## The parts of a recipe", "", *_table(Recipe)]
    for part, field in Recipe.model_fields.items():
        for section in sections_in(field.annotation):
            lines += _section(section, part, 3, seen)
    for stack in stacks().values():
        lines += [f"## The stack `{stack.name}`", "", stack.summary, ""]
        parts = _parts(stack.name)
        for part, section in parts:
            several = sum(other == part for other, _ in parts) > 1
            lines += _section(section, part, 3, seen, section.__name__ if several else "")
    return "\n".join(lines)


def _parts(stack: str) -> list[tuple[str, type[Section]]]:
    """The sections that read the parts of a stack's recipes, each once."""
    found: dict[tuple[str, type[Section]], None] = {}
    for name in names():
        if name.startswith(f"{stack}/"):
            recipe = open_recipe(name)
            sections = stacks()[stack].sections(recipe.at(next(iter(recipe.sizes))))
            found |= dict.fromkeys(sections.items())
    return sorted(found, key=lambda item: item[0])


def _section(
    section: type[Section], path: str, level: int, seen: dict[type[Section], str], name: str = ""
) -> Iterator[str]:
    """A section and those inside it. One that is documented already is referred to."""
    kind = kind_of(section)
    title = f"`{path}`" + (f", type `{kind}`" if kind else "") + (f" ({name})" if name else "")
    if section in seen:
        yield from (f"{title}: as {seen[section]}.", "")
        return
    seen[section] = title
    yield from (f"{'#' * level} {title}", "", inspect.cleandoc(section.__doc__ or ""), "", *_table(section))
    for name, field in section.model_fields.items():
        if not marked(field, "filled_in"):
            for inner in sections_in(field.annotation):
                yield from _section(inner, f"{path}.{name}", min(level + 1, 5), seen)


def _table(section: type[Section]) -> Iterator[str]:
    yield from ("| key | type | default | meaning |", "|---|---|---|---|")
    for name, field in section.model_fields.items():
        if marked(field, "filled_in"):
            continue
        default = plain(field.get_default(call_default_factory=True))
        nested = isinstance(default, dict) and sections_in(field.annotation)
        words = "required" if field.is_required() else "see its table" if nested else in_words(default)
        note = " `--resume` accepts another value." if marked(field, "resume_may_change") else ""
        cells = (f"`{name}`", type_words(field.annotation), words, meaning_of(field) + note)
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
    yield ""


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(document(page.read_text("utf-8")), "utf-8")

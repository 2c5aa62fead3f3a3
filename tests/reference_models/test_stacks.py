"""Stacks are an open set: a package with a record and an entry point is listed, shown and trained."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from speech_eval.errors import UnknownName
from speech_eval.reference_models.recipes import document, show
from speech_eval.reference_models.recipes.schema import ResolvedRecipe, load, names, open_recipe
from speech_eval.reference_models.recipes.stacks import stack_of, stacks
from speech_eval.reference_models.training.config import Section, sections_in

ROOT = Path(__file__).resolve().parents[2]
MODULE = """
from pathlib import Path

from speech_eval.reference_models.recipes.stacks import Stack, TrainOption
from speech_eval.reference_models.training.config import RunConfig, Section, knob


class Toy(Section):
    width: int = knob(4, "Width of the toy.")


def schema(recipe):
    return {"model": Toy, "training": RunConfig}


def train(recipe, data, output, *, resume, overfit, progress, say, color="grey"):
    config = recipe.read(Toy, recipe.model)
    output.mkdir(parents=True)
    (output / "toy.txt").write_text(f"{config.width} {color} {data.name}")
    return {"name": recipe.name}


STACK = Stack(
    name="toys",
    summary="Toys.",
    kind="toys",
    trainer="toy_stack:train",
    schema="toy_stack:schema",
    recipes=Path(__file__).parent / "toy_recipes",
    options=(TrainOption("color", "Color of the toy."),),
)
"""
RECIPE = """
name: toys/bear
description: A bear.
model: {width: 7}
training: {steps: 1}
evaluation: {task: asr}
sizes: {smoke: {}, large: {model: {width: 70}}}
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """An installed package outside this project: a module, its recipes, and an entry point."""
    folder = tmp_path / "site"
    (folder / "toy_recipes").mkdir(parents=True)
    (folder / "toy_stack.py").write_text(MODULE)
    (folder / "toy_recipes" / "bear.yaml").write_text(RECIPE)
    info = folder / "toys-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toys\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[speech_eval.stacks]\ntoys = toy_stack:STACK\n")
    return folder


def command(package: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(package)}
    program = "import sys; from speech_eval.cli.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", program, *words], env=environment, capture_output=True, text=True, check=False
    )


def test_a_stack_from_another_package_is_listed_shown_and_trained(package: Path, tmp_path: Path) -> None:
    listed = json.loads(command(package, "list", "recipes", "--json").stdout)["recipes"]
    (bear,) = [row for row in listed if row["name"] == "toys/bear"]
    assert (bear["stack"], bear["sizes"], bear["description"]) == ("toys", ["smoke", "large"], "A bear.")
    shown = json.loads(command(package, "recipe", "show", "toys/bear", "--size", "large", "--json").stdout)
    (width,) = [key for key in shown["keys"] if key["path"] == "model.width"]
    assert (width["value"], width["default"], width["type"]) == (70, 4, "integer") and width["meaning"]
    words = ("train", "toys/bear", "--data", str(tmp_path), "-o", str(tmp_path / "out"), "--color", "red")
    done = command(package, *words)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "toy.txt").read_text() == f"7 red {tmp_path.name}"


def test_an_option_of_one_stack_is_refused_by_another(package: Path, tmp_path: Path) -> None:
    done = command(package, "train", "toys/bear", "--data", str(tmp_path), "-o", str(tmp_path / "out"), "--force")
    assert done.returncode == 2 and "--force is an option of the stack tts, not of toys" in done.stderr
    assert "toys: Color of the toy." in command(package, "train", "--help").stdout


def test_names_are_of_a_stack_and_say_so() -> None:
    assert {name.split("/")[0] for name in names()} == set(stacks()) == {"audio_llm", "codec", "conversation", "tts"}
    for name, hint in (("dac-16k", r"Did you mean codec/dac-16k\?"), ("xyz", "See: speech-eval list recipes")):
        with pytest.raises(UnknownName, match=rf"recipes are named STACK/NAME\. {hint}"):
            open_recipe(name)
    with pytest.raises(UnknownName, match=r"after the stack that trains it\. Stacks: audio_llm, codec"):
        stack_of("mine")


# ------------------------------------------------------------------------------------------ every key


@pytest.mark.parametrize("name", names())
def test_every_key_of_every_recipe_is_explained(name: str) -> None:
    recipe = open_recipe(name)
    for size in recipe.sizes:
        keys = show.keys(recipe.at(size))
        assert [key.path for key in keys if len(key.meaning) < 5] == []
        known = {key.path for key in keys}
        assert [path for path in given(recipe.at(size)) if path not in known] == []


def given(recipe: ResolvedRecipe) -> list[str]:
    """The paths that a recipe states, down to the first value that is not a section."""
    sections = stack_of(recipe.name).sections(recipe)
    found = []
    for part in ("model", "training"):
        for key, value in getattr(recipe, part).items():
            inner = sections_in(sections[part].model_fields[key].annotation)
            if not (inner and isinstance(value, dict)):
                found.append(f"{part}.{key}")
    return found


def test_a_key_is_shown_with_its_value_default_type_and_meaning() -> None:
    keys = {key.path: key for key in show.keys(load("codec/mimi-24k", "cpu"))}
    causal = keys["model.causal"]
    assert (causal.value, causal.default, causal.type) == (True, False, "true or false")
    assert "only the past" in causal.meaning
    assert keys["model.encoder.type"].type == "conv or stft" and keys["training.steps"].required
    assert keys["training.minutes"].resume_may_change and not keys["training.seed"].resume_may_change


def test_showing_a_recipe_imports_no_torch() -> None:
    code = (
        "import sys; from speech_eval.reference_models.recipes import show; "
        "[show.describe(name, 'smoke') for name in show.names()]; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_page_of_recipes_has_the_tables_of_today() -> None:
    page = (ROOT / "docs" / "recipes.md").read_text("utf-8")
    assert document.document(page) == page, (
        "renew it: python -m speech_eval.reference_models.recipes.document docs/recipes.md"
    )


def test_types_are_told_in_words() -> None:
    class Example(Section):
        numbers: tuple[float, ...] = ()
        pair: tuple[int, int] = (1, 2)
        some: dict[str, float] | None = None

    words = [show.type_words(field.annotation) for field in Example.model_fields.values()]
    assert words == ["list of numbers", "2 integers", "numbers by name or null"]

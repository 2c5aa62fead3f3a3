"""The source itself: formatted, linted, typed, light to import."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import speech_eval

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("harness", "tasks", "reference_models", "leaderboard", "workers")
HEAVY = ("torch", "transformers", "onnxruntime", "soundfile", "scipy", "httpx", "av", "faster_whisper", "hibari")


@pytest.mark.parametrize(
    "command",
    [["ruff", "check", "."], ["ruff", "format", "--check", "."], pytest.param(["mypy"], marks=pytest.mark.slow)],
    ids=" ".join,
)
def test_source_passes(command: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_file_outgrows_500_lines() -> None:
    long = [p for package in PACKAGES for p in (ROOT / package).rglob("*.py") if len(p.read_text().splitlines()) > 500]
    assert not long


@pytest.mark.parametrize("words", [["--help"], ["list", "models", "--json"], ["list", "tasks"], ["run", "--help"]])
def test_light_commands_import_nothing_heavy(words: list[str]) -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from speech_eval.cli.main import app; "
        f"result = CliRunner().invoke(app, {words!r}); assert result.exit_code == 0, result.output; "
        f"print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_tests_that_a_quick_round_leaves_out_exist() -> None:
    for line in (ROOT / "tests/slow.txt").read_text("utf-8").split():
        file, name = line.split("::", 1)
        assert f"def {name.rpartition('::')[2]}(" in (ROOT / "tests" / file).read_text("utf-8"), line


def test_public_names_load() -> None:
    for name in speech_eval.__all__:
        assert getattr(speech_eval, name) is not None


def test_public_names_are_typed() -> None:
    """What type checkers read and what is loaded at run time are the same names from the same modules."""
    imports = [
        node
        for node in ast.walk(ast.parse(Path(speech_eval.__file__).read_text("utf-8")))
        if isinstance(node, ast.ImportFrom)
    ]
    typed = {alias.name: node.module for node in imports if "speech_eval" in str(node.module) for alias in node.names}
    assert typed == speech_eval._PUBLIC

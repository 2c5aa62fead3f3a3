"""The source itself: formatted, linted, typed, layered, light to import."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("harness", "tasks", "reference_models", "leaderboard")
# Who may import whom; arrows only point down.
ALLOWED = {
    "harness": {"harness"},
    "reference_models": {"reference_models", "harness"},
    "tasks": {"tasks", "reference_models", "harness"},
    "leaderboard": {"leaderboard", "harness"},
}
# What the leaderboard may see of the harness: records and their presentation, never models.
LEADERBOARD_MAY = {
    "harness",
    "harness.types",
    "harness.errors",
    "harness.calibration",
    "harness.paired",
    "harness.turn_policy",
    "harness.report",
    "harness.datasets",
    "harness.store",
    "harness.progress",
    "harness.audio",
}
HEAVY = ("torch", "transformers", "onnxruntime", "soundfile", "scipy", "httpx", "av", "faster_whisper", "hibari")


@pytest.mark.parametrize(
    "command", [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]], ids=" ".join
)
def test_source_passes(command: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _imports(path: Path, top_level_only: bool = False) -> set[str]:
    tree = ast.parse(path.read_text("utf-8"))
    nodes = tree.body if top_level_only else ast.walk(tree)
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_point_down(package: str) -> None:
    for path in (ROOT / package).rglob("*.py"):
        ours = {name.split(".")[0] for name in _imports(path)} & set(PACKAGES)
        assert ours <= ALLOWED[package], f"{path.relative_to(ROOT)} imports {ours - ALLOWED[package]}"


def test_leaderboard_reads_records_and_never_models() -> None:
    modules = {f"harness.{path.stem}" for path in (ROOT / "harness").glob("*.py")}
    for path in (ROOT / "leaderboard").rglob("*.py"):
        used = {name for name in _imports(path) if name in modules}
        assert used <= LEADERBOARD_MAY, f"{path.relative_to(ROOT)} imports {used - LEADERBOARD_MAY}"


def test_no_file_outgrows_500_lines() -> None:
    long = [p for package in PACKAGES for p in (ROOT / package).rglob("*.py") if len(p.read_text().splitlines()) > 500]
    assert not long


@pytest.mark.parametrize("words", [["--help"], ["list", "models", "--json"], ["list", "tasks"], ["run", "--help"]])
def test_light_commands_import_nothing_heavy(words: list[str]) -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from harness.cli import app; "
        f"result = CliRunner().invoke(app, {words!r}); assert result.exit_code == 0, result.output; "
        f"print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_public_names_load() -> None:
    import harness

    for name in harness.__all__:
        assert getattr(harness, name) is not None

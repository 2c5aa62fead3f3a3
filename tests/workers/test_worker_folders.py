"""The shipped workers: short, described, pinned, listed, and copied by a command."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from speech_eval.adapters.catalog import MODELS
from speech_eval.adapters.remote.worker.folder import LIBRARY, read_folder
from speech_eval.api import listing
from speech_eval.cli.main import app
from speech_eval.engine.task import named
from speech_eval.workers.catalog import HERE

FOLDERS = sorted(path.parent for path in HERE.glob("*/worker.toml"))
LIBRARY_FILE = LIBRARY / "speech_eval_worker.py"


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_worker_is_short_and_its_page_tells_how_it_is_made(folder: Path) -> None:
    worker, page = read_folder(folder), (folder / "README.md").read_text("utf-8")
    assert len(worker.script.read_text("utf-8").splitlines()) <= 40
    assert worker.commit in page and worker.repository.removesuffix(f"/{worker.commit}") in page
    assert len(worker.environment) == 2 and all(command in page for command in worker.environment)
    assert worker.summary and worker.source and worker.license


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_command_of_a_page_exists(folder: Path) -> None:
    (line,) = re.findall(r"speech-eval (run .*)", (folder / "README.md").read_text("utf-8"))
    _, *words = shlex.split(line)
    command = typer.main.get_command(app).commands["run"]  # type: ignore[attr-defined]
    options = dict(zip(words[::2], words[1::2], strict=True))
    assert set(options) <= {name for option in command.params for name in option.opts}
    assert options["--model"].split(",")[0] == f"worker:{folder.name}"
    assert named(options["--tasks"].split(","))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_worker_is_listed_with_its_command(folder: Path) -> None:
    row = next(row for row in listing.rows("models") if row["name"] == f"{folder.name} (worker)")
    assert row["spec"] == f"worker:{folder.name}" and row["interfaces"] == list(read_folder(folder).interfaces)
    assert MODELS.get(row["name"]).scheme.endswith("folder:scheme")


def test_the_library_is_small_and_runs_on_old_pythons_without_packages() -> None:
    text = LIBRARY_FILE.read_text("utf-8")
    tree = ast.parse(text, feature_version=(3, 8))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert len(text.splitlines()) <= 100 and imported <= sys.stdlib_module_names


def command(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "speech_eval.workers", *words], cwd=cwd, capture_output=True, text=True, check=False
    )


def test_a_worker_is_copied_with_the_library(tmp_path: Path) -> None:
    assert all(folder.name in command(cwd=tmp_path).stdout for folder in FOLDERS)
    said = command("moshi", "mine", cwd=tmp_path).stdout
    assert all(line in said for line in ("cd mine", *read_folder(HERE / "moshi").environment))
    assert {path.name for path in (tmp_path / "mine").iterdir()} == {
        "README.md", "worker.py", "worker.toml", "speech_eval_worker.py"
    }  # fmt: skip
    assert (tmp_path / "mine" / "speech_eval_worker.py").read_bytes() == LIBRARY_FILE.read_bytes()


def test_the_library_is_copied_alone(tmp_path: Path) -> None:
    command(LIBRARY_FILE.name, cwd=tmp_path)
    assert (tmp_path / LIBRARY_FILE.name).read_bytes() == LIBRARY_FILE.read_bytes()


@pytest.mark.parametrize(("words", "message"), [(["nobody"], "No worker is named"), (["moshi", "."], ". exists")])
def test_what_cannot_be_copied_is_named(words: list[str], message: str, tmp_path: Path) -> None:
    done = command(*words, cwd=tmp_path)
    assert done.returncode == 1 and message in done.stderr and "Traceback" not in done.stderr

"""Who may import whom inside reference_models: stacks stand on the shared rooms, and on nothing of each other."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import speech_eval.reference_models

ROOT = Path(speech_eval.reference_models.__file__).parent
PACKAGE = "speech_eval.reference_models."
# What each shared room may import; stacks may import all of them, and no other stack but what STANDS_ON names.
SHARED = {
    "training": set(),
    "speech_lm": {"training"},
    "data": {"training", "speech_lm"},
    "recipes": {"training", "data"},
}
# The detokenizer is the other half of a codec, built of the same layers; contextual speech is a speech LM over turns.
STANDS_ON = {"conversation": {"codec", "tts"}}
LIGHT = ("recipes/stacks.py", "recipes/schema.py", "recipes/show.py", "*/stack.py", "catalog.py")


def imports(path: Path) -> set[str]:
    """Names below `speech_eval.reference_models` that a file imports, wherever the import is."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.removeprefix(PACKAGE).split(".")[0] for name in found if name.startswith(PACKAGE)}


FILES = sorted(path for path in ROOT.rglob("*.py") if path.parent != ROOT)
STACKS = {path.relative_to(ROOT).parts[0] for path in FILES} - set(SHARED)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_room_imports_only_what_it_stands_on(path: Path) -> None:
    room = path.relative_to(ROOT).parts[0]
    below = SHARED[room] if room in SHARED else set(SHARED) | STANDS_ON.get(room, set())
    rooms = imports(path) & (set(SHARED) | STACKS)
    assert rooms <= below | {room}, sorted(rooms - below - {room})


def test_what_the_command_line_reads_imports_no_torch_at_the_top() -> None:
    for pattern in LIGHT:
        for path in ROOT.glob(pattern):
            top = [
                node
                for node in ast.parse(path.read_text("utf-8")).body
                if isinstance(node, ast.Import | ast.ImportFrom)
            ]
            names = {alias.name for node in top for alias in node.names} | {
                getattr(node, "module", None) for node in top
            }
            assert not {"torch", "transformers"} & {str(name).split(".")[0] for name in names}, path

"""Who may import whom: a module imports from its own layer or a lower one, never from a higher one."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Layers from the bottom up; each name is a module or package of `speech_eval`.
LAYERS = (
    ("errors", "progress", "audio", "environment", "cache", "records", "safety"),
    ("registry", "statistics", "text", "signal", "assets"),
    ("datasets", "adapters", "testing"),
    ("metrics",),
    ("engine",),
    ("analysis", "gate"),
    ("api",),
    ("cli", "__main__"),
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
# Rooms that reach the harness from outside, with the highest layer that each may import and the other rooms.
GUESTS = {
    "tasks": ("engine", ()),
    "reference_models": ("engine", ()),
    "leaderboard": ("gate", ()),
    "workers": ("adapters", ()),
}


def _modules() -> list[tuple[str, Path]]:
    """Each module of the project as (dotted name below `speech_eval`, file)."""
    found = []
    for folder in ("harness", *GUESTS):
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            parts = parts if folder == "harness" else (folder, *parts)
            found.append((".".join(part for part in parts if part != "__init__"), path))
    return found


def _imports(path: Path) -> set[str]:
    """First names below `speech_eval` that a file imports, wherever the import stands."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module] if node.module != "speech_eval" else [f"speech_eval.{a.name}" for a in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("speech_eval.")}
    return {name for name in found if name in LEVEL or name in GUESTS}


MODULES = _modules()


@pytest.mark.parametrize(("name", "path"), [m for m in MODULES if m[0]], ids=[name for name, _ in MODULES if name])
def test_a_module_imports_from_no_higher_layer(name: str, path: Path) -> None:
    room = name.split(".")[0]
    highest, friends = GUESTS.get(room, (room, ()))
    allowed = {other for other, level in LEVEL.items() if level <= LEVEL[highest]} | {room, *friends}
    assert _imports(path) <= allowed, f"{name} imports {sorted(_imports(path) - allowed)}"


def test_every_room_has_a_layer() -> None:
    rooms = {name.split(".")[0] for name, _ in MODULES if name}
    assert rooms - set(GUESTS) - set(LEVEL) == set()


def test_the_root_holds_at_most_eight_modules() -> None:
    modules = [path.name for path in (ROOT / "harness").glob("*.py") if path.name != "__init__.py"]
    assert len(modules) <= 8, modules


def test_no_import_goes_around_the_package() -> None:
    """The folders are reached as `speech_eval` alone, so that nobody else's `tasks` or `harness` stands in the way."""
    for _, path in MODULES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            # `statistics` is a module of the standard library whose name a user's own file may take.
            assert not {name.split(".")[0] for name in names} & {"harness", "statistics", *GUESTS}, path


def test_the_package_links_to_every_room() -> None:
    links = {link.name: link.resolve() for link in (ROOT / "src" / "speech_eval").iterdir() if link.is_symlink()}
    rooms = {path.name: path for path in (ROOT / "harness").iterdir() if path.name != "__pycache__"}
    rooms |= {name: ROOT / name for name in GUESTS}
    assert links == rooms
    others = {path.name for path in (ROOT / "src" / "speech_eval").iterdir() if not path.is_symlink()}
    assert others <= {"__pycache__"}

"""The user's own code as part of what identifies a model: the files behind an adapter class and their digests."""

from __future__ import annotations

import ast
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from speech_eval.cache import file_sha256

_OURS = Path(__file__).resolve().parents[1]
_INSTALLED = ("site-packages", "dist-packages")


def code_digests(thing: type) -> dict[str, str]:
    """sha256 of each file of a class that is the user's own code, by its path relative to the first one's folder.

    The files are that of the class and, of the modules that its code imports at any depth, those in its folder or in
    another folder of `sys.path` that is not part of an installation. Empty for classes of this project, of installed
    packages and of notebooks, which have no file that says what they do. A class whose code is elsewhere names the
    files in `code_files`.
    """
    if named := getattr(thing, "code_files", None):
        return {path.name: file_sha256(path) for path in sorted(named)}
    module = sys.modules.get(thing.__module__)
    file = getattr(module, "__file__", None)
    if file is None or not _own(start := Path(file).resolve()):
        return {}
    return {_relative(path, start.parent): file_sha256(path) for path in sorted(_closure(start))}


def _own(path: Path) -> bool:
    """Whether a file is the user's: neither this project's nor installed."""
    standard = Path(sysconfig.get_path("stdlib")).resolve()
    return (
        path.is_file()
        and path.suffix == ".py"
        and not any(name in path.parts for name in _INSTALLED)
        and not path.is_relative_to(_OURS)
        and not path.is_relative_to(standard)
    )


def _relative(path: Path, folder: Path) -> str:
    """A path seen from a folder, with `..` where it is outside."""
    up = 0
    while not path.is_relative_to(folder) and folder != folder.parent:
        folder, up = folder.parent, up + 1
    return "../" * up + path.relative_to(folder).as_posix()


def _closure(start: Path) -> set[Path]:
    """A file and all files of the user's that it imports, and so on."""
    roots = [start.parent, *(Path(entry or ".").resolve() for entry in sys.path)]
    roots = [root for root in dict.fromkeys(roots) if not any(name in root.parts for name in _INSTALLED)]
    found, waiting = set(), [start]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += [file for file in _imported(path, roots) if file not in found]
    return found


def _imported(path: Path, roots: list[Path]) -> Iterator[Path]:
    """The files of the user's that a file imports, wherever in it the import is."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        for level, name in _names(node):
            bases = roots if level == 0 else [_above(path, level)]
            for base in bases:
                if files := [file for file in _files(base, name) if _own(file)]:
                    yield from files
                    break


def _names(node: ast.AST) -> Iterator[tuple[int, str]]:
    """The modules that a statement may import, as (level of a relative import, dotted name)."""
    if isinstance(node, ast.Import):
        yield from ((0, alias.name) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        # `from package import name` imports the package, and a module if `name` is one.
        prefix = f"{node.module}." if node.module else ""
        yield from ((node.level, f"{prefix}{alias.name}") for alias in node.names)
    elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called in ("import_module", "__import__") and isinstance(node.args[0].value, str):
            yield 0, node.args[0].value


def _above(path: Path, level: int) -> Path:
    return path.parents[level - 1]


def _files(base: Path, name: str) -> list[Path]:
    """The files below `base` that importing a dotted name executes: packages on the way, and the module."""
    files, folder = [], base
    for part in name.split("."):
        for candidate in (folder / f"{part}.py", folder / part / "__init__.py"):
            if candidate.is_file():
                files.append(candidate.resolve())
        folder = folder / part
    return files

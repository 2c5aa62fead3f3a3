"""Every command and option that a message, a help text, a docstring or a page names exists."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from speech_eval.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [p for room in ("harness", "tasks", "reference_models", "leaderboard") for p in (ROOT / room).rglob("*.py")]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
# Options of other programs that messages and pages name.
FOREIGN = {
    *("--force-reinstall", "--no-deps", "--constraint", "--editable"),  # pip
    *("--untracked-files", "--porcelain"),  # git
    *("--query-gpu", "--format"),  # nvidia-smi
    *("--no-python", "--nproc-per-node"),  # torchrun
    "--no-preserve",  # cp
    "--omni",  # vllm
    "--without-pip",  # venv
    "--voice",  # hibari
    "--teacher",  # the stack that docs/recipes.md writes
}
# A command in a text, not a sentence about the project: at the start of a line, in backticks, or after such a word.
COMMAND = re.compile(r"(?:^\s*|[`(]|: +|\b(?:with|use|run|by) )speech-eval((?: +[a-z][a-z-]*)+)", re.MULTILINE | re.I)
SCRIPT = re.compile(r"`python (benchmarks/\w+\.py)")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")


def _commands(command: Any, path: str = "") -> Iterator[tuple[str, set[str]]]:
    """Each command as (path, its options)."""
    yield path, {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
    for name, inner in getattr(command, "commands", {}).items():
        yield from _commands(inner, f"{path} {name}".strip())


COMMANDS = dict(_commands(typer.main.get_command(app)))
GROUPS = {path.rpartition(" ")[0] for path in COMMANDS if " " in path}
OPTIONS = set().union(*COMMANDS.values(), {"--help"})


def _texts(source: Path) -> Iterator[str]:
    """The texts of a module, docstrings included; what an f-string fills in is `{}`."""
    parts: set[int] = set()
    for node in ast.walk(ast.parse(source.read_text("utf-8"))):
        if isinstance(node, ast.JoinedStr):
            parts |= {id(value) for value in node.values}
            yield "".join(str(value.value) if isinstance(value, ast.Constant) else "{}" for value in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
            yield node.value


def unknown(text: str) -> list[str]:
    """The commands and options in a text that do not exist."""
    found = [option for option in OPTION.findall(text) if option not in OPTIONS | FOREIGN]
    for words in (match.split() for match in COMMAND.findall(text)):
        command = next((" ".join(words[:n]) for n in (3, 2, 1) if " ".join(words[:n]) in COMMANDS), None)
        if command is None or (command in GROUPS - {"gate"} and len(words) > len(command.split())):
            found.append(f"speech-eval {' '.join(words)}")
    return found


@pytest.mark.parametrize(
    "text",
    [
        "See: speech-eval lst models",
        "Use speech-eval data frobnicate",
        "Use speech-eval gate baseline frobnicate",
        "Pass --no-such",
    ],
)
def test_an_invented_name_is_found(text: str) -> None:
    assert unknown(text)


def test_commands_and_options_in_the_source_exist() -> None:
    wrong = {(str(path.relative_to(ROOT)), name) for path in SOURCES for text in _texts(path) for name in unknown(text)}
    assert not wrong


def test_commands_and_options_in_the_pages_exist() -> None:
    """In blocks and in backticks; prose may say that speech-eval does something."""
    code = re.compile(r"^```.*?^```$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
    wrong = {
        (path.name, name)
        for path in PAGES
        for text in code.findall(path.read_text("utf-8"))
        for name in _unknown_to_script(text)
    }
    assert not wrong


def _unknown_to_script(text: str) -> list[str]:
    """As `unknown`; of a call of a benchmark, the options that its source does not name."""
    script = SCRIPT.match(text)
    if script is None:
        return unknown(text)
    source = (ROOT / script[1]).read_text("utf-8")
    return [option for option in OPTION.findall(text) if f'"{option}"' not in source]


def test_every_command_prints_json() -> None:
    """All but `speech-eval` alone."""
    assert [path for path, options in COMMANDS.items() if path not in GROUPS and "--json" not in options] == [""]

"""The page docs/python.md: every command of the program stands there beside its Python line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

import speech_eval
from speech_eval.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "python.md").read_text("utf-8")
BLOCK = re.compile(r"^```(sh|bash|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FUNCTIONS = {
    **{"run": "evaluate", "metric": "score_records", "list": "list_models", "recipe show": "describe_recipe"},
    **{"best-of": "best_of", "gate calibrate": "calibrate", "gate selftest": "selftest"},
    **{f"gate baseline {name}": f"{name}_baseline" for name in ("save", "show", "update")},
    **{f"data {name}": f"{name}_data" for name in ("list", "fetch", "check", "prepare")},
    **{f"leaderboard {name}": f"{name}_leaderboard" for name in ("build", "serve")},
    **{f"listen {name}": f"{name}_listening_test" for name in ("build", "serve")},
    **{"listen report": "listening_report", "listen import": "import_answers", "listen power": "rater_power"},
    **{name: name for name in ("doctor", "score", "verify", "compare", "power", "gate", "report")},
    **{name: name for name in ("train", "reproduce", "export")},
}


def _program(command: Any, name: str = "") -> Iterator[str]:
    """The commands of the program, `gate calibrate` as one; `gate` is its hidden command `judge`."""
    for word, inner in getattr(command, "commands", {}).items():
        yield from _program(inner, f"{name} {word}".strip())
    if not getattr(command, "commands", {}):
        yield name.removesuffix(" judge")


def _shown(page: str) -> set[str]:
    """The commands in the shell blocks of a page."""
    lines = "".join(block for language, block in BLOCK.findall(page) if language != "python")
    words = re.findall(r"speech-eval +([a-z-]+(?: +[a-z-]+)*)", lines)
    return {
        max((name for name in FUNCTIONS if f"{said} ".startswith(f"{name} ")), key=len, default=said) for said in words
    }


@pytest.mark.parametrize("command", sorted(_program(get_command(app))))
def test_a_command_has_its_python_line(command: str) -> None:
    function = FUNCTIONS[command]
    blocks = "".join(block for language, block in BLOCK.findall(PAGE) if language == "python")
    assert command in _shown(PAGE) | {"data list"}  # as `list data`
    assert re.search(rf"\b{function}\(", blocks) and function in speech_eval.__all__

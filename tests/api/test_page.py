"""The page docs/python.md: every command of the README stands there beside its Python line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import speech_eval

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "python.md").read_text("utf-8")
BLOCK = re.compile(r"^```(sh|bash|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FUNCTIONS = {
    **{"run": "evaluate", "metric": "score_records", "list": "list_models", "gate calibrate": "calibrate"},
    **{"gate selftest": "selftest", "leaderboard build": "build_leaderboard"},
    **{name: name for name in ("doctor", "score", "verify", "compare", "gate", "report", "train", "reproduce")},
    **{
        "data fetch": "fetch_data",
        "data check": "check_data",
        "data list": "list_data",
        "export": "export",
        "recipe show": "describe_recipe",
        "data prepare": "prepare_data",
        "leaderboard serve": "serve_leaderboard",
        "best-of": "best_of",
    },
}


def _commands(text: str, *languages: str) -> set[str]:
    """The commands in the blocks of a page, `gate calibrate` as one."""
    found = set()
    for language, block in BLOCK.findall(text):
        for words in re.findall(r"speech-eval +([a-z-]+(?: +[a-z-]+)?)", block) if language in languages else ():
            first, _, second = words.partition(" ")
            found.add(words if f"{first} {second}" in FUNCTIONS else first)
    return found


@pytest.mark.parametrize("command", sorted(_commands((ROOT / "README.md").read_text("utf-8"), "sh", "bash")))
def test_a_command_of_the_readme_has_its_python_line(command: str) -> None:
    function = FUNCTIONS[command]
    blocks = "".join(block for language, block in BLOCK.findall(PAGE) if language == "python")
    assert command in _commands(PAGE, "sh") | {"data list"}
    assert re.search(rf"\b{function}\(", blocks) and function in speech_eval.__all__

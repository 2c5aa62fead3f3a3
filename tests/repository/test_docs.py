"""The documentation: its commands and code run, its links and paths exist, its site builds.

Blocks of a page (```sh, ```bash, ```python) run in order in one empty folder, as a reader would type them. A python
block whose first line is a comment with a file name is saved under that name, for the commands that name it; where none
does, it runs as well. Comments steer this:

    <!-- before                    shell commands that prepare what the page takes for granted, such as earlier runs
    ... -->
    <!-- check                     shell commands that check what the page says of the block above
    ... -->
    <!-- exit CODE -->             above a block whose last command exits with CODE, not 0
    <!-- not run: REASON -->       above a block: it is not run, but its commands and options must still exist
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from test_layers import LAYERS

import speech_eval
from speech_eval.cli.main import app
from speech_eval.records import Counts, Formula, MetricResult, Record, Results, TaskResult

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
REASONS = ("needs the network", "needs a GPU", "needs a server", "takes hours", "installs this project")
PIECE = re.compile(
    r"<!-- (?P<kind>before|check|exit|not run:)(?P<words>.*?)-->"
    r"|^```(?P<language>sh|bash|python)\b[^\n]*\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """One block of a page. `reason`: why it is not run, empty if it is. `code`: its exit code."""

    page: str
    language: str
    text: str
    reason: str = ""
    code: int = 0

    @property
    def file(self) -> str:
        """The name under which a python block is saved, empty if it runs."""
        named = re.match(r"# (\S+\.py)\n", self.text) if self.language == "python" else None
        return named[1] if named else ""

    def commands(self) -> Iterator[list[str]]:
        """The words of every `speech-eval` command of a shell block, without the command's name."""
        for line in self.text.replace("\\\n", " ").splitlines() if self.language != "python" else ():
            words = shlex.split(line, comments=True)
            if "speech-eval" in words:
                yield words[words.index("speech-eval") + 1 :]


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of a page in order, preparations among them."""
    reason, code = "", 0
    for piece in PIECE.finditer(page.read_text("utf-8")):
        if piece["kind"] == "not run:":
            reason = piece["words"].strip()
        elif piece["kind"] == "exit":
            code = int(piece["words"])
        elif piece["kind"]:
            yield Block(page.name, "sh", piece["words"])
        else:
            yield Block(page.name, piece["language"], piece["text"], reason, code)
            reason, code = "", 0


def steps(file: Path) -> Iterator[Block]:
    """The commands of a CI file: its `run` and `entry` values."""
    open_nodes = [yaml.safe_load(file.read_text("utf-8"))]
    while open_nodes:
        node = open_nodes.pop()
        if isinstance(node, dict):
            texts = [node[key] for key in ("run", "entry") if isinstance(node.get(key), str)]
            yield from (Block(file.name, "sh", text) for text in texts)
            open_nodes += node.values()
        elif isinstance(node, list):
            open_nodes += node


BLOCKS = [block for page in PAGES for block in blocks(page)]
STEPS = [step for file in sorted((ROOT / "docs" / "ci").iterdir()) for step in steps(file)]
RUNNABLE = sorted({block.page for block in BLOCKS if not block.reason})


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("page", RUNNABLE)
def test_blocks_of_a_page_run(page: str, tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    wanted = [block for block in BLOCKS if block.page == page and not block.reason]
    typed = "".join(block.text for block in wanted if block.language != "python")
    for block in wanted:
        if block.file:
            (tmp_path / block.file).parent.mkdir(exist_ok=True)
            (tmp_path / block.file).write_text(block.text, "utf-8")
            if block.file in typed:
                continue
        python = [sys.executable, *([block.file] if block.file else ["-c", block.text])]
        words = python if block.language == "python" else ["bash", "-euc", block.text]
        environment = os.environ | {"PATH": path, "COLUMNS": "200", "SUPPORT": str(ROOT / "tests" / "support")}
        done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == block.code, f"{block.text}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"


@pytest.mark.parametrize("block", [b for b in (*BLOCKS, *STEPS) if list(b.commands())], ids=lambda block: block.page)
def test_commands_and_options_exist(block: Block) -> None:
    for words in block.commands():
        command: Any = typer.main.get_command(app)
        while (inner := getattr(command, "commands", {})) and words and not words[0].startswith("-"):
            # `gate RUN` means `gate judge RUN`.
            name, rest = (words[0], words[1:]) if words[0] in inner else ("judge", words)
            assert name in inner, f"speech-eval has no command {words[0]}: {words}"
            command, words = inner[name], rest
        options = {name for option in command.params for name in (*option.opts, *option.secondary_opts)} | {"--help"}
        unknown = [word for word in words if word.startswith("-") and word.split("=")[0] not in options]
        assert not unknown, f"{command.name} has no option {unknown}: {words}"


def test_a_block_that_is_not_run_says_a_reason_from_the_list() -> None:
    unknown = {f"{block.page}: {block.reason}" for block in BLOCKS if block.reason and block.reason not in REASONS}
    assert not unknown, f"{unknown}; reasons are {REASONS}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_exist(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)|<img[^>]+src=\"([^\"]+)\"", page.read_text("utf-8"))
    local = [target for pair in targets for target in pair if target and not target.startswith("http")]
    assert [target for target in local if not (page.parent / target).exists()] == []


def test_paths_that_the_architecture_names_exist() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    named = re.findall(r"`((?:harness|tasks|reference_models|leaderboard|tests|docs|benchmarks|src)/[\w./-]*)`", text)
    for row in re.findall(r"^\| `([\w/-]+/)` \|(.*)$", text, re.MULTILINE):
        named += [row[0] + file for file in re.findall(r"`(\w+\.py)`", row[1])]
    assert len(named) > 30
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_the_architecture_shows_the_layers() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    shown = dict(re.findall(r"^\| (\d) \| (.*) \|$", text, re.MULTILINE))
    assert {number: set(re.findall(r"`(\w+)`", names)) for number, names in shown.items()} == {
        str(number): set(names) for number, names in enumerate(LAYERS)
    }


def test_the_architecture_names_every_folder() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    rooms = [f"{name}/" for name in ("tasks", "leaderboard", "tests", "docs", "benchmarks", "src")]
    for folder in ("harness", "reference_models"):
        inside = [path for path in (ROOT / folder).iterdir() if path.is_dir() and any(path.glob("**/*.*"))]
        rooms += [f"{folder}/{path.name}/" for path in inside if path.name != "__pycache__"]
    assert [room for room in rooms if f"`{room}" not in text] == []


@pytest.mark.parametrize(
    ("row", "record"),
    [("file", Results), ("task", TaskResult), ("`counts`", Counts), ("metric", MetricResult), ("`formula`", Formula)],
)
def test_the_fields_of_results_are_documented(row: str, record: type[Record]) -> None:
    text = (ROOT / "docs" / "run-directory.md").read_text("utf-8")
    (fields,) = re.findall(rf"^\| {row} \| (.*) \|$", text, re.MULTILINE)
    assert sorted(re.findall(r"`(\w+)`", fields)) == sorted(record.model_fields)


def test_the_api_page_shows_every_public_name() -> None:
    shown = re.findall(r"^::: speech_eval\.(\w+)$", (ROOT / "docs" / "api.md").read_text("utf-8"), re.MULTILINE)
    assert sorted(shown) == sorted(name for name in speech_eval.__all__ if name != "__version__")


def test_every_page_is_in_the_menu_of_the_site() -> None:
    menu = str(yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))["nav"])
    assert [page.name for page in (ROOT / "docs").glob("*.md") if f"'{page.name}'" not in menu] == []


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = {path.name for path in tmp_path.glob("*.html")}
    assert {f"{page.stem}.html" for page in (ROOT / "docs").glob("*.md")} <= pages
    loaded = re.findall(
        r"<(?:script|img|link rel=\"stylesheet\")[^>]+(?:src|href)=\"(https?://[^\"]+)",
        (tmp_path / "api.html").read_text("utf-8"),
    )
    assert loaded == [] and "SpeechRecognizer" in (tmp_path / "api.html").read_text("utf-8")


def test_ci_runs_the_test_command_of_the_readme() -> None:
    command = (ROOT / ".ci" / "run").read_text("utf-8").splitlines()[-1]
    assert command == "make test" and any(command in block.text for block in BLOCKS if block.page == "README.md")

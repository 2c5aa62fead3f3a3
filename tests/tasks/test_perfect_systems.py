"""The oracle on every registered task, through the command line: a perfect system scores perfectly."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.task_worlds import MODELS, World, judge, perfect
from typer.testing import CliRunner

from speech_eval import load_run
from speech_eval.cli.main import app
from speech_eval.engine.task import TASKS

pytest.importorskip("pesq")
pytest.importorskip("torch")


@pytest.fixture(scope="module", autouse=True)
def judged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with judge(tmp_path_factory.mktemp("replies")):
        yield


@pytest.mark.parametrize("task", TASKS.names())
def test_the_oracle_is_perfect_on_every_task(task: str, tmp_path: Path) -> None:
    world = World.of(task, TASKS.get(task)().interfaces[0], tmp_path / "data")
    # No language model learns 16-bit samples in a test, so a codec that is easy to learn takes the oracle's place.
    model = f"{MODELS}:{world.model}" if world.learns else "oracle"
    words = ["run", "--model", model, "--tasks", task, "--data", str(world.folder), "--workers", "1"]
    words += ["--metrics", ",".join(world.metrics), "-o", str(tmp_path / "run")]
    if world.task.recognizer:
        words += ["--recognizer", f"{MODELS}:Ear,data={world.folder}"]
    with world.small():
        done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    for result in load_run(tmp_path / "run").results.tasks:
        assert (result.counts.ok, result.counts.expected) == (4, 4)
        perfect(result, learns=world.learns)

"""Random damage to folders of strangers: every command answers or says one line, in bounded time, and nothing outside
changes."""

from __future__ import annotations

import shutil
from contextlib import nullcontext, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from support.hostile_runs import Tally, try_mutation
from support.hostile_worlds import WORLDS

from speech_eval.errors import BadInput


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: world.make(tmp_path_factory.mktemp(name)) for name, world in WORLDS.items()}


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "scratch"


@settings(
    max_examples=24,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],  # a seed has no smaller form
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(seed=st.integers(0, 2**32))
def test_damage_is_answered_or_refused_in_one_line(folders: dict[str, Path], scratch: Path, seed: int) -> None:
    name, tally = [*WORLDS][seed % len(WORLDS)], Tally()
    try_mutation(seed, folders[name], scratch, tally, WORLDS[name].commands)
    assert (tally.tracebacks, tally.hangs, tally.changed) == ([], [], []) and tally.commands > 4


@pytest.mark.parametrize("name", WORLDS)
def test_a_sound_folder_is_answered_by_every_command(folders: dict[str, Path], name: str, tmp_path: Path) -> None:
    shutil.copytree(folders[name], tmp_path / "copy")
    for command, give in WORLDS[name].commands(folders[name], tmp_path / "scratch").items():
        # not every run has what every format shows
        with suppress(BadInput) if command.startswith("report --format") else nullcontext():
            give(tmp_path / "copy")

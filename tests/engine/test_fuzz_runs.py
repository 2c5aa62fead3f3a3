"""Random damage to a run: every command answers or says one line, in bounded time, and nothing outside changes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from support.hostile_runs import Tally, make_run, try_mutation


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("sound"))


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "scratch"


@settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],  # a seed has no smaller form
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(seed=st.integers(0, 2**32))
def test_damage_is_answered_or_refused_in_one_line(sound: Path, scratch: Path, seed: int) -> None:
    tally = Tally()
    try_mutation(seed, sound, scratch, tally)
    assert (tally.tracebacks, tally.hangs, tally.changed) == ([], [], []) and tally.commands > 10

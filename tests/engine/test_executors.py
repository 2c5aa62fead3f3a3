"""Where scoring runs changes nothing: not the numbers, not the errors."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from speech_eval.adapters import spec as modelspec
from speech_eval.engine import session as runner
from speech_eval.engine.executors import Executor, executor, run_inline, run_processes, run_ray
from speech_eval.engine.session import Settings
from speech_eval.errors import BadInput, MissingExtra, require


def test_an_executor_has_a_known_name() -> None:
    assert executor("local") is None
    with pytest.raises(BadInput, match="spark"):
        executor("spark")
    with pytest.raises(BadInput, match="--executor ray"):
        executor("local", "auto")


def test_an_unknown_executor_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    with pytest.raises(BadInput):
        runner.run(modelspec.parse("oracle"), ["asr"], tmp_path / "run", Settings(limit=2, executor="spark"))
    assert not (tmp_path / "run").exists()


def test_an_error_of_a_process_comes_out_as_it_was_raised() -> None:
    with pytest.raises(MissingExtra, match=r"no_such_module.*speech-eval-harness\[some\]"):
        list(run_processes(partial(require, extra="some"), ["no_such_module"], 1))


# -------------------------------------------------------------------------------------------------- ray


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    module = pytest.importorskip("ray")
    module.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    yield module
    module.shutdown()


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_results_on_ray_are_equal_byte_for_byte(ray: Any, tmp_path: Path, workers: int) -> None:
    spec = modelspec.parse("noisy,fail_rate=0.1")
    runner.run(spec, ["asr"], tmp_path / "local", Settings(limit=20))
    runner.run(spec, ["asr"], tmp_path / "ray", Settings(limit=20, executor="ray", workers=workers))
    assert (tmp_path / "ray/results.json").read_bytes() == (tmp_path / "local/results.json").read_bytes()


@pytest.mark.slow
def test_ray_gives_every_answer_once(ray: Any) -> None:
    on_ray: Executor = run_ray
    assert sorted(on_ray(abs, list(range(-20, 0)), 2)) == sorted(run_inline(abs, list(range(-20, 0))))
    assert list(on_ray(abs, [], 2)) == []


@pytest.mark.slow
def test_an_error_on_ray_comes_out_as_it_was_raised(ray: Any) -> None:
    with pytest.raises(MissingExtra, match="no_such_module"):
        list(run_ray(partial(require, extra="some"), ["no_such_module"], 1))

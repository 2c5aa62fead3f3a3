"""Several models in one call with rounds: who asks when, what is stored of it, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from speech_eval.adapters import spec as modelspec
from speech_eval.cli.main import app
from speech_eval.engine import session as runner
from speech_eval.engine.interleave import round_of
from speech_eval.engine.plan import plan
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.engine.session import Settings
from speech_eval.errors import BadInput
from speech_eval.records import Results

MODEL = """
import pathlib
import numpy as np
from speech_eval.testing.fakes import Oracle
from speech_eval.audio import Audio


class Diary(Oracle):
    def __init__(self, name, diary, ttfb=0.2):
        super().__init__(ttfb=ttfb)
        self.name, self.diary = name, pathlib.Path(diary)

    def stream(self, request):
        with self.diary.open("a") as file:
            file.write(f"{self.name} {request.id}\\n")
        yield from super().stream(request)

    def _speech(self, request):
        return Audio(np.resize(np.float32([0.3, -0.3]), 2000 + 100 * len(request.text)), 8000)
"""


def models(folder: Path, names: str = "AB") -> list[Any]:
    (folder / "diary.py").write_text(MODEL)
    return [modelspec.parse(f"{folder}/diary.py:Diary,name={name},diary={folder}/diary") for name in names]


def take_turns(
    folder: Path, names: str = "AB", tasks: tuple[str, ...] = ("latency",), **settings: Any
) -> list[Results]:
    given = Settings(**{"limit": 2, "rounds": 3, **settings})
    return runner.execute([(plan(spec, tasks, given), folder / spec.options["name"]) for spec in models(folder, names)])


def test_models_take_turns_and_who_begins_a_round_ends_the_next(tmp_path: Path) -> None:
    take_turns(tmp_path)
    asked = [line.split() for line in (tmp_path / "diary").read_text().splitlines()]
    turns = [(name, item.partition("@")[2]) for name, item in asked]
    assert list(dict.fromkeys(turns)) == [("A", "1"), ("B", "1"), ("B", "2"), ("A", "2"), ("A", "3"), ("B", "3")]
    # Two to warm up and two that count, each turn in one piece.
    assert turns == [turn for turn in dict.fromkeys(turns) for _ in range(2 + 2)]


def test_both_runs_hold_the_same_ids_with_their_rounds(tmp_path: Path) -> None:
    take_turns(tmp_path)
    a, b = (RunDirectory(tmp_path / name).samples("latency") for name in "AB")
    assert a == b and [round_of(sample) for sample in a] == [1, 1, 2, 2, 3, 3]
    assert len({sample.item for sample in a}) == 2
    assert set(RunDirectory(tmp_path / "B").outputs("latency")) == {sample.id for sample in b}


def test_results_and_manifest_say_under_which_conditions(tmp_path: Path) -> None:
    (results, _) = take_turns(tmp_path)
    assert results.tasks[0].conditions == {"concurrency": 1, "warm_up": 2, "rounds": 3}
    assert results.tasks[0].counts.expected == 6
    manifest = RunDirectory(tmp_path / "A").manifest()
    events = [event for event in manifest.events if event.event == "generated"]
    assert [event.round for event in events] == [1, 2, 3]
    assert all(event.warm_up and event.warm_up.requests == 2 and event.load_average is not None for event in events)
    assert manifest.environment.hardware.cores


def test_tasks_that_are_not_timed_are_run_once_and_before_the_rounds(tmp_path: Path) -> None:
    (results, _) = take_turns(tmp_path, tasks=("latency", "asr"), rounds=2)
    assert {task.task: (task.counts.expected, task.conditions.get("rounds")) for task in results.tasks} == {
        "asr": (2, None),
        "latency": (4, 2),
    }
    events = [e.task for e in RunDirectory(tmp_path / "A").manifest().events if e.event == "generated"]
    assert events == ["asr", "latency", "latency"]


def test_intervals_resample_items_not_repetitions(tmp_path: Path) -> None:
    (results, _) = take_turns(tmp_path, limit=1)
    assert results.tasks[0].metrics[0].strict.n == 3 and results.tasks[0].metrics[0].strict.low is None


def test_a_run_keeps_its_number_of_rounds(tmp_path: Path) -> None:
    take_turns(tmp_path, names="A", rounds=2)
    with pytest.raises(BadInput, match="with rounds 2, not 3"):
        take_turns(tmp_path, names="A", rounds=3)
    take_turns(tmp_path, names="A", rounds=2)
    assert len((tmp_path / "diary").read_text().splitlines()) == 2 * (2 + 2)


def test_rounds_of_nothing_timed_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no rounds"):
        take_turns(tmp_path, tasks=("asr",))


def test_latency_under_load_is_a_result_a_level(tmp_path: Path) -> None:
    (spec,) = models(tmp_path, "A")
    results = runner.run(spec, ["latency-load"], tmp_path / "A", Settings(limit=4))
    assert [task.conditions["concurrency"] for task in results.tasks] == [1, 2, 4, 8]
    found = [{m.name: m.strict.value for m in task.metrics} for task in results.tasks]
    assert [numbers["ttfa-p50"] for numbers in found] == [0.2] * 4  # the oracle answers each as if alone
    rates = [numbers["throughput"] or 0.0 for numbers in found]
    assert rates[0] < rates[1] < rates[2] == rates[3]  # four samples, so eight at once are four


def test_the_command_line_takes_rounds(tmp_path: Path) -> None:
    words = ["run", "-m", "oracle", "-m", "oracle,ttfb=0.3", "-t", "latency", "--rounds", "2", "--limit", "2", "--json"]
    done = CliRunner().invoke(app, [*words, "-o", str(tmp_path)])
    assert done.exit_code == 0, done.output
    runs = json.loads(done.stdout)["runs"]
    assert [run["results"]["tasks"][0]["conditions"]["rounds"] for run in runs] == [2, 2]

"""What holds for every registered task with every interface it takes, on real speech and by the task's own metrics.

A perfect system scores perfectly; a failure, or a spoiled answer, moves its own row and no other; order of the samples,
batch size and worker processes change nothing. A new task is in all of these as soon as it is registered.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.task_worlds import BEST, Seats, World, cases, judge, perfect

from speech_eval.audio import Audio
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.metrics.catalog import METRICS
from speech_eval.records import Output, Results

pytest.importorskip("pesq")
pytest.importorskip("torch")

CASES = cases()


@pytest.fixture(scope="module")
def seats(judged: None) -> Iterator[Seats]:
    workers = Seats(2)
    yield workers
    workers.close()


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with judge(tmp_path_factory.mktemp("replies")):
        yield


Case = tuple[World, Path, Results]


@pytest.fixture(scope="module")
def undisturbed(judged: None, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Case]:
    """The world of a case, and its run one sample at a time in this process."""
    done: dict[tuple[str, str], Case] = {}

    def get(name: str, interface: str) -> Case:
        if (name, interface) not in done:
            folder = tmp_path_factory.mktemp(name)
            world = World.of(name, interface, folder / "data")
            done[name, interface] = (world, folder / "run", world.run(folder / "run", batch_size=1))
        return done[name, interface]

    return get


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}-{case[1]}")
def case(request: pytest.FixtureRequest, undisturbed: Callable[[str, str], Case]) -> Case:
    return undisturbed(*request.param)


def rows(run: Path) -> dict[tuple[str, str, str], dict[str, Any]]:
    """Every score of a run by task, sample and metric, without the digest of the answer."""
    found = {}
    directory = RunDirectory(run)
    for task in directory.manifest().tasks:
        for (sample, metric), score in directory.scores(task).items():
            found[task, sample, metric] = score.model_dump(exclude={"output"})
    return found


def outputs(run: Path) -> dict[tuple[str, str], Output]:
    directory = RunDirectory(run)
    return {(task, key): out for task in directory.manifest().tasks for key, out in directory.outputs(task).items()}


def test_a_perfect_system_scores_perfectly(case: Case) -> None:
    world, _, results = case
    for task in results.tasks:
        assert (task.counts.ok, task.counts.expected) == (4, 4)
        perfect(task, learns=world.learns)


def test_every_best_value_is_of_a_number_that_exists() -> None:
    for name in METRICS.names():
        metric = METRICS.get(name)
        named = set(BEST.get(name.partition("[")[0], {}))
        assert not named or named & {summary.name for summary in metric.summaries}, name


@pytest.mark.slow
def test_order_batches_and_workers_change_nothing(case: Case, seats: Seats, tmp_path: Path) -> None:
    world, run, _ = case
    given = world.rows
    world.write(given[::-1])
    try:
        world.run(tmp_path / "run", batch_size=3, seats=seats)
    finally:
        world.write(given)
    assert (tmp_path / "run" / "results.json").read_bytes() == (run / "results.json").read_bytes()


def test_a_failure_moves_its_own_row_and_no_other(case: Case, tmp_path: Path) -> None:
    world, run, _ = case
    lost = world.rows[1]["id"]
    results = world.run(tmp_path / "run", f"{world.model},failing={lost}", batch_size=3)
    for task in results.tasks:
        assert (task.counts.ok, task.counts.failed) == (3, 1)
    before, after = rows(run), rows(tmp_path / "run")
    # Requests that are under way at once share the time that passes, and a failed one leaves its share to the others.
    shared = world.task.name == "latency-load"
    moved = {key for key in before if before[key] != after[key]}
    assert {sample for _, sample, metric in moved if not (shared and metric.startswith("throughput["))} == {lost}
    reasons = {out.error for (_, key), out in outputs(tmp_path / "run").items() if key == lost}
    assert all("fails on purpose" in str(reason) or "hung up" in str(reason) for reason in reasons)


def test_a_spoiled_answer_moves_its_own_row_and_no_other(case: Case, tmp_path: Path) -> None:
    world, run, _ = case
    shutil.copytree(run, tmp_path / "run")
    directory = RunDirectory(tmp_path / "run")
    spoiled = world.rows[2]["id"]
    for task in directory.manifest().tasks:
        kept = directory.outputs(task)
        kept[spoiled] = _spoil(directory, task, kept[spoiled])
        directory.replace("outputs", task, kept.values())
    before = rows(run)
    world.rescore(tmp_path / "run")
    after = rows(tmp_path / "run")
    assert {key[1] for key in before if before[key] != after[key]} == {spoiled}


def _spoil(run: RunDirectory, task: str, output: Output) -> Output:
    """Noise for speech, other words for text, and each of them late."""
    change: dict[str, Any] = {"text": None if output.text is None else "something else entirely, said"}
    if output.audio is not None:
        noise = 0.1 * np.random.default_rng(0).standard_normal(output.audio.frames)
        change["audio"] = run.write_audio(
            task, f"{output.id}-spoiled", Audio(noise.astype(np.float32), output.audio.rate)
        )
    if output.chunks is not None:
        change["chunks"] = [chunk.model_copy(update={"seconds": chunk.seconds + 5.0}) for chunk in output.chunks]
    if output.codes is not None:
        books = [book.model_copy(update={"histogram": [(book.frames, 1)]}) for book in output.codes.codebooks]
        change["codes"] = output.codes.model_copy(update={"codebooks": books})
    if (said := output.speech_probabilities) is not None:
        change["speech_probabilities"] = said.model_copy(update={"values": [0.0] * len(said.values)})
    return output.model_copy(update={**change, "seconds": 9.0})

"""How a task asks a model: the base of all strategies, and what they share.

A strategy takes the samples of a task that have no stored output yet through the adapter and stores every answer as it
comes. It is safe to stop and start at any moment.
"""

from __future__ import annotations

import hashlib
import importlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from speech_eval.adapters.base import Adapter
from speech_eval.datasets.dataset import Dataset
from speech_eval.engine.generate.reading import AudioReader
from speech_eval.engine.generate.requests import LoadAudio, RawAnswer
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.errors import MissingExtra, NotFetched
from speech_eval.progress import Progress, silent
from speech_eval.records import Output, Sample, WarmUp

if TYPE_CHECKING:
    from speech_eval.engine.task import Task

logger = logging.getLogger(__name__)

# ask(samples, seeds, load) -> one answer per sample
Ask = Callable[[Sequence[Sample], Sequence[int], LoadAudio], list[RawAnswer]]


def sample_seed(seed: int, task: str, sample_id: str) -> int:
    """The seed of one sample: a function of the run's seed, the task and the sample's id, and of nothing else."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{task}/{sample_id}".encode()).digest()[:4], "big") >> 1


@dataclass(frozen=True)
class Work:
    """What a strategy works on: the task, or all points of a sweep, of one model in one run directory.

    `round` counts from 1; the samples of the other rounds are not this work's.
    """

    directory: RunDirectory
    tasks: Sequence[Task]
    interface: str
    dataset: Dataset
    adapter: Adapter
    seed: int = 0
    batch_size: int | None = None
    retry_failed: bool = False
    round: int = 1
    progress: Progress = silent

    @property
    def task(self) -> Task:
        """The task; of a sweep, its first point."""
        return self.tasks[0]

    @property
    def folder(self) -> Path:
        """Where a strategy may keep files of its own, which outlive a killed process."""
        return self.directory.path / "work" / self.task.name

    def finished(self, task: Task) -> set[str]:
        """Ids of the samples that have an output already."""
        outputs = self.directory.outputs(task.name).items()
        return {key for key, output in outputs if not (self.retry_failed and output.status == "failed")}

    def seed_of(self, task: Task, sample: Sample) -> int:
        return sample_seed(self.seed, task.name, sample.id)

    @property
    def name(self) -> str:
        """The name of the task; of a sweep that is worked on as a whole, of the sweep."""
        point = self.task.point
        return self.task.name if point is None or self.task.generate.in_rounds else point.task

    def report(self, done: int) -> None:
        """Show how many samples are done."""
        self.progress(f"{self.name}: generate", done, len(self.dataset.samples))

    def keep(self, task: Task, sample: Sample, outcome: RawAnswer | Exception, seconds: float | None = None) -> Output:
        """Make the output of an answer, or of what the model raised, its speech written to a file of the run.

        A failure is an output too. What is not installed is not the model's failure and is raised.
        """
        if isinstance(outcome, MissingExtra | NotFetched):
            raise outcome
        identity: dict[str, Any] = {"id": sample.id, "task": task.name, "seed": self.seed_of(task, sample)}
        if isinstance(outcome, Exception):
            logger.info("%s: sample %s failed", task.name, sample.id, exc_info=outcome)
            message = f"{type(outcome).__name__}: {outcome}"[:2000]
            return Output(**identity, status="failed", error=message)
        audio, seconds = outcome.audio, outcome.seconds if seconds is None else seconds
        return Output(
            **identity,
            status="empty" if outcome.empty else "ok",
            text=outcome.text,
            audio=None if audio is None else self.directory.write_audio(task.name, sample.id, audio),
            seconds=None if seconds is None else round(seconds, 6),
            chunks=outcome.chunks,
            timing=outcome.timing,
            codes=outcome.codes,
            token_model=outcome.token_model,
            speech_probabilities=outcome.speech_probabilities,
            metadata=dict(outcome.metadata),
        )

    def store(self, task: Task, outputs: Sequence[Output]) -> None:
        self.directory.append("outputs", task.name, outputs)


class Strategy(ABC):
    """How a task asks a model. Strategies are frozen dataclasses whose fields are part of the task's protocol."""

    axis: ClassVar[str] = ""  # of a sweep: what its points differ in
    in_rounds: ClassVar[bool] = False  # asked once per round, so that models of one call take turns

    def points(self, task: Task, adapter: Adapter) -> list[Task]:
        """The task at every point of its sweep that the model has; the task itself where there is no sweep."""
        return [task]

    def conditions(self, task: Task, adapter: Adapter, rounds: int) -> dict[str, int | bool]:
        """The conditions under which the numbers hold, for the task's record and result."""
        return {}

    @abstractmethod
    def generate(self, work: Work) -> WarmUp | None:
        """Answer every sample of `work` that has no output, and return the record of the warm-up if there was one."""


class Batched(Strategy):
    """Strategies that ask for one answer per sample, batch by batch."""

    @abstractmethod
    def prepare(self, work: Work) -> Ask:
        """The function that asks. What it takes to make it, such as training, is done again when a stopped run goes
        on, and must come out the same."""

    def generate(self, work: Work) -> None:
        """Answer the samples; recordings are read ahead while the model works."""
        finished = work.finished(work.task)
        todo = [sample for sample in work.dataset.samples if sample.id not in finished]
        count = len(work.dataset.samples) - len(todo)
        work.report(count)
        if not todo:
            return
        ask = self.prepare(work)
        size = work.batch_size or work.adapter.batch_size
        with AudioReader(work.dataset, todo, size, work.adapter.reads_audio) as (read, batches):
            for batch in batches:
                work.store(work.task, _outputs(work, ask, batch, read))
                count += len(batch)
                work.report(count)


def _outputs(work: Work, ask: Ask, batch: Sequence[Sample], read: LoadAudio) -> list[Output]:
    """One call for the batch; if it raises, one call per sample, so that a failure stays with the sample that fails."""
    start = work.adapter.clock.now()
    try:
        answers = ask(batch, [work.seed_of(work.task, sample) for sample in batch], read)
    except Exception as error:
        if len(batch) == 1:
            return [work.keep(work.task, batch[0], error)]
        return [output for sample in batch for output in _outputs(work, ask, [sample], read)]
    seconds = (work.adapter.clock.now() - start) / len(batch)
    return [work.keep(work.task, sample, given, seconds) for sample, given in zip(batch, answers, strict=True)]


@dataclass(frozen=True)
class Imported(Batched):
    """A strategy that is imported only when it runs, for one that needs a heavy package.

    `target` is the `module:Class` of a `Batched` strategy, `options` are its fields.
    """

    target: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def prepare(self, work: Work) -> Ask:
        module, _, name = self.target.partition(":")
        strategy: Batched = getattr(importlib.import_module(module), name)(**self.options)
        return strategy.prepare(work)

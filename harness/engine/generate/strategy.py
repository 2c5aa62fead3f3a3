"""How a task asks a model: the base of all strategies, and what they share.

A strategy takes the samples of a task that have no stored output yet through the adapter and stores every answer as it
comes. It is safe to stop and start at any moment.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from speech_eval.adapters.base import Adapter
from speech_eval.datasets.dataset import Dataset
from speech_eval.engine.generate.guest import Guest
from speech_eval.engine.generate.reading import AudioReader, Change, as_it_is
from speech_eval.engine.generate.requests import LoadAudio, RawAnswer
from speech_eval.engine.generate.under import Changed
from speech_eval.engine.run_directory import RunDirectory
from speech_eval.errors import MissingExtra, ModelUnavailable, NotFetched, SpeechEvalError
from speech_eval.progress import Progress, silent
from speech_eval.records import Output, Sample, WarmUp
from speech_eval.safety.guest import TimedOut
from speech_eval.signal.conditions import CLEAN

if TYPE_CHECKING:
    from speech_eval.engine.task import Task

# ask(samples, seeds, load) -> one answer per sample
Ask = Callable[[Sequence[Sample], Sequence[int], LoadAudio], list[RawAnswer]]
# A sample, its answer or what the model raised, and the seconds that took where the answer does not say.
Outcome = tuple[Sample, RawAnswer | Exception, float | None]


def sample_seed(seed: int, task: str, sample_id: str) -> int:
    """The seed of one sample: a function of the run's seed, the task and the sample's id, and of nothing else."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{task}/{sample_id}".encode()).digest()[:4], "big") >> 1


@dataclass(frozen=True)
class Work:
    """What a strategy works on: the task, or all points of a sweep, of one model in one run directory.

    `round` counts from 1; the samples of the other rounds are not this work's.
    `guest` is the model. `recognizer` is the spec of what transcribes recordings that are to be asked about as text.
    """

    directory: RunDirectory
    tasks: Sequence[Task]
    interface: str
    dataset: Dataset
    guest: Guest
    seed: int = 0
    batch_size: int | None = None
    retry_failed: bool = False
    recognizer: str | None = None
    round: int = 1
    progress: Progress = silent

    @property
    def task(self) -> Task:
        """The task; of a sweep, its first point."""
        return self.tasks[0]

    @property
    def adapter(self) -> Adapter:
        """The model's adapter: another object after the model was loaded anew."""
        return self.guest.adapter

    @property
    def folder(self) -> Path:
        """Where a strategy may keep files of its own, which outlive a killed process."""
        return self.directory.path / "work" / self.task.name

    def finished(self, task: Task) -> set[str]:
        """Ids of the samples that have an output already."""
        held = self.directory.statuses(task.name).items()
        return {key for key, status in held if not (self.retry_failed and status == "failed")}

    def seed_of(self, task: Task, sample: Sample) -> int:
        return sample_seed(self.seed, task.base, sample.id)

    @property
    def name(self) -> str:
        """The name of the task; of a sweep that is worked on as a whole, of the sweep."""
        point = self.task.point
        alone = point is None or self.task.generate.in_rounds or self.task.condition != CLEAN
        return self.task.name if point is None or alone else point.task

    def change(self) -> Change:
        """What is done to a recording before the model gets it. Babble is made of samples with sound data only."""
        if self.task.condition == CLEAN:
            return as_it_is
        invalid = {key for key, status in self.directory.statuses(self.task.name).items() if status == "invalid"}
        pool = [sample for sample in self.dataset.samples if sample.id not in invalid]
        return Changed(self.task.condition, self.interface, self.dataset, pool, self.seed)

    def report(self, done: int) -> None:
        """Show how many samples are done."""
        self.progress(f"{self.name}: generate", done, len(self.dataset.samples))

    @contextmanager
    def asking(self, samples: Sequence[Sample], at_once: int = 1) -> Iterator[None]:
        """Enclose the model's code while it answers `samples`, `at_once` of which wait for each other.

        Raises `TimedOut` where it takes longer than the time of so many answers.
        """
        seconds = (self.guest.timeout or self.task.timeout) * len(samples) * at_once

        def stuck(message: str) -> None:
            error = TimedOut(f"{message}, and cannot be interrupted.")
            for task in self.tasks:
                self.store(task, [self._failed(task, sample, error) for sample in samples])
            sys.stderr.write(f"error: {error} Give the same command again to go on with the next sample.\n")

        named = f"sample {samples[0].id}" if len(samples) == 1 else f"{len(samples)} samples from {samples[0].id}"
        with self.guest.asked(seconds, named, stuck):
            yield

    def keep(self, task: Task, outcomes: Sequence[Outcome]) -> None:
        """Store the outputs of answers and of what the model raised, their speech in files of the run.

        A failure is an output too. What is not installed is not the model's failure and is raised; so is `GivenUp`
        where failures are certain to repeat, which are then not stored.
        """
        outputs: list[Output] = []
        try:
            for sample, outcome, seconds in outcomes:
                if isinstance(outcome, MissingExtra | NotFetched):
                    raise outcome
                output = self.output(task, sample, outcome, seconds)
                if isinstance(outcome, ModelUnavailable):
                    self.guest.withhold(task.name, output, outcome)
                    continue
                for name, held in self.guest.released():
                    self.directory.append("outputs", name, [held])
                outputs.append(output)
        finally:
            self.store(task, outputs)

    def output(
        self, task: Task, sample: Sample, outcome: RawAnswer | Exception, seconds: float | None = None
    ) -> Output:
        """The output of an answer or of what the model raised. What cannot be stored is a failure too."""
        if isinstance(outcome, Exception):
            return self._failed(task, sample, outcome)
        try:
            made = self._answered(task, sample, outcome, outcome.seconds if seconds is None else seconds)
            made.line().encode()  # raises for NaN, lone surrogates and objects that JSON does not know
            return made
        except SpeechEvalError:
            raise  # of the disk
        except (ValueError, TypeError) as error:
            return self._failed(task, sample, ValueError(f"the answer cannot be stored: {error}"))

    def _failed(self, task: Task, sample: Sample, error: Exception) -> Output:
        return Output(
            **self._identity(task, sample),
            status="failed",
            error=self.guest.reason(error),
            traceback=self.guest.traceback(error),
        )

    def _identity(self, task: Task, sample: Sample) -> dict[str, Any]:
        return {"id": sample.id, "task": task.name, "seed": self.seed_of(task, sample)}

    def _answered(self, task: Task, sample: Sample, answer: RawAnswer, seconds: float | None) -> Output:
        audio = answer.audio
        return Output(
            **self._identity(task, sample),
            status="empty" if answer.empty else "ok",
            text=answer.text,
            audio=None if audio is None else self.directory.write_audio(task.name, sample.id, audio),
            seconds=None if seconds is None or not self.guest.adapter.answers_live else round(seconds, 6),
            chunks=answer.chunks,
            timing=answer.timing,
            codes=answer.codes,
            token_model=answer.token_model,
            speech_probabilities=answer.speech_probabilities,
            metadata=dict(answer.metadata),
        )

    def store(self, task: Task, outputs: Sequence[Output]) -> None:
        self.directory.append("outputs", task.name, outputs)


class Strategy(ABC):
    """How a task asks a model. Strategies are frozen dataclasses whose fields are part of the task's protocol."""

    axis: ClassVar[str] = ""  # of a sweep: what its points differ in
    in_rounds: ClassVar[bool] = False  # asked once per round, so that models of one call take turns
    changeable: ClassVar[bool] = False  # whether its recordings may be given under a condition

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
        with AudioReader(work.dataset, todo, size, work.adapter.reads_audio, work.change()) as (read, batches):
            for batch in batches:
                waiting = [batch]
                while waiting:
                    part = waiting.pop(0)
                    outcomes = _outcomes(work, ask, part, read)
                    if isinstance(outcomes, Exception):
                        ask = self.prepare(work) if work.guest.renew(outcomes) else ask
                        waiting += [[sample] for sample in part]
                        continue
                    work.keep(work.task, outcomes)
                    for _, outcome, _ in outcomes:
                        if work.guest.after(outcome):
                            ask = self.prepare(work)
                count += len(batch)
                work.report(count)


def _outcomes(work: Work, ask: Ask, batch: Sequence[Sample], read: LoadAudio) -> list[Outcome] | Exception:
    """The outcomes of one call, or what the call of several samples raised: each is to be asked for alone, so that a
    failure stays with the sample that fails."""
    start = work.adapter.clock.now()
    try:
        with work.asking(batch):
            answers = ask(batch, [work.seed_of(work.task, sample) for sample in batch], read)
    except Exception as error:
        return [(batch[0], error, None)] if len(batch) == 1 else error
    seconds = (work.adapter.clock.now() - start) / len(batch)
    return [(sample, given, seconds) for sample, given in zip(batch, answers, strict=True)]


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

"""The loop that every training run goes through: steps, the clock, reports, validation, the state on disk."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from speech_eval.progress import Progress, Say
from speech_eval.reference_models.training.distributed import clock, first_says
from speech_eval.reference_models.training.log import TrainingStopped, tensorboard

_MOST_BAD_STEPS = 10  # one after the other, before training stops under the policy `skip`


@dataclass
class Log:
    """What a run has been through; it is saved with the state and ends up in the card."""

    step: int = 0
    seconds: float = 0.0
    bad_steps: list[int] = field(default_factory=list)


class Knobs(Protocol):
    """What the loop asks of a stack's training configuration."""

    steps: int
    minutes: float | None
    on_nan: Any
    log_every: int
    validate_every: int
    save_every: int
    tensorboard: bool


class Loop(ABC):
    """A run of `training.steps` steps, or of `training.minutes` if they are up first. `log` is the stack's own `Log`.

    Reports and validation are asked for every so many steps and at the end, the state is saved at the last step too.
    """

    log: Log

    def __init__(self, accelerator: Any, training: Knobs, output: Path, *, name: str, overfit: bool, say: Say) -> None:
        self.accelerator, self.knobs = accelerator, training
        self.output, self.name, self.overfit, self.say = output, name, overfit, first_says(say)

    @abstractmethod
    def introduce(self) -> None:
        """Say what is about to be trained on what."""

    @abstractmethod
    def batches_of(self, start: int, stop: int) -> Iterable[Any]:
        """What each of these steps learns from."""

    @abstractmethod
    def step(self, number: int, batch: Any) -> dict[str, float]:
        """One update; numbers for the report, none where the step was skipped."""

    @abstractmethod
    def report(self, recent: Sequence[dict[str, float]], steps_per_second: float, writer: Any) -> None:
        """What the steps since the last report gave: said, and written down."""

    @abstractmethod
    def validate(self, writer: Any) -> None:
        """Look at held-out data."""

    @abstractmethod
    def save(self) -> dict[str, Any]:
        """Write the state and the checkpoint directory; returns the card."""

    def run(self, stop_at: int | None, progress: Progress) -> dict[str, Any]:
        """Train to the last step, or to `stop_at`. Returns the card."""
        knobs, log = self.knobs, self.log
        self.introduce()
        last = knobs.steps if stop_at is None else min(stop_at, knobs.steps)
        writer = tensorboard(self.output) if knobs.tensorboard else None
        recent: list[dict[str, float]] = []
        before, first, begun = log.seconds, log.step, time.perf_counter()
        found: dict[str, Any] = {}
        for batch in self.batches_of(log.step, last):
            values = self.step(log.step, batch)
            log.step += 1
            log.seconds = clock(self.accelerator, before + time.perf_counter() - begun)
            progress("train", log.step, knobs.steps)
            if values:
                recent.append(values)
            over = self.done() >= 1.0
            ended = over or log.step == last
            if recent and (ended or log.step % knobs.log_every == 0):
                if self.accelerator.is_main_process:
                    self.report(recent, (log.step - first) / (log.seconds - before), writer)
                recent = []
            if self.accelerator.is_main_process and (over or log.step % knobs.validate_every == 0):
                self.validate(writer)
            if ended or log.step % knobs.save_every == 0:
                found = self.save()
            if ended:
                break
        if writer:
            writer.close()
        return found or self.save()

    def done(self) -> float:
        """The share of the training that is behind: of its steps, or of its minutes where they go by faster."""
        steps = self.log.step / self.knobs.steps
        return steps if self.knobs.minutes is None else max(steps, self.log.seconds / (60 * self.knobs.minutes))

    def minutes_left(self, steps_per_second: float) -> float:
        left = (self.knobs.steps - self.log.step) / steps_per_second
        return (left if self.knobs.minutes is None else min(left, 60 * self.knobs.minutes - self.log.seconds)) / 60

    def bad_step(self, number: int, what: str, examples: Sequence[str]) -> None:
        """Name a step that gave no number, and skip it; raises `TrainingStopped` by policy, or after ten in a row."""
        self.log.bad_steps.append(number)
        problem = f"step {number}: {what} is not finite, on {', '.join(examples)}"
        in_a_row = [step for step in self.log.bad_steps if step > number - _MOST_BAD_STEPS]
        if self.knobs.on_nan == "stop" or len(in_a_row) >= _MOST_BAD_STEPS:
            raise TrainingStopped(f"{problem}.", "Lower the learning rate, or look at these recordings.")
        self.say(f"skipped {problem}")

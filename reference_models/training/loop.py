"""The loop of every training run: numbering, the clock, reports, pictures, validation times, and the state on disk.

A stack gives `Loop.run` its trainer: what a step does, and how it is reported, validated and saved. Where steps have
no batches of their own, `Loop.steps` is looped over instead.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch

from speech_eval.cache import make_folder
from speech_eval.errors import BadInput, SpeechEvalError
from speech_eval.progress import Progress, Say, silent, unsaid
from speech_eval.reference_models.training.config import OptimizerConfig, RunConfig
from speech_eval.reference_models.training.curves import write_curves
from speech_eval.reference_models.training.distributed import OneProcess, alone, clock, first_says, total
from speech_eval.reference_models.training.log import (
    LOG,
    RunLog,
    TrainingStopped,
    append_row,
    check_identity,
    read_rows,
    tensorboard,
)
from speech_eval.reference_models.training.state import FILE, Stateful, load_training, resumes, save_training, state_of

_MAX_BAD_STEPS = 10  # in a row, before training stops under the policy `skip`

Batch = TypeVar("Batch")
Read = TypeVar("Read", contravariant=True)
Log = TypeVar("Log", bound=RunLog)
Values = dict[str, float]


class Trainer(Protocol[Read]):
    """What a stack does at each step of `Loop.run`."""

    def step(self, number: int, batch: Read, /) -> Values:
        """Learn from a batch; numbers for the log, none for a step that was skipped."""

    def report(self) -> None:
        """Give the numbers since the last report to `Loop.report`."""

    def validate(self) -> None:
        """Measure on what is held out, in the first process."""

    def checkpoint(self) -> dict[str, Any]:
        """Write the checkpoint directory; its card."""


class Loop(Generic[Log]):
    """A run of `config.steps` steps, or of `config.minutes` if they are up first.

    `parts` and `optimizers` are what the state holds, `identity` what a resumed run must share with the run it
    continues; `log` is saved with them. `share` tells how much is done in a training that steps do not measure. If
    `together`, all processes validate, as those that share out the weights must; else the first one does. After
    `record`, `reports`, `validates` and `saves` say what is due.
    """

    def __init__(
        self,
        config: RunConfig,
        output: Path,
        log: Log,
        *,
        name: str,
        accelerator: Any = None,
        parts: Mapping[str, Stateful] | None = None,
        optimizers: Mapping[str, torch.optim.Optimizer] | None = None,
        identity: Mapping[str, Any] | None = None,
        share: Callable[[], float] | None = None,
        together: bool = False,
        say: Say = unsaid,
    ) -> None:
        self.config, self.output, self.log, self.name = config, output, log, name
        self.accelerator = accelerator or OneProcess()
        self.parts, self.optimizers, self.identity = parts or {}, dict(optimizers or {}), identity or {}
        self._share, self.together = share, together
        self.say = first_says(say)
        self.card: dict[str, Any] = {}
        self.reports = self.validates = self.saves = self.ended = False
        self._recent: list[Values] = []
        self._writer = tensorboard(output) if config.tensorboard and self.accelerator.is_main_process else None

    # ------------------------------------------------------------------------------------------- steps

    def steps(
        self, batches: Callable[[int, int], Iterable[Batch]], stop_at: int | None = None, progress: Progress = silent
    ) -> Iterator[tuple[int, Batch]]:
        """The number and batch of each step, up to the last or to `stop_at`. `batches(start, stop)` gives the batches
        of these steps. `record` must be called once per step."""
        log = self.log
        self._last = self.config.steps if stop_at is None else min(stop_at, self.config.steps)
        self._progress, self._first = progress, log.step
        self._before, self._begun = log.seconds, time.perf_counter()
        for batch in batches(log.step, self._last):
            yield log.step, batch
            if self.ended:
                break
        if self._writer:
            self._writer.close()

    def record(self, values: Values) -> None:
        """Count the step and keep its values for the next report; an empty `values` is a skipped step."""
        log, config = self.log, self.config
        log.step += 1
        log.seconds = clock(self.accelerator, self._before + time.perf_counter() - self._begun)
        self._progress("train", log.step, config.steps)
        if values:
            self._recent.append(values)
        over = self.done() >= 1.0
        self.ended = over or log.step == self._last
        due = bool(self._recent) and (self.ended or log.step % config.log_every == 0)
        self._reported, self._recent = (self._recent, []) if due else ([], self._recent)
        self.reports = due
        self.validates = over or log.step % config.validate_every == 0
        self.saves = self.ended or log.step % config.save_every == 0

    def done(self) -> float:
        """The share of the training that is done: of its steps, or of its minutes if that is more; the stack's own
        `share` instead if there is one."""
        if self._share is not None:
            return self._share()
        share, minutes = self.log.step / self.config.steps, self.config.minutes
        return share if minutes is None else max(share, self.log.seconds / (60 * minutes))

    def alone(self, work: Callable[[], Any]) -> Any:
        """What `work` gives in the first process, for which the others wait; None in the others."""
        return alone(self.accelerator, work)

    def bad_step(self, number: int, what: str, examples: Sequence[str], every: int = 1) -> None:
        """Record a step that gave no finite number. Raises `TrainingStopped` by policy, or after ten in a row; what is
        computed in one step of `every` is in a row at that distance."""
        self.log.bad_steps.append(number)
        problem = f"step {number}: {what} is not finite" + (f", on {', '.join(examples)}" if examples else "")
        in_a_row = [step for step in self.log.bad_steps if step > number - _MAX_BAD_STEPS * every]
        if self.config.on_nan == "stop" or len(in_a_row) >= _MAX_BAD_STEPS:
            raise TrainingStopped(f"{problem}.", "Lower the learning rate, or listen to the named recordings.")
        self.say(f"skipped {problem}")

    # ----------------------------------------------------------------------------------------- reports

    def means(self) -> Values:
        """The mean of each value over the steps since the last report that have it, and over all processes, which must
        have the same values."""
        names = sorted({name for values in self._reported for name in values})
        columns = {name: [values[name] for values in self._reported if name in values] for name in names}
        own = {name: sum(column) / len(column) for name, column in columns.items()}
        if self.accelerator.num_processes == 1:
            return own
        numbers = torch.tensor(list(own.values()), dtype=torch.float64, device=self.accelerator.device)
        return dict(zip(own, (total(numbers) / self.accelerator.num_processes).tolist(), strict=True))

    def report(self, row: Mapping[str, Any], summary: str) -> None:
        """Write a row (numbers, lists of one number per codebook, or groups of these) to `log.jsonl`, TensorBoard and
        the picture of the run, and say `summary`, in the first process."""
        log = self.log
        if not self.accelerator.is_main_process:
            return
        row = {"step": log.step, "seconds": round(log.seconds, 1), **row}
        make_folder(self.output)
        append_row(self.output / LOG, row)
        rows = read_rows(self.output / LOG)
        picture = write_curves(self.output, self.name, rows, self.config.steps, finished=self.ended)
        if len(rows) == 1 or self.ended:
            self.say(f"curves: {picture}")
        for name, value in scalars(row):
            self.scalar(name, value)
        speed = (log.step - self._first) / (log.seconds - self._before)
        self.say(
            f"step {log.step}/{self.config.steps} ({speed:.2f}/s, {self._minutes_left(speed):.0f} min left): {summary}"
        )

    def scalar(self, name: str, value: float) -> None:
        """One point of a TensorBoard curve, if there are any."""
        if self._writer:
            self._writer.add_scalar(name, value, self.log.step)

    def _minutes_left(self, steps_per_second: float) -> float:
        left = (self.config.steps - self.log.step) / steps_per_second
        minutes = self.config.minutes
        return (left if minutes is None else min(left, 60 * minutes - self.log.seconds)) / 60

    def run(
        self,
        trainer: Trainer[Batch],
        batches: Callable[[int, int], Iterable[Batch]],
        stop_at: int | None = None,
        progress: Progress = silent,
        validates: Callable[[], bool] = lambda: False,
    ) -> dict[str, Any]:
        """The steps from where the run is to the last, or to `stop_at`, on `batches` as `steps` takes them. It also
        validates where `validates` says so. Returns the card."""
        for number, batch in self.steps(batches, stop_at, progress):
            self.record(trainer.step(number, batch))
            if self.reports:
                trainer.report()
            if validates() or self.validates:
                trainer.validate() if self.together else self.alone(trainer.validate)
            if self.saves:
                self.save(trainer.checkpoint)
        return self.card or trainer.checkpoint()

    # ------------------------------------------------------------------------------------------- state

    def start(self, resume: bool) -> None:
        """Go back to the saved state if `resume`, unless the run was interrupted before its training. Raises `BadInput`
        for a resume without anything to resume or of another run, and for a start over an existing one."""
        if goes_on(self.output, resume):
            facts = load_training(self.output, self.parts, self.optimizers)
            check_identity(self.output, facts["identity"], self.identity)
            for name, value in facts["log"].items():
                setattr(self.log, name, value)

    def save(self, checkpoint: Callable[[], dict[str, Any]]) -> None:
        """Save the state, and the checkpoint directory, whose card `checkpoint()` returns."""
        facts = {"identity": self.identity, "log": asdict(self.log), "finished": self.done() >= 1.0}
        tensors = state_of(self.parts, self.optimizers, keep=self.accelerator.is_main_process)
        self.alone(lambda: save_training(self.output, tensors, facts))
        self.card = checkpoint()


def goes_on(output: Path, resume: bool) -> bool:
    """Whether a run in `output` goes on from a saved state: if `resume`, unless it was interrupted before its training.
    Raises `BadInput` for a resume without anything to resume, and for a start over an existing run."""
    if resume:
        return resumes(output)
    refuse_existing(output)
    return False


def refuse_existing(output: Path) -> None:
    """Raise `BadInput` if `output` already holds a training run."""
    if (output / FILE).is_file():
        raise BadInput(f"{output} holds a training run already.", "Add --resume, or choose another --output.")


def scalars(row: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Every number of a row with its path: `losses/mel`, `usage/0`."""
    for name, value in row.items():
        if isinstance(value, Mapping):
            yield from scalars(value, f"{prefix}{name}/")
        elif isinstance(value, list):
            yield from ((f"{prefix}{name}/{index}", item) for index, item in enumerate(value))
        elif name not in ("step", "seconds"):
            yield f"{prefix}{name}", value


def reseed(seed: int, number: int, process: int = 0) -> None:
    """Reseed torch from the step number, so that a resumed run draws the same."""
    torch.manual_seed(seed * 1_000_003 + number * 1_009 + process)


def adamw(module: torch.nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """AdamW over the parameters of a module that learn, as `adamw_of` makes it."""
    return adamw_of({name: p for name, p in module.named_parameters() if p.requires_grad}, config)


def adamw_of(learning: Mapping[str, torch.nn.Parameter], config: OptimizerConfig) -> torch.optim.Optimizer:
    """AdamW over named parameters. Raises `SpeechEvalError` for those that are not float32, in which most updates would
    be rounded away."""
    coarse = [name for name, parameter in learning.items() if parameter.dtype != torch.float32]
    if coarse:
        raise SpeechEvalError(
            f"{len(coarse)} parameters, {coarse[0]} first, are {learning[coarse[0]].dtype} and cannot learn.",
            "Load the weights as float32.",
        )
    decay = config.weight_decay
    return torch.optim.AdamW(
        list(learning.values()), lr=config.learning_rate, betas=config.betas, weight_decay=decay, fused=True
    )


def update(optimizer: Any, parameters: Iterable[torch.nn.Parameter], config: OptimizerConfig, rate: float) -> float:
    """Clip the gradient and step at learning rate `rate`; the norm before clipping. Nothing is stepped if it is not
    finite."""
    norm = float(torch.nn.utils.clip_grad_norm_(list(parameters), config.clip_norm))
    if math.isfinite(norm):
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
    return norm

"""The loop of GRPO and DPO.

line ──► G rollouts ──► audio ──► verifier: rewards ──► learn (grpo.py, dpo.py)
                                  guards: other recognizer, other speaker model, pitch, length, stops ──► log, card
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, TypeVar

import torch

from speech_eval.errors import BadInput
from speech_eval.progress import Progress, silent
from speech_eval.reference_models.speech_lm.rl.config import AlignmentConfig
from speech_eval.reference_models.speech_lm.rl.guards import Guards, mean
from speech_eval.reference_models.speech_lm.rl.rollout import Line, RewardFunction, Rollout, drawn, rollouts
from speech_eval.reference_models.speech_lm.sampling import Sampling
from speech_eval.reference_models.training.config import OptimizerConfig
from speech_eval.reference_models.training.distributed import OneProcess, sum_gradients, total
from speech_eval.reference_models.training.log import RunLog
from speech_eval.reference_models.training.loop import Loop, Values, adamw

Item = TypeVar("Item")


@dataclass
class AlignmentLog(RunLog):
    """With what the guards measured."""

    guards: list[dict[str, float]] = field(default_factory=list)


def align(
    aligner: Aligner,
    loop: Loop[AlignmentLog],
    checkpoint: Callable[[], dict[str, Any]],
    *,
    guards: Guards | None = None,
    stop_at: int | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Roll out, reward and learn to the last step, or to `stop_at`. Returns the card that `checkpoint` gives."""
    log, config = loop.log, aligner.config

    def measure() -> None:
        found = None if guards is None else loop.alone(lambda: guards.measure(aligner.model))
        if found is not None:
            log.guards.append({"step": float(log.step), **found})

    for number, _ in loop.steps(range, stop_at, progress):
        if number % config.validate_every == 0:
            measure()
        aligner.set_rate(number, loop.done())
        values = aligner.step(number)
        if not math.isfinite(values["gradient"]):
            loop.bad_step(number, "the gradient", [])
            values = {}
        loop.record(values)
        if loop.done() >= 1.0:
            measure()
        if loop.reports:
            means = {name: round(value, 6) for name, value in loop.means().items()}
            loop.report(means, ", ".join(f"{name} {value:.3g}" for name, value in means.items()))
        if loop.saves:
            loop.save(checkpoint)
    return loop.card or checkpoint()


class Aligner(ABC):
    """A step of alignment; `learn` is the method's own. The same state and seed give the same run, resumed or not.

    Several processes roll out their own texts and learn from all: `accelerator` is Accelerate's view of this one.
    `start` is a frozen copy of the model. Raises `BadInput` for models with several slots per position, and for fewer
    lines than a step takes.
    """

    def __init__(
        self,
        model: Any,
        lines: Sequence[Line],
        reward: RewardFunction,
        config: AlignmentConfig,
        *,
        sampling: Sampling,
        accelerator: Any = None,
    ) -> None:
        self.accelerator = accelerator or OneProcess()
        if model.tokenizer.streams != 1:
            raise BadInput("Only single-stream layouts (flat, interleaved) are aligned.", "Start from such a model.")
        if len(lines) < config.texts_per_step * self.accelerator.num_processes:
            raise BadInput(
                f"{len(lines)} lines are fewer than a step takes.", "Prepare more data, or lower texts_per_step."
            )
        self.model, self.lines, self.reward, self.config = model, list(lines), reward, config
        self.sampling = sampling
        self.start = copy.deepcopy(model).eval().requires_grad_(False)
        self.rate = OptimizerConfig(
            learning_rate=config.learning_rate,
            betas=(0.9, 0.95),
            warmup_steps=config.warmup_steps,
            schedule="cosine",
            final_share=config.final_share,
        )
        self.optimizer = adamw(model, self.rate)

    @abstractmethod
    def learn(self, groups: Sequence[Sequence[Rollout]]) -> Values:
        """Change the model by the rewards of the groups [texts_per_step][group]; returns numbers for the log, among
        them the norm of the `gradient`. Every process calls `total` and `update` as often as the others."""

    def rollouts(self, number: int) -> list[list[Rollout]]:
        """The groups of a step."""
        lines = self.drawn(self.lines, number)
        return rollouts(self.model, lines, self.reward, self.config, self.sampling, number)

    def drawn(self, items: Sequence[Item], number: int) -> list[Item]:
        """Those of `items`, one per text, that this process learns from in a step."""
        return drawn(items, self.config, number, self.accelerator.process_index, self.accelerator.num_processes)

    def step(self, number: int) -> Values:
        """Roll out, reward, learn; numbers for the log."""
        groups = self.rollouts(number)
        flat = list(chain.from_iterable(groups))
        values = {
            "reward": mean([item.reward.value for item in flat]),
            "valid": mean([item.reward.valid for item in flat]),
            "stopped": mean([item.generation.stopped for item in flat]),
            "tokens": mean([len(item.generation.ids) for item in flat]),
            **{f"reward_{name}": mean([item.rewards[name].value for item in flat]) for name in flat[0].rewards},
        }
        summed = self.total(list(values.values()))
        means = dict(zip(values, (value / self.accelerator.num_processes for value in summed), strict=True))
        return means | self.learn(groups)

    def rolled_out(self, steps: int) -> int:
        """Rollouts of so many steps of all processes."""
        return steps * self.config.texts_per_step * self.accelerator.num_processes * self.config.group

    def total(self, values: Sequence[float]) -> list[float]:
        """Numbers added up over all processes."""
        device = next(self.model.parameters()).device
        return [float(value) for value in total(torch.tensor(values, dtype=torch.float64, device=device))]

    def set_rate(self, number: int, share: float) -> None:
        """The learning rate of step `number`, after `share` of the training."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate.rate_at(number, share)

    def update(self) -> float:
        """One step of the optimizer on the summed gradients of all processes, left out if they are not finite; the norm
        of the sum."""
        sum_gradients(self.model.parameters())
        norm = float(torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm))
        if math.isfinite(norm):
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return norm

    def micro_batches(self, items: Sequence[Item]) -> list[Sequence[Item]]:
        """The items in parts that one forward pass can hold."""
        size = self.config.micro_batch
        return [items[i : i + size] for i in range(0, len(items), size)]

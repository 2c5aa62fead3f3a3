"""The processes of a training run: the device of each, what they add up, and what the first one does alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from speech_eval.errors import require
from speech_eval.progress import Say, unsaid

T = TypeVar("T")
Precision = Literal["float32", "bf16"]
# How long the others wait for the first process: a validation or a check may take hours.
_PATIENCE = timedelta(days=7)
_waiting: Any = None  # the group of all processes on which they wait


@dataclass(frozen=True)
class OneProcess:
    """The part of an accelerator that the loop needs, for a training that knows no other processes."""

    num_processes: int = 1
    process_index: int = 0
    is_main_process: bool = True

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")


def accelerator() -> Any:
    """Accelerate's view of this process. The precision is `autocast`'s: Accelerate knows one for the whole process, but
    a codec and the speech LM that it is trained for may have two.

    On a machine without GPUs, Accelerate takes the processes of torchrun for separate runs unless `cpu` is set.
    """
    accelerate = require("accelerate", "train")
    return accelerate.Accelerator(mixed_precision="no", cpu=is_one_of_several() and not torch.cuda.is_available())


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """The context of a forward pass: layers compute in bfloat16 if asked for. Weights are float32 all the same."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def is_one_of_several() -> bool:
    """Whether torchrun started this process beside others."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def first_says(say: Say) -> Say:
    """`say` in the first process, silence in the others."""
    return say if os.environ.get("RANK", "0") == "0" else unsaid


def clock(accelerator: Any, seconds: float) -> float:
    """The first process's `seconds`, for all processes: learning rates and the end may depend on the clock."""
    if accelerator.num_processes == 1:
        return seconds
    from accelerate.utils import broadcast

    return float(broadcast(torch.tensor(seconds, dtype=torch.float64, device=accelerator.device)))


def alone(accelerator: Any, work: Callable[[], T]) -> T | None:
    """What `work` gives in the first process, while the others wait as long as it takes, and None there.

    NCCL ends a process that waits ten minutes, so they wait on a group of their own. If `work` fails, the first process
    raises its error and the others end silently.
    """
    if accelerator.num_processes == 1:
        return work()
    group, found, error = _waiting_group(), None, None
    if accelerator.is_main_process:
        try:
            found = work()
        except Exception as problem:
            error = problem
    failed = torch.tensor(float(error is not None))
    dist.broadcast(failed, 0, group=group)
    if error is not None:
        raise error
    if failed:
        raise SystemExit(1)
    return found


def _waiting_group() -> Any:
    """Made by all processes together at the first use."""
    global _waiting
    if _waiting is None:
        _waiting = dist.new_group(backend="gloo", timeout=_PATIENCE)
    return _waiting


def processes() -> int:
    """Number of processes that compute together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def total(x: Tensor) -> Tensor:
    """The sum of x over all processes, in place. Every process must call it, whatever its own data."""
    if processes() > 1:
        dist.all_reduce(x)
    return x


def read(numbers: Sequence[Tensor]) -> tuple[list[float], bool]:
    """Numbers of a step, and whether they are finite in all processes. A device is waited for once, not per number."""
    own = torch.stack([number.detach().float() for number in numbers])
    *values, bad = torch.cat([own, total((~own.isfinite()).any().float())[None]]).tolist()
    return values, bad == 0.0


def total_with_gradient(x: Tensor) -> Tensor:
    """The sum of x over all processes, through which gradients pass to the x of each. Every process must call it."""
    return x if processes() == 1 else _Total.apply(x)


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return total(x.clone())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return total(gradient.clone())


def rows_of_all(rows: Tensor, count: int) -> Tensor:
    """`count` rows [count, d], drawn at random from those [M, d] of all processes and the same in all of them; zeros if
    there is none anywhere. The rows of the processes count in their order, as if they were one batch."""
    if processes() == 1:
        return rows[_draw(len(rows), count, rows.device)] if len(rows) else rows.new_zeros(count, rows.shape[1])
    rank = dist.get_rank()
    sizes = torch.zeros(processes(), dtype=torch.long, device=rows.device)
    sizes[rank] = len(rows)
    dist.all_reduce(sizes)
    drawn = _draw(int(sizes.sum()), count, rows.device)
    dist.broadcast(drawn, 0)
    own = drawn - sizes[:rank].sum()
    here = (own >= 0) & (own < len(rows))
    picked = rows.new_zeros(count, rows.shape[1])
    picked[here] = rows[own[here]]
    return total(picked)


def _draw(size: int, count: int, device: torch.device) -> Tensor:
    return torch.randint(max(size, 1), (count,), device=device)


def sum_gradients(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Add up the gradients of all processes; a parameter without one counts as zero."""
    if processes() == 1:
        return
    for parameter in parameters:
        if parameter.requires_grad:
            parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            total(parameter.grad)

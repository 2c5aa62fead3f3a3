"""The processes of a training run: the device of each, and the values they must agree on."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Literal

import torch

from speech_eval.errors import require
from speech_eval.progress import Say, unsaid


@dataclass(frozen=True)
class OneProcess:
    """The part of an accelerator that the loop needs, for a training that knows no other processes."""

    num_processes: int = 1
    process_index: int = 0
    is_main_process: bool = True


def accelerator(precision: Literal["float32", "bf16"]) -> Any:
    """Accelerate's view of this process; bf16 is used on GPUs only.

    On a machine without GPUs, Accelerate takes the processes of torchrun for separate runs unless `cpu` is set.
    """
    accelerate = require("accelerate", "train")
    gpu = torch.cuda.is_available()
    one_of_several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    bf16 = precision == "bf16" and gpu
    return accelerate.Accelerator(mixed_precision="bf16" if bf16 else "no", cpu=one_of_several and not gpu)


def first_says(say: Say) -> Say:
    """`say` in the first process, silence in the others."""
    return say if os.environ.get("RANK", "0") == "0" else unsaid


def clock(accelerator: Any, seconds: float) -> float:
    """The first process's `seconds`, for all processes: learning rates and the end may depend on the clock."""
    if accelerator.num_processes == 1:
        return seconds
    from accelerate.utils import broadcast

    return float(broadcast(torch.tensor(seconds, dtype=torch.float64, device=accelerator.device)))

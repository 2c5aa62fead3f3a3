"""What is computed in float32 whatever autocast is on: lookups, quantizers, the layers next to the waveform, losses.

bfloat16 has 8 bits of precision. A nearest code found in it is another one in 3 to 5 % of the frames, and a waveform
that passes through it has a noise floor of -55 dB.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
T = TypeVar("T")


def in_float32(function: Callable[P, T]) -> Callable[P, T]:
    """Turn autocast off inside `function` and widen the tensors in half precision that it is given. Its parameters must
    be float32; the first argument that holds a tensor tells the device."""

    @wraps(function)
    def widened(*args: P.args, **kwargs: P.kwargs) -> T:
        device = next((found for arg in (*args, *kwargs.values()) if (found := _device(arg))), "cpu")
        with torch.autocast(device, enabled=False):
            return function(*map(_wide, args), **{name: _wide(arg) for name, arg in kwargs.items()})  # type: ignore[arg-type]

    return widened


def _device(arg: Any) -> str | None:
    if isinstance(arg, list | tuple) and arg:
        return _device(arg[0])
    return arg.device.type if isinstance(arg, Tensor) else None


def _wide(arg: Any) -> Any:
    half = isinstance(arg, Tensor) and arg.dtype in (torch.bfloat16, torch.float16)
    return arg.float() if half else arg

"""Matrix products of a stream's few frames on a CPU, by weights in the layout that oneDNN reads fastest.

BLAS reads a matrix anew for every row that it multiplies. With packed weights it is read once, so that one or two
frames cost a half to a third. The packed copies last as long as their layers, and follow every change of the weights.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

_THERE = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
_MOST_ROWS = 128
_SMALLEST = 2**16  # weights; a smaller matrix stays in the processor's cache
_Kept = tuple[int, int, Tensor]  # where the weight was, its version, the packed copy
_kept: WeakKeyDictionary[nn.Module, _Kept] = WeakKeyDictionary()


def linear(layer: nn.Linear, x: Tensor, state: Any) -> Tensor:
    """The layer on x [B, T, in]; in a stream, by packed weights where they pay."""
    if state is None or not pays(x, layer.weight):
        return layer(x)
    return product(layer, x, layer.weight, lambda: layer.weight, layer.bias)


def pays(x: Tensor, weight: Tensor) -> bool:
    """Whether x [B, T, in] is few rows for a large plain `weight`, in float32 on a CPU and without gradients."""
    few = x.shape[0] * x.shape[1] <= _MOST_ROWS and weight.numel() >= _SMALLEST
    plain = isinstance(weight, nn.Parameter) and not weight.is_inference()
    same = x.dtype == weight.dtype == torch.float32 and x.device.type == "cpu"
    free = not torch.is_grad_enabled() and not torch.is_autocast_enabled("cpu")
    return _THERE and few and plain and same and free


def product(
    layer: nn.Module, x: Tensor, weight: Tensor, matrix: Callable[[], Tensor], bias: Tensor | None = None
) -> Tensor:
    """x [B, T, in] times the transpose of a layer's `matrix` [out, in], which is made of its `weight`."""
    where, version, packed = _kept.get(layer, (0, 0, x))
    if (where, version) != (weight.data_ptr(), weight._version):
        packed = torch.ops.mkldnn._reorder_linear_weight(matrix().detach().contiguous(), x.shape[1])
        _kept[layer] = (weight.data_ptr(), weight._version, packed)
    rows = x.reshape(-1, x.shape[-1])
    return torch.ops.mkldnn._linear_pointwise(rows, packed, bias, "none", [], "").unflatten(0, x.shape[:2])


def convolution(conv: nn.Conv1d, x: Tensor) -> Tensor | None:
    """A convolution over x [B, C_in, T] with its context, as one product; None where that does not pay."""
    if conv.stride != (1,) or conv.groups != 1 or not pays(x.mT, conv.weight):
        return None
    (kernel,), (dilation,) = conv.kernel_size, conv.dilation
    pieces = x.unfold(-1, (kernel - 1) * dilation + 1, 1)[..., ::dilation]  # [B, C_in, T', kernel]
    rows = pieces.transpose(1, 2).flatten(2)
    return product(conv, rows, conv.weight, lambda: conv.weight.flatten(1), conv.bias).mT

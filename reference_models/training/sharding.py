"""Weights, gradients and moments shared out over the processes of a training (FSDP; ZeRO, Rajbhandari et al. 2020).

Each process holds its part of every weight. A block is gathered where it is computed, and given back behind it.

By `fully_shard` of torch. Accelerate's plugin calls the same, but is one for the whole process, in which the codec of a
speech LM may be trained first, and is passed over on a CPU.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor


def shard(module: nn.Module, blocks: Iterable[nn.Module], device: torch.device, processes: int) -> None:
    """Share out a module's weights, in place. Each of its `blocks` is gathered by itself, the rest with the whole, at
    the `forward` of each. All processes must have the same weights."""
    mesh = init_device_mesh(device.type, (processes,))
    for block in blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(module, mesh=mesh)


def gathered(tensor: Tensor) -> Tensor:
    """The whole of a tensor. Every process must call it if the tensor is shared out."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def whole(state: Mapping[str, Tensor], *, keep: bool) -> dict[str, Tensor]:
    """The whole tensors of a state, on the CPU, where `keep`; nothing elsewhere. Every process must call it if any
    tensor is shared out."""
    found = {}
    for name, tensor in state.items():
        one = gathered(tensor.detach())
        if keep:
            found[name] = one.cpu()
    return found


def part_of(tensor: Tensor, like: Any) -> Tensor:
    """This process's part of a whole tensor, if `like` is shared out; else the tensor."""
    if not isinstance(like, DTensor) or like.shape != tensor.shape:
        return tensor
    return distribute_tensor(tensor.to(like.device, like.dtype), like.device_mesh, like.placements, src_data_rank=None)

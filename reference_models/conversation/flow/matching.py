"""Flow matching with straight paths (Lipman et al. 2023), free of any network.

    x_t = (1 - t) x_0 + t x_1,   x_0 ~ N(0, 1),   velocity to learn: x_1 - x_0

The optimal velocity at (x, t) is the mean of x_1 - x_0 over all pairs whose path passes there. Following it from t = 0
turns noise into samples of the data; each step asks for the velocity once (NFE: number of function evaluations).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

# Velocity [B, …] of points [B, …] at a time, which is that of a step of this number.
Velocity = Callable[[Tensor, float, int], Tensor]


def between(noise: Tensor, data: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
    """The points of the paths at times [B], and the velocity there; both as `data` [B, …]."""
    t = time.view(-1, *[1] * (data.dim() - 1))
    return (1 - t) * noise + t * data, data - noise


def bent(time: Tensor) -> Tensor:
    """Uniform times in [0, 1] moved toward 0, where the direction is decided: 1 - cos(πt / 2), as in CosyVoice."""
    return 1 - torch.cos(time * (math.pi / 2))


def grid(evaluations: int) -> list[float]:
    """The times from 0 to 1 of so many steps, `bent` as in training."""
    return [float(time) for time in bent(torch.linspace(0, 1, evaluations + 1, dtype=torch.float64))]


def follow(velocity: Velocity, noise: Tensor, evaluations: int) -> Tensor:
    """The end of the path that begins at `noise`, by Euler steps."""
    x = noise
    for number, (now, after) in enumerate(pairwise(grid(evaluations))):
        x = x + (after - now) * velocity(x, now, number)
    return x

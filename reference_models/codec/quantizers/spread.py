"""What keeps the frames that enter a quantizer apart, whatever the learning rate."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from speech_eval.reference_models.training.distributed import processes, total_with_gradient
from speech_eval.reference_models.training.precision import in_float32

_MOMENTUM = 0.1
_FLOOR = 1e-5


class Spread(nn.Module):
    """[B, D, F] with mean 0 and variance 1 in every channel: batch normalization without weights (Ioffe and Szegedy
    2015).

    Training uses the mean and variance over the items and frames of the batch, of all processes together; evaluation
    their running means, so that frames can be encoded one by one. Without it an encoder at a high learning rate drifts
    to frames that are all alike, from which no gradient leads back: a scale that grows saturates the rounding of FSQ,
    and codebooks of vectors find one code for everything. A normalization of single frames would leave them alike.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("variance", torch.ones(dim))

    @in_float32
    def forward(self, z: Tensor) -> Tensor:
        mean, variance = self.of_batch(z) if self.training else (self.mean, self.variance)
        return (z - mean[:, None]) / (variance[:, None] + _FLOOR).sqrt()

    def of_batch(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance [D] over the batch, with gradients; updates the running ones."""
        frames = z.shape[0] * z.shape[2] * processes()  # batches of all processes are equally large
        mean = total_with_gradient(z.sum((0, 2))) / frames
        variance = total_with_gradient((z - mean[:, None]).square().sum((0, 2))) / frames
        with torch.no_grad():
            self.mean.lerp_(mean, _MOMENTUM)
            self.variance.lerp_(variance, _MOMENTUM)
        return mean, variance

"""EnCodec's gradient balancer: weights are shares of the gradient at the waveform, whatever the losses' scales."""

from __future__ import annotations

import torch
from torch import Tensor

from speech_eval.reference_models.training.distributed import processes, total


class Balancer:
    """Losses of the decoded waveform, each with a share of the gradient there (Défossez et al. 2022, section 3.4).

    Loss i with gradient gᵢ at the waveform contributes R · λᵢ / Σλ · gᵢ / ⟨‖gᵢ‖⟩, where ⟨·⟩ is a running mean with
    decay β. ‖·‖ is taken per item and averaged over the batches of all processes. Other losses (commitment) are added
    unchanged. The gradients of several processes are averaged afterwards; those here are scaled so that the average is
    what one process with all items gives.
    """

    def __init__(self, weights: dict[str, float], total_norm: float = 1.0, decay: float = 0.999) -> None:
        self.weights = {name: weight for name, weight in weights.items() if weight}
        self.total_norm, self.decay = total_norm, decay
        self.sums = dict.fromkeys(self.weights, 0.0)
        self.counts = dict.fromkeys(self.weights, 0.0)

    def backward(self, losses: dict[str, Tensor], output: Tensor, elsewhere: Tensor) -> None:
        """Back-propagate. `losses` are unweighted and depend on `output` [B, 1, T]; `elsewhere` is a scalar."""
        share = processes() * self.total_norm / sum(self.weights[name] for name in losses)
        gradients = [torch.autograd.grad(loss, [output], retain_graph=True)[0] for loss in losses.values()]
        # A loss is a mean over the items of one process, whose gradients are longer the fewer they are.
        norms = total(torch.stack([gradient.flatten(1).norm(dim=1).mean() for gradient in gradients])).tolist()
        balanced = torch.zeros_like(output)
        for name, gradient, norm in zip(losses, gradients, norms, strict=True):
            self.sums[name] = self.sums[name] * self.decay + norm / processes()
            self.counts[name] = self.counts[name] * self.decay + 1.0
            balanced += gradient * (share * self.weights[name] / (self.sums[name] / self.counts[name] + 1e-12))
        if elsewhere.requires_grad:
            torch.autograd.backward([output, elsewhere], [balanced, None])
        else:
            output.backward(balanced)

    def state_dict(self) -> dict[str, Tensor]:
        """Running sums and counts, for the training state."""
        return {name: torch.tensor([self.sums[name], self.counts[name]], dtype=torch.float64) for name in self.weights}

    def load_state_dict(self, state_dict: dict[str, Tensor]) -> None:
        self.sums = {name: float(state_dict[name][0]) for name in self.weights}
        self.counts = {name: float(state_dict[name][1]) for name in self.weights}
